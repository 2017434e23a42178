"""Bars whose true states are known, from files of any generator.

For: the markets that ``prove`` and ``board`` are handed. Not for: anything that decides.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import DataError

if TYPE_CHECKING:
    from backtest.market.panel import Panel
    from ml.decision import TruthTrack


def load_truth(source: Path) -> "tuple[Panel, TruthTrack]":
    """Read bars, a folder or a file, and the state planted at each of their sessions.

    Raises
    ------
    DataError
        ``E_TRUTH``: no ``truth.parquet``, or not a state for every session.
    """
    import numpy as np
    import polars as pl

    from backtest.market.bars import panel_of
    from ml.decision import TruthTrack

    path = truth_beside(source)
    if not path.is_file():
        raise DataError(
            "no truth.parquet",
            where=str(path.parent),
            fix="give a folder that `weathervane market` wrote, or one with date and state",
            code="E_TRUTH",
        )
    panel = panel_of(source, calendar="data")[0]
    try:
        frame = pl.read_parquet(path, columns=["date", "state"])
        written = frame.schema["date"] == pl.String
        day = pl.col("date").str.to_date() if written else pl.col("date").cast(pl.Date)
        frame = frame.with_columns(day, pl.col("state").cast(pl.String))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"truth.parquet is not read: {' '.join(str(error).split())[:120]}",
            where=str(path.parent),
            fix="it needs the columns date and state",
            code="E_TRUTH",
        ) from None
    told = frame.unique().sort("date", "state")
    dates = pl.DataFrame({"date": pl.Series(panel.dates).cast(pl.Date)})
    laid = dates.join(told, on="date", how="left")
    if laid.height != dates.height or laid["state"].has_nulls():
        raise DataError(
            "truth.parquet does not name one state for every session of the bars",
            where=str(path.parent),
            fix="write date and state, one state per date",
            code="E_TRUTH",
        )
    names = sorted(laid["state"].unique())
    states = laid["state"].to_numpy()
    return panel, TruthTrack(np.searchsorted(np.array(names), states), tuple(names))


def truth_beside(source: Path) -> Path:
    """Where the truth of bars lies, if it is known."""
    return (source if source.is_dir() else source.parent) / "truth.parquet"
