"""Where a close lies against the highest and the lowest of the closes before it.

For: channels, batched over windows for one symbol. Not for: channels of highs and
lows inside bars.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def _over_highest(close: Floats, windows: Ints) -> Floats:
    out = np.full((windows.size, close.size), np.nan)
    # Highest of the last 1, 2, 4 and so on; two of them cover any window.
    highest, length = [close], 1
    while 2 * length <= min(windows.max(initial=1), close.size):
        last = highest[-1].copy()
        np.maximum(last[length:], highest[-1][:-length], out=last[length:])
        highest.append(last)
        length *= 2
    for k, window in enumerate(windows.tolist()):
        if window < close.size:
            level = window.bit_length() - 1
            runs, apart = highest[level], window - (1 << level)
            first = runs[window - 1 - apart : close.size - 1 - apart]
            np.subtract(
                close[window:], np.maximum(first, runs[window - 1 : -1]), out=out[k, window:]
            )
    return out
