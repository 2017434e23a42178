"""How evenly a result came about, in time and over neighbouring parameters.

For: consistency over months, and how much a score moves with each parameter. Not for: choosing
among sets.
"""

from __future__ import annotations

import numpy as np

from backtest.metric import METRICS, Floats, Metric, MetricInput, Undefined
from backtest.params import ParamGrid

BLOCKS_PER_YEAR = 12


def consistency(given: MetricInput) -> float | Undefined:
    """Share of whole months (a twelfth of ``periods_per_year`` sessions) that gained.

    Sessions behind the last whole month are left out.
    """
    length = max(1, round(given.periods_per_year / BLOCKS_PER_YEAR))
    months = given.returns.size // length
    if months < 2:
        return Undefined("fewer than two whole months")
    blocks = given.returns[: months * length].reshape(months, length)  # [month, session]
    return float(np.mean(np.prod(1.0 + blocks, axis=1) > 1.0))


def parameter_sensitivity(grid: ParamGrid, scores: Floats) -> dict[str, float | None]:
    """Typical move of a score when one parameter moves to its next value, all others alike.

    Parameters
    ----------
    grid : ParamGrid
        Sets ``[param]``.
    scores : float64, ``[param]``
        NaN where undefined.

    Returns
    -------
    dict of str to float or None
        Mean absolute difference over all pairs of neighbours, as a share of the spread
        (standard deviation) of all scores; None where there is no such pair or no spread.

    Examples
    --------
    >>> from backtest.strategy import STRATEGIES
    >>> grid = STRATEGIES.get("rsi_swing").candidates()
    >>> parameter_sensitivity(grid, np.asarray(grid["width"]))["period"]
    0.0
    """
    known = np.isfinite(scores)
    spread = float(scores[known].std()) if known.any() else 0.0
    codes = {n: np.unique(c, return_inverse=True)[1].reshape(-1) for n, c in grid.columns.items()}
    position = {tuple(int(c[i]) for c in codes.values()): i for i in range(grid.size)}
    out: dict[str, float | None] = {}
    for d, name in enumerate(grid.columns):
        moves = []
        for place, i in position.items():
            j = position.get((*place[:d], place[d] + 1, *place[d + 1 :]))
            if j is not None and known[i] and known[j]:
                moves.append(abs(float(scores[j] - scores[i])))
        out[name] = float(np.mean(moves)) / spread if moves and spread > 0.0 else None
    return out


METRICS.register("consistency")(Metric(consistency, "probability", "higher"))
