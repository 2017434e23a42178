"""Published regime probabilities of a panel, per session.

For: ``weathervane regimes``. Not for: the regimes of the daily chain, which the store keeps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import results_folder, write_bytes, write_parquet
from pipeline.commands.panels import load_panel

if TYPE_CHECKING:
    import polars as pl


def write_regimes(
    source: Path,
    *,
    out: Path,
    model: str = "hmm",
    train: int = 756,
    refit: int = 125,
    seed: int = 0,
    symbols: Sequence[str] | None = None,
    calendar: str | None = None,
    plot: Path | None = None,
) -> dict[str, Any]:
    """Fit a regime model along the history and write what each close was told.

    Returns
    -------
    dict
        Numbers of sessions and fits, how many sessions each regime was the likeliest on, and
        under ``table`` and ``summary`` how long it lasted (``ml.regime_report``).

    Raises
    ------
    NotFittedError
        The history is too short for the first fit.
    """
    from backtest.errors import NotFittedError
    from ml.market_state import market_state, state_matrix
    from ml.regime import REGIMES
    from ml.regime_track import track

    recipe = REGIMES.get(model)
    loaded = load_panel(source, symbols=symbols, calendar=calendar)
    frame = market_state(loaded.panel.frame().lazy())
    state, columns = state_matrix(frame)
    if train >= len(state):
        raise NotFittedError(
            f"{len(state)} sessions, the first fit needs more than {train}",
            where=str(source),
            fix="give more history or a smaller --train",
        )
    dates = frame["date"].to_numpy().astype("datetime64[D]")
    fitted = track(state, columns, recipe, train=train, refit=refit, seed=seed, dates=dates)
    published = fitted.published()
    results_folder(Path(out).parent)
    write_parquet(Path(out), published)
    if plot is not None:
        _draw(Path(plot), source=Path(source), bars=loaded.panel.frame(), published=published)
    return {
        "sessions": published.height,
        "fits": len(fitted.fits),
        "columns": _read(fitted.fit_at(fitted.sessions - 1).config()),
        "model": model,
        **_told(published),
        **loaded.about(),
    }


def _told(published: "pl.DataFrame") -> dict[str, Any]:
    """How many sessions each regime was named on, and how long it lasted."""
    from ml.regime_report import regime_summary, regime_table

    table = regime_table(published)
    return {
        "regimes": dict(table.select("regime", "sessions").iter_rows()),
        "table": table.to_dicts(),
        "summary": regime_summary(published),
    }


def _read(config: dict[str, Any]) -> list[str]:
    """Columns that the last fit reads, whatever kind of model it is."""
    parts = [config, *config.get("axes", ()), *config.get("members", ())]
    return list(dict.fromkeys(name for part in parts for name in part.get("used", ())))


def _draw(plot: Path, *, source: Path, bars: "pl.DataFrame", published: "pl.DataFrame") -> None:
    """Draw the regimes over the equal-weight market; one that was made up says so."""
    from backtest.market.world_files import is_synthetic
    from backtest.plots import regime_plot
    from backtest.report import price_index

    results_folder(plot.parent)
    picture = regime_plot(price_index(bars), published, synthetic=is_synthetic(source))
    write_bytes(plot, picture)
