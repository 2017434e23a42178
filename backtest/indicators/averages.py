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

    The average starts at the first value that is there and moves towards each new one, so that it
    stands still where values do. A missing value gives a missing average and leaves the memory as
    it was. Span 1 returns the values themselves.

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
    out = np.empty((source.size, rows.shape[1]))
    missing = rows.size == 0
    for row in rows:
        for value in row:
            missing |= np.isnan(value)
    fours = 0 if missing else source.size - source.size % 4
    for k in range(0, fours, 4):
        _ema_four(rows, source, spans, k, out)
    for k in range(fours, source.size):
        _ema_one(rows[source[k]], spans[k], out[k])
    return out


@njit(cache=True, nogil=True)
def _ema_one(values: Floats, span: int, out: Floats) -> None:
    if span == 1:
        out[:] = values
        return
    new = 2.0 / (span + 1.0)
    level = np.nan
    for t in range(values.size):
        value = values[t]
        if np.isnan(value):
            out[t] = np.nan
            continue
        level = value if np.isnan(level) else level + new * (value - level)
        out[t] = level


@njit(cache=True, nogil=True)
def _ema_four(rows: Floats, source: Ints, spans: Ints, k: int, out: Floats) -> None:
    """Averages ``k`` to ``k + 3``, of values that are all there.

    Each bar of an average waits for the bar before, but not for the other averages.
    """
    a, b, c, d = rows[source[k]], rows[source[k + 1]], rows[source[k + 2]], rows[source[k + 3]]
    new = 2.0 / (spans[k : k + 4] + 1.0)
    new_a, new_b, new_c, new_d = new[0], new[1], new[2], new[3]
    level_a, level_b, level_c, level_d = a[0], b[0], c[0], d[0]
    out[k, 0], out[k + 1, 0], out[k + 2, 0], out[k + 3, 0] = level_a, level_b, level_c, level_d
    for t in range(1, rows.shape[1]):
        level_a += new_a * (a[t] - level_a)
        level_b += new_b * (b[t] - level_b)
        level_c += new_c * (c[t] - level_c)
        level_d += new_d * (d[t] - level_d)
        out[k, t], out[k + 1, t], out[k + 2, t], out[k + 3, t] = level_a, level_b, level_c, level_d


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
    out = np.full((windows.size, values.size), np.nan)
    for k in range(windows.size):
        w = windows[k]
        if w > values.size:
            continue
        # One value of all windows at a time: their additions are those of one vector. Distances
        # from the first value, so that the average of equal values is that value.
        totals = out[k, w - 1 :]
        totals[:] = 0.0
        for i in range(w):
            part = values[i : i + totals.size]
            for t in range(totals.size):
                totals[t] += part[t] - values[t]
        for t in range(totals.size):
            totals[t] = values[t] + totals[t] / w
    return out


@njit(cache=True, nogil=True)
def sums(values: Floats, windows: Ints) -> Floats:
    """Sums of the last ``w`` values, each from its first to its last.

    Parameters
    ----------
    values : float64, ``[bar]``
    windows : int64, ``[window]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[window, bar]``
        NaN before the first full window and where a value in it is missing.
    """
    out = np.full((windows.size, values.size), np.nan)
    for k in range(windows.size):
        if windows[k] > values.size:
            continue
        totals = out[k, windows[k] - 1 :]
        totals[:] = 0.0
        # One value of all windows at a time: their additions are those of one vector.
        for i in range(windows[k]):
            part = values[i : i + totals.size]
            for t in range(totals.size):
                totals[t] += part[t]
    return out


@njit(cache=True, nogil=True)
def squares_around(values: Floats, means: Floats, windows: Ints) -> Floats:
    """Sums of squared distances of the last ``w`` values from a mean, from first to last.

    Parameters
    ----------
    values : float64, ``[bar]``
    means : float64, ``[window, bar]``
        Of :func:`sma`.
    windows : int64, ``[window]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[window, bar]``
        NaN before the first full window and where a value in it is missing.
    """
    out = np.full((windows.size, values.size), np.nan)
    for k in range(windows.size):
        w = windows[k]
        if w > values.size:
            continue
        middle, squares = means[k, w - 1 :], out[k, w - 1 :]
        squares[:] = 0.0
        # One value of all windows at a time: their additions are those of one vector.
        for i in range(w):
            part = values[i : i + squares.size]
            for t in range(squares.size):
                away = part[t] - middle[t]
                squares[t] += away * away
    return out


def average(bars: SymbolBars, *, window: Ints) -> Floats:
    """Simple averages of closes; ``[row, bar]``."""
    averages: Floats = sma(bars.close, window)
    return averages


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
    macd = np.empty((fast.size, bars.size))
    _differences(averages, which[: fast.size], which[fast.size :], macd)
    return np.subtract(macd, ema(macd, np.arange(signal.size), signal), out=macd)


@njit(cache=True, nogil=True)
def _differences(rows: Floats, first: Ints, second: Ints, out: Floats) -> None:
    for k in range(first.size):
        for t in range(rows.shape[1]):
            out[k, t] = rows[first[k], t] - rows[second[k], t]
