"""How far a price lies from its average, in its own deviations, batched over windows.

For: the standardised distance behind Bollinger's bands as a fast kernel. Not for: bands as prices,
which are the same question asked less directly, and not for the slow twin (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators.averages import sma, squares_around
from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def distance(values: Floats, windows: Ints) -> Floats:
    """Compute ``(value - mean) / deviation`` over the last ``w`` values, today's included.

    Both are taken afresh for each window, with the deviation of a population: a running sum of
    squares would lose all digits where prices hardly move.

    Parameters
    ----------
    values : float64, ``[bar]``
    windows : int64, ``[window]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[window, bar]``
        NaN before the first full window, where a value in it is missing, and where all are equal.

    References
    ----------
    J. Bollinger, Bollinger on Bollinger Bands, 2001.

    Examples
    --------
    >>> distance(np.array([1.0, 3.0]), np.array([2]))[0].tolist()
    [nan, 1.0]
    """
    means = sma(values, windows)
    out = squares_around(values, means, windows)
    for k in range(windows.size):
        for t in range(values.size):
            deviation = np.sqrt(out[k, t] / windows[k])
            away = values[t] - means[k, t]
            out[k, t] = away / deviation if deviation > 0.0 else np.nan
    return out


def standard_distance(bars: SymbolBars, *, period: Ints) -> Floats:
    """Distance of closes from their average in their own deviations; ``[row, bar]``."""
    away: Floats = distance(bars.close, period)
    return away
