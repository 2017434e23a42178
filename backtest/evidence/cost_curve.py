"""What a stream of returns would have been worth at other costs.

For: the annual Sharpe ratio of one stream along a list of costs per side. Not for: impact that
grows with size, or a policy that would have decided otherwise had costs been different.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.evidence.sharpe import sharpe_ratio

Floats = npt.NDArray[np.float64]

BREAK_EVEN = "break-even"
"""Name of the point of a cost curve at which the ratio is 0."""


def sharpe_by_cost(
    net: Floats, turnover: Floats, costs: Floats, *, cost_bps: float, periods: int
) -> Floats:
    """Annual Sharpe ratio of the same trades at other costs; NaN where it is undefined.

    Parameters
    ----------
    net : float64, ``[time]``
        Simple returns after ``cost_bps`` per side.
    turnover : float64, ``[time]``
        Traded notional over equity per session.
    costs : float64, ``[cost]``
        Basis points per side.
    cost_bps : float
        What ``net`` has paid, basis points per side.
    periods : int
        Sessions per year.

    Returns
    -------
    float64, ``[cost]``

    Examples
    --------
    >>> net, turnover = np.array([0.01, 0.03, 0.02]), np.ones(3)
    >>> sharpe_by_cost(net, turnover, np.array([0.0, 100.0]), cost_bps=0.0, periods=1).round(9)
    array([2., 1.])
    """
    gross = net + turnover * cost_bps / 1e4
    ratios = (sharpe_ratio(gross - turnover * cost / 1e4) for cost in costs)
    annual = float(np.sqrt(periods))
    return np.array([np.nan if ratio is None else ratio * annual for ratio in ratios])
