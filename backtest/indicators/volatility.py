"""How much a price moves from bar to bar: true range and deviation of returns.

For: both as fractions of the price, batched over windows for one symbol, as stops and sizes need
them. Not for: the slow twins that judge them (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators.averages import sma, squares_around
from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def true_range(bars: SymbolBars, *, window: Ints) -> Floats:
    """Wilder's average true range as a fraction of the close.

    The true range of a bar reaches from the lower of its low and the close before to the higher of
    its high and that close. Its average starts as the mean of the first ``w`` and moves on by
    ``(average (w - 1) + range) / w``.

    Parameters
    ----------
    bars : SymbolBars
    window : int64, ``[row]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[row, bar]``
        NaN on the first ``w`` bars.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    return _true_range(bars.high, bars.low, bars.close, window)


@njit(cache=True, nogil=True, error_model="numpy")
def _true_range(high: Floats, low: Floats, close: Floats, windows: Ints) -> Floats:
    bars = close.size
    out = np.full((windows.size, bars), np.nan)
    for k in range(windows.size):
        w, average = windows[k], 0.0
        for t in range(1, bars):
            reach = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
            if t <= w:
                average += reach
            if t == w:
                average /= w
            elif t > w:
                average = (average * (w - 1) + reach) / w
            if t >= w:
                out[k, t] = average / close[t]
    return out


def return_deviation(bars: SymbolBars, *, window: Ints) -> Floats:
    """Standard deviation of the last ``w`` returns from close to close, with ``w - 1`` below.

    Parameters
    ----------
    bars : SymbolBars
    window : int64, ``[row]``
        Each at least 2, in returns.

    Returns
    -------
    float64, ``[row, bar]``
        As a fraction, per bar; NaN on the first ``w`` bars.
    """
    moves = bars.close[1:] / bars.close[:-1] - 1.0
    out = np.full((window.size, bars.size), np.nan)
    squares = squares_around(moves, sma(moves, window), window)
    out[:, 1:] = np.sqrt(squares / (window - 1.0)[:, None])
    return out
