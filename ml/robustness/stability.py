"""How steady the decided mixes are.

For: the parameters that a mix holds over time, and how much of it each session and each selection
replaces. Not for: whether that pays, which the folds and the costs show.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from backtest.metric import deviation
from ml.robustness.record import Floats, WalkRecord

STABILITY_SCHEMA = {
    "strategy": pl.String,
    "statistic": pl.String,
    "parameter": pl.String,
    "category": pl.String,
    "value": pl.Float64,
    "reason": pl.String,
}
_ALL_CASH = "the mix is all cash on every session"
Row = tuple[str, str, str, float | None, str | None]


def stability_frame(strategy: str, record: WalkRecord) -> pl.DataFrame:
    """Describe the mixes that the regime-aware policy decided.

    With ``m[t]`` the weights of all sets and of cash after session ``t`` (they sum to 1), half the
    L1 change between two mixes is the part of the mix that was replaced, in [0, 1].

    - ``stability``: 1 minus that part, averaged over successive selections. 1: no selection ever
      changed the mix; 0: each replaced all of it.
    - ``mix_change``: mean of the whole L1 change per session, between selections too.
    - ``heaviest_changed``: share of sessions on which another set became the heaviest.
    - ``cash``: mean weight of cash.
    - ``mean``, ``deviation`` of a numeric parameter: over the sessions that hold any set, of the
      mix's weighted mean of the parameter.
    - ``share`` of a category: mean share of the invested part that has it.

    Returns
    -------
    polars.DataFrame
        ``strategy, statistic, parameter`` (empty for the whole mix), ``category`` (empty but for
        shares), ``value`` (null with a ``reason``).
    """
    weights = np.stack([one.weights for one in record.decisions])  # [decision, param]
    chosen = np.array([one.selected_at == one.session for one in record.decisions])
    rows = [*mix_rows(weights, chosen), *_parameter_rows(weights, record)]
    frame = pl.DataFrame([(strategy, *row) for row in rows], schema=STABILITY_SCHEMA, orient="row")
    return frame


def mix_rows(weights: Floats, chosen: np.ndarray) -> list[Row]:
    """Statistics of the whole mix.

    Parameters
    ----------
    weights : float64, ``[decision, param]``
        The rest of each row is cash.
    chosen : bool, ``[decision]``
        Whether sets were selected on that session.
    """
    mix = np.column_stack([weights, 1.0 - weights.sum(axis=1)])  # [decision, param + 1]
    heaviest = np.where(weights.any(axis=1), weights.argmax(axis=1), -1)
    replaced = 0.5 * _moves(mix[chosen])
    moves, changed = _moves(mix), heaviest[1:] != heaviest[:-1]
    return [
        _row("stability", 1.0 - replaced, "fewer than two selections"),
        _row("mix_change", moves, "fewer than two decisions"),
        _row("heaviest_changed", changed.astype(float), "fewer than two decisions"),
        _row("cash", mix[:, -1], "no decision"),
    ]


def _moves(mix: Floats) -> Floats:
    """L1 change from each row to the next; ``[row - 1]``."""
    return np.asarray(np.abs(np.diff(mix, axis=0)).sum(axis=1))


def _row(
    statistic: str, values: Floats, reason: str, parameter: str = "", category: str = ""
) -> Row:
    """Mean of some values, or the reason why there is none."""
    if not len(values):
        return statistic, parameter, category, None, reason
    return statistic, parameter, category, float(values.mean()), None


def _parameter_rows(weights: Floats, record: WalkRecord) -> list[Row]:
    """Statistics of each parameter over the sessions that hold any set."""
    invested = weights.sum(axis=1)
    held = weights[invested > 0.0] / invested[invested > 0.0, None]  # [session, param]
    grid, rows = record.grid, []
    numeric = grid.params.ranges()
    for name, column in grid.columns.items():
        if name in numeric:
            means = held @ column.astype(float)  # [session]
            rows.append(_row("mean", means, _ALL_CASH, name))
            spread = deviation(means) if len(means) > 1 else None
            why = None if spread is not None else "fewer than two sessions hold a set"
            rows.append(("deviation", name, "", spread, why))
            continue
        for category in np.unique(column):
            shares = held @ (column == category).astype(float)
            rows.append(_row("share", shares, _ALL_CASH, name, str(category)))
    return rows
