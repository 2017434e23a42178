"""Published regime probabilities of a panel, per session.

For: ``weathervane regimes``. Not for: the regimes of the daily chain, which the store keeps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import result_file, write_bytes, write_parquet
from pipeline.commands.panels import load_panel

if TYPE_CHECKING:
    import polars as pl

    from ml.regime_track import RegimeTrack


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
    DataError
        ``E_OUT``: a file cannot be written, or its name does not end in ``.parquet`` or ``.png``.
    """
    from backtest.errors import NotFittedError
    from ml.market_state import market_state, state_matrix
    from ml.regime import REGIMES
    from ml.regime_track import track

    recipe = REGIMES.get(model)
    result_file(out, ".parquet")
    if plot is not None:
        result_file(plot, ".png")
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
    published = _published(fitted, source)
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


def _published(fitted: "RegimeTrack", source: Path) -> "pl.DataFrame":
    """What each close was told; a window too short for a fit is told of in the user's words."""
    from backtest.errors import NotFittedError

    try:
        return fitted.published()
    except NotFittedError as error:
        raise NotFittedError(
            error.what,
            where=f"{source}, first fit after {fitted.train} sessions, {error.where}",
            fix="give more history, and a larger --train with it",
        ) from None


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

    picture = regime_plot(price_index(bars), published, synthetic=is_synthetic(source))
    write_bytes(plot, picture)
