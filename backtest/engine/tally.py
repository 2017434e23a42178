"""What is counted of one account on its way, and the columns that come of it.

For: the kernels that walk accounts (``events``, ``lanes``). Not for: the definition of the metrics
(``metrics``), which it must reproduce.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.result import EVEN, NOTHING

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

COLUMNS = (
    "total_return",
    "cagr",
    "sharpe",
    "volatility",
    "sortino",
    "max_drawdown",
    "calmar",
    "trades",
    "win_rate",
    "profit_factor",
    "average_win",
    "average_loss",
    "expectancy",
    "turnover",
)
"""Columns of a sweep, in order."""


NO_SUMS = (0.0, 0.0, 0.0)
"""Of daily returns, of their squares, and of the squares of losses."""

NO_TRADES = (0, 0, 0, 0.0, 0.0, 0.0)
"""Number of closed trades, of wins, of losses; what they won, lost, and both together."""


@njit(cache=True, nogil=True, inline="always")
def day(sums: Any, r: float) -> Any:
    """Add one day's return."""
    loss = min(r, 0.0)
    return sums[0] + r, sums[1] + r * r, sums[2] + loss * loss


@njit(cache=True, nogil=True, inline="always")
def left(money: float, before: float) -> float:
    """What is left of money: none of it where that is next to nothing of what was before."""
    return 0.0 if money <= NOTHING * max(before, 1.0) else money


@njit(cache=True, nogil=True, inline="always")
def closed(trades: Any, net: float) -> Any:
    """Add one closed trade."""
    count, wins, losses, won, lost, total = trades
    if net > EVEN:
        wins, won = wins + 1, won + net
    elif net < -EVEN:
        losses, lost = losses + 1, lost + net
    return count + 1, wins, losses, won, lost, total + net


def columns_of(walked: Floats, *, bars: int, periods_per_year: int) -> Floats:
    """Make the columns of a sweep of what walks have added up elsewhere.

    Parameters
    ----------
    walked : float64, ``[12, param]``
        Total return, drawdown, turnover; sums of daily returns, of their squares and of the
        squares of losses; closed trades, wins, losses, and what these won, lost, and all of them.
    bars : int
    periods_per_year : int

    Returns
    -------
    float64, ``[column, param]``
        As ``events.metrics`` gives them.
    """
    out = nothing(walked.shape[1])
    if bars > 0:
        _summarise_all(walked, (bars, periods_per_year), out)
    return out


def nothing(sets: int) -> Floats:
    """Columns of accounts without a bar; ``[column, param]``."""
    out = np.full((len(COLUMNS), sets), np.nan)
    out[COLUMNS.index("sharpe")] = out[COLUMNS.index("trades")] = 0.0
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _summarise_all(walked: Array, terms: tuple[int, int], out: Array) -> None:
    for p in range(walked.shape[1]):
        told, sums, trades = walked[:3, p], walked[3:6, p], walked[6:, p]
        summarise(
            (sums[0], sums[1], sums[2]),
            (told[0], told[1], told[2]),
            (trades[0], trades[1], trades[2], trades[3], trades[4], trades[5]),
            terms,
            out[:, p],
        )


@njit(cache=True, nogil=True, error_model="numpy")
def summarise(sums: Any, path: Any, trades: Any, terms: tuple[int, int], row: Array) -> None:
    """Fill the columns of one set."""
    bars, periods = terms
    gain, drawdown, turnover = path
    count, wins, losses, won, lost, total = trades
    mean, root = sums[0] / bars, np.sqrt(float(periods))
    deviation = np.nan
    if bars > 1:
        deviation = np.sqrt(max((sums[1] - mean * sums[0]) / (bars - 1), 0.0))
    yearly = (1.0 + gain) ** (periods / bars) - 1.0
    row[0], row[1] = gain, yearly
    row[2] = mean / deviation * root if deviation > 0.0 else 0.0
    row[3] = deviation * root
    row[4] = mean / np.sqrt(sums[2] / bars) * root if sums[2] > 0.0 else np.nan
    row[5] = drawdown
    row[6] = yearly / drawdown if drawdown > 0.0 else np.nan
    row[7] = count
    row[8] = wins / count if count > 0 else np.nan
    row[9] = won / -lost if losses > 0 else np.nan
    row[10] = won / wins if wins > 0 else np.nan
    row[11] = lost / losses if losses > 0 else np.nan
    row[12] = total / count if count > 0 else np.nan
    row[13] = turnover / bars * periods
