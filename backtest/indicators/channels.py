"""Where a close lies against the highest and the lowest of the closes before it.

For: channels as fast kernels, batched over windows for one symbol. Not for: channels of highs and
lows inside bars.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def highest_before(bars: SymbolBars, *, window: Ints) -> Floats:
    """How far each close lies above the highest of the ``w`` closes before it.

    Parameters
    ----------
    bars : SymbolBars
    window : int64, ``[row]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[row, bar]``
        In units of price; NaN on the first ``w`` bars.
    """
    return _over_highest(bars.close, window)


def lowest_before(bars: SymbolBars, *, window: Ints) -> Floats:
    """How far each close lies above the lowest of the ``w`` closes before it, so below 0 if lower.

    Parameters
    ----------
    bars : SymbolBars
    window : int64, ``[row]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[row, bar]``
        In units of price; NaN on the first ``w`` bars.
    """
    lowest: Floats = -_over_highest(-bars.close, window)
    return lowest


@njit(cache=True, nogil=True)
def _over_highest(close: Floats, windows: Ints) -> Floats:
    bars = close.size
    out = np.full((windows.size, bars), np.nan)
    # Bars whose closes fall from the first to the last: the first is the highest of a window.
    queue = np.empty(bars, dtype=np.int64)
    for k in range(windows.size):
        head, tail = 0, 0
        for t in range(bars):
            if t >= windows[k]:
                while queue[head] < t - windows[k]:
                    head += 1
                out[k, t] = close[t] - close[queue[head]]
            while tail > head and close[queue[tail - 1]] <= close[t]:
                tail -= 1
            queue[tail] = t
            tail += 1
    return out
