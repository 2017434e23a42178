"""Moving averages, batched over their parameters for one symbol.

For: the simple and the exponential average as fast kernels, and what is made of two of them. Not
for: the slow twins that judge them (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def ema(rows: Floats, source: Ints, spans: Ints) -> Floats:
    """Compute exponential averages with weight ``2 / (span + 1)`` on the newest value.

    The average starts at the first value that is there. A missing value gives a missing
    average and leaves the memory as it was. Span 1 returns the values themselves.

    Parameters
    ----------
    rows : float64, ``[row, bar]``
    source : int64, ``[out]``
        Which row each average reads.
    spans : int64, ``[out]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[out, bar]``

    Examples
    --------
    >>> ema(np.array([[np.nan, 1.0, 2.0]]), np.array([0]), np.array([3]))[0].tolist()
    [nan, 1.0, 1.5]
    """
    bars = rows.shape[1]
    out = np.full((source.size, bars), np.nan)
    for k in range(source.size):
        if spans[k] == 1:
            out[k] = rows[source[k]]
            continue
        new = 2.0 / (spans[k] + 1.0)
        old = 1.0 - new
        level = np.nan
        for t in range(bars):
            value = rows[source[k], t]
            if np.isnan(value):
                continue
            level = value if np.isnan(level) else new * value + old * level
            out[k, t] = level
    return out


@njit(cache=True, nogil=True)
def sma(values: Floats, windows: Ints) -> Floats:
    """Compute simple averages over the last ``w`` values, each window summed afresh.

    A running sum would be faster and would drift, so that the same window could differ with
    what came before it.

    Parameters
    ----------
    values : float64, ``[bar]``
    windows : int64, ``[window]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[window, bar]``
        NaN before the first full window and where a value in it is missing.

    Examples
    --------
    >>> sma(np.array([1.0, 2.0, 6.0]), np.array([2]))[0].tolist()
    [nan, 1.5, 4.0]
    """
    bars = values.size
    out = np.full((windows.size, bars), np.nan)
    for k in range(windows.size):
        w = windows[k]
        for t in range(w - 1, bars):
            total = 0.0
            for i in range(t - w + 1, t + 1):
                total += values[i]
            out[k, t] = total / w
    return out


def average_gap(bars: SymbolBars, *, fast: Ints, slow: Ints) -> Floats:
    """How far the fast simple average of closes lies above the slow one; ``[row, bar]``."""
    windows, which = np.unique(np.concatenate([fast, slow]), return_inverse=True)
    averages = sma(bars.close, windows)
    gap: Floats = averages[which[: fast.size]] - averages[which[fast.size :]]
    return gap


def macd_histogram(bars: SymbolBars, *, fast: Ints, slow: Ints, signal: Ints) -> Floats:
    """Difference of two exponential averages of closes, over its own average.

    Parameters
    ----------
    bars : SymbolBars
    fast, slow, signal : int64, ``[row]``
        Spans in bars.

    Returns
    -------
    float64, ``[row, bar]``

    References
    ----------
    G. Appel, Technical Analysis: Power Tools for Active Investors, 2005.
    """
    spans, which = np.unique(np.concatenate([fast, slow]), return_inverse=True)
    averages = ema(bars.close[None], np.zeros(spans.size, dtype=np.int64), spans)
    macd = averages[which[: fast.size]] - averages[which[fast.size :]]  # [K, T]
    histogram: Floats = macd - ema(macd, np.arange(signal.size), signal)
    return histogram
