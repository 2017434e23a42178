"""What volume says: its usual size, and the money that flows with rising and falling prices.

For: relative volume and the money flow index, batched over windows for one symbol. Not for: the
slow twins that judge them (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.indicators.averages import sma, sums
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
    typical = (bars.high + bars.low + bars.close) / 3.0
    flow = typical * bars.volume
    moved = np.sign(np.diff(typical, prepend=np.nan))
    known = np.isfinite(flow) & np.isfinite(moved)
    up = sums(np.where(known, np.where(moved > 0.0, flow, 0.0), np.nan), window)
    down = sums(np.where(known, np.where(moved < 0.0, flow, 0.0), np.nan), window)
    both = up + down
    index = np.where(np.isnan(both), np.nan, 50.0)
    return np.divide(100.0 * up, both, out=index, where=both > 0.0)
