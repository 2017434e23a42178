"""How the score of a grid of parameter sets depends on each parameter.

For: scores by value, the slice through the best set, the width of the plateau it stands on, and
whether it stands at the edge of what was tried. Not for: choosing; the scores are of all sessions,
so nothing that decides may read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.evidence.sharpe import sharpe_ratio
from backtest.params import ParamGrid, Range

Floats = npt.NDArray[np.float64]

LEAST_VALUES = 3
"""Values of a parameter from which an edge says something: of two values both are edges."""


@dataclass(frozen=True)
class Dependence:
    """How the score depends on one parameter; arrays ``[value]``, in ascending order of value.

    Parameters
    ----------
    values : list
        Distinct values among the sets.
    numeric : bool
        Whether the values have an order.
    sets : int64
        Sets with the value, those without a score included.
    mean, median, highest : float64
        Of the scores of the sets with the value; NaN where none has one.
    along : float64
        Score of the best set with only this parameter changed; NaN where there is no such set.
    best : int
        Position of the best set's value.
    below, above : int
        Neighbouring values on each side whose ``along`` lies within one standard error of the best
        score, counted up to the first that does not; 0 where the values have no order.
    edge : str or None
        What to do about a best value at the end of what was tried, for people.
    """

    values: list[Any]
    numeric: bool
    sets: npt.NDArray[np.int64]
    mean: Floats
    median: Floats
    highest: Floats
    along: Floats
    best: int
    below: int
    above: int
    edge: str | None


@dataclass(frozen=True)
class Sensitivity:
    """How the scores of a grid depend on its parameters.

    Parameters
    ----------
    best : int
        Row of the set with the highest score; of equals the first.
    score : float
        Its score.
    error : float
        Standard error that the plateau is measured in.
    near : float
        Share of all sets within one standard error of the best, in (0, 1].
    parameters : dict of str to Dependence
    """

    best: int
    score: float
    error: float
    near: float
    parameters: dict[str, Dependence]


def annual_sharpes(returns: Floats, periods: int) -> Floats:
    """Annual Sharpe ratio of each stream ``[stream, time]``; NaN where it is undefined."""
    ratios = (sharpe_ratio(one) for one in returns)
    annual = float(np.sqrt(periods))
    return np.array([np.nan if ratio is None else ratio * annual for ratio in ratios])


def standard_error(sessions: int, periods: int) -> float:
    """Deviation of the annual Sharpe ratio of a worthless stream: ``sqrt(1 / years)``.

    Examples
    --------
    >>> standard_error(1008, 252)
    0.5
    """
    return float(np.sqrt(periods / sessions))


def sensitivity(grid: ParamGrid, scores: Floats, *, error: float) -> Sensitivity | None:
    """Describe how scores depend on each parameter; None where no set has a score.

    Parameters
    ----------
    grid : ParamGrid
    scores : float64, ``[param]``
        NaN where a set has none.
    error : float
        Standard error of one score.
    """
    if np.isnan(scores).all():
        return None
    best = int(np.nanargmax(scores))
    limit = float(scores[best]) - error
    return Sensitivity(
        best=best,
        score=float(scores[best]),
        error=error,
        near=float(np.mean(scores >= limit)),  # a comparison with NaN is False
        parameters={name: _dependence(grid, name, scores, best, limit) for name in grid.columns},
    )


def _dependence(grid: ParamGrid, name: str, scores: Floats, best: int, limit: float) -> Dependence:
    """Describe one parameter."""
    ranges = grid.params.ranges()
    values, which = np.unique(grid[name], return_inverse=True)
    along = np.full(len(values), np.nan)
    others = np.ones(grid.size, dtype=bool)
    for other, column in grid.columns.items():
        if other != name:
            others &= column == column[best]
    along[which[others]] = scores[others]
    groups = [scores[(which == k) & ~np.isnan(scores)] for k in range(len(values))]
    at, numeric = int(which[best]), name in ranges
    on = along >= limit
    return Dependence(
        values=values.tolist(),
        numeric=numeric,
        sets=np.bincount(which, minlength=len(values)),
        mean=np.array([one.mean() if one.size else np.nan for one in groups]),
        median=np.array([np.median(one) if one.size else np.nan for one in groups]),
        highest=np.array([one.max() if one.size else np.nan for one in groups]),
        along=along,
        best=at,
        below=_run(on[:at][::-1]) if numeric else 0,
        above=_run(on[at + 1 :]) if numeric else 0,
        edge=edge_warning(name, values.tolist(), at, ranges[name]) if numeric else None,
    )


def _run(on: npt.NDArray[np.bool_]) -> int:
    """Length of the unbroken run of True at the start."""
    return int(np.logical_and.accumulate(on).sum())


def edge_warning(name: str, values: list[float], at: int, bounds: Range) -> str | None:
    """Say what to do where the best value is the first or last tried; None where it is neither.

    Examples
    --------
    >>> edge_warning("period", [5, 10, 40], 2, Range(2, 60))
    'the best period is 40, the largest tried: widen the grid'
    """
    if len(values) < LEAST_VALUES or 0 < at < len(values) - 1:
        return None
    value = values[at]
    end, bound = ("smallest", bounds.low) if at == 0 else ("largest", bounds.high)
    if value == bound:
        return f"the best {name} is {value:g}, the {end} tried and the {end} the strategy allows"
    return f"the best {name} is {value:g}, the {end} tried: widen the grid"
