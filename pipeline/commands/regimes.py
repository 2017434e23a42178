"""Published regime probabilities of a panel, per session.

For: ``weathervane regimes``. Not for: the regimes of the daily chain, which the store keeps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.files import results_folder, write_parquet
from pipeline.commands.panels import load_panel


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
) -> dict[str, Any]:
    """Fit a regime model along the history and write what each close was told.

    Returns
    -------
    dict
        Numbers of sessions and fits, and how many sessions each regime was the likeliest on.

    Raises
    ------
    NotFittedError
        The history is too short for the first fit.
    """
    from backtest.errors import NotFittedError
    from ml.market_state import STATE_COLUMNS, market_state, state_matrix
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
    counted = published.drop_nulls("regime")["regime"].value_counts(sort=True)
    return {
        "sessions": published.height,
        "fits": len(fitted.fits),
        "regimes": dict(counted.iter_rows()),
        "columns": list(STATE_COLUMNS),
        "model": model,
        **loaded.about(),
    }
