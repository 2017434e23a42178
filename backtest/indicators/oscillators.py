"""Oscillators, batched over their parameters for one symbol.

For: Wilder's relative strength index as a fast kernel. Not for: thresholds or positions, which
belong to the strategies, and not for the slow twins that judge it (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators.averages import ema
from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def rsi(close: Floats, periods: Ints) -> Floats:
    """Compute Wilder's relative strength index for several periods.

    The first average is the plain mean of the first ``p`` moves, then
    ``au[t] = (au[t-1] (p - 1) + up[t]) / p``, and ``RSI = 100 au / (au + ad)``, 50 if both are 0.

    Parameters
    ----------
    close : float64, ``[bar]``
    periods : int64, ``[period]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[period, bar]``
        In [0, 100]; NaN on the first ``p`` bars.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.

    Examples
    --------
    >>> rsi(np.array([10.0, 11.0, 10.0, 12.0]), np.array([2]))[0, 2:].round(2).tolist()
    [50.0, 83.33]
    """
    bars, rows = close.size, periods.size
    out = np.full((rows, bars), np.nan)
    if rows == 0 or bars == 0:
        return out
    up, down, span = np.zeros(rows), np.zeros(rows), periods.astype(np.float64)
    longest = min(periods.max(), bars - 1)
    for k in range(rows):
        p = periods[k]
        for t in range(1, longest + 1):
            move = close[t] - close[t - 1]
            gain, loss = max(move, 0.0), max(-move, 0.0)
            if t <= p:
                up[k] += gain
                down[k] += loss
            if t == p:
                up[k] /= p
                down[k] /= p
            elif t > p:
                up[k] = (up[k] * (p - 1) + gain) / p
                down[k] = (down[k] * (p - 1) + loss) / p
            if t >= p:
                out[k, t] = _strength(up[k], down[k])
    # All periods at once from here on: their divisions are those of one vector.
    strength = np.empty(rows)
    for t in range(longest + 1, bars):
        move = close[t] - close[t - 1]
        gain, loss = max(move, 0.0), max(-move, 0.0)
        for k in range(rows):
            up[k] = (up[k] * (span[k] - 1.0) + gain) / span[k]
            down[k] = (down[k] * (span[k] - 1.0) + loss) / span[k]
            strength[k] = _strength(up[k], down[k])
        for k in range(rows):
            out[k, t] = strength[k]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _strength(up: float, down: float) -> float:
    strength = 100.0 * up / (up + down)
    return 50.0 if up + down == 0.0 else strength


def smoothed_rsi(bars: SymbolBars, *, period: Ints, smoothing: Ints) -> Floats:
    """Exponential averages of the relative strength index.

    Parameters
    ----------
    bars : SymbolBars
    period, smoothing : int64, ``[row]``
        Of the index, and span of the average over it, in bars.

    Returns
    -------
    float64, ``[row, bar]``
    """
    periods, source = np.unique(period, return_inverse=True)
    strength = rsi(bars.close, periods)
    if (smoothing == 1).all():
        return strength[source]
    return ema(strength, source, smoothing)
