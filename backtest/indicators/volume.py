"""What volume says: its usual size, and the money that flows with rising and falling prices.

For: relative volume and the money flow index, batched over windows for one symbol. Not for: the
slow twins that judge them (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators.averages import sma
from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

USUAL_WINDOW = 20
"""Bars over which the usual volume is averaged, today's included."""


def relative_volume(bars: SymbolBars) -> Floats:
    """Volume over its usual size; ``[1, bar]``, NaN where either is unknown or none."""
    usual = sma(bars.volume, np.array([USUAL_WINDOW]))
    relative = np.full_like(usual, np.nan)
    return np.divide(bars.volume, usual, out=relative, where=usual > 0.0)


def money_flow_index(bars: SymbolBars, *, window: Ints) -> Floats:
    """Share of the money flow of the last ``w`` bars that came with a rising typical price.

    The flow of a bar is its typical price ``(high + low + close) / 3`` times its volume.
    ``MFI = 100 up / (up + down)``, 50 if both are 0.

    Parameters
    ----------
    bars : SymbolBars
    window : int64, ``[row]``
        Each at least 1, in bars.

    Returns
    -------
    float64, ``[row, bar]``
        In [0, 100]; NaN on the first ``w`` bars and where a volume in the window is unknown.

    References
    ----------
    G. Quong, A. Soudack, Volume-weighted RSI: money flow, Technical Analysis of Stocks and
    Commodities, 1989.
    """
    return _money_flow_index((bars.high + bars.low + bars.close) / 3.0, bars.volume, window)


@njit(cache=True, nogil=True, error_model="numpy")
def _money_flow_index(typical: Floats, volume: Floats, windows: Ints) -> Floats:
    bars = typical.size
    out = np.full((windows.size, bars), np.nan)
    for k in range(windows.size):
        for t in range(windows[k], bars):
            up, down, known = 0.0, 0.0, True
            for i in range(t - windows[k] + 1, t + 1):
                flow = typical[i] * volume[i]
                known &= not np.isnan(flow)
                if typical[i] > typical[i - 1]:
                    up += flow
                elif typical[i] < typical[i - 1]:
                    down += flow
            if known:
                out[k, t] = 50.0 if up + down == 0.0 else 100.0 * up / (up + down)
    return out
