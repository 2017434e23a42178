"""Oscillators, batched over their parameters for one symbol.

For: Wilder's relative strength index as a fast kernel. Not for: thresholds or positions, which
belong to the strategies, and not for the slow twins that judge it (``plain``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
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
    bars = close.size
    out = np.full((periods.size, bars), np.nan)
    for k in range(periods.size):
        p = periods[k]
        if bars <= p:
            continue
        up, down = 0.0, 0.0
        for t in range(1, p + 1):
            move = close[t] - close[t - 1]
            if move > 0.0:
                up += move
            else:
                down -= move
        up, down = up / p, down / p
        out[k, p] = 50.0 if up + down == 0.0 else 100.0 * up / (up + down)
        for t in range(p + 1, bars):
            move = close[t] - close[t - 1]
            up = (up * (p - 1) + max(move, 0.0)) / p
            down = (down * (p - 1) + max(-move, 0.0)) / p
            out[k, t] = 50.0 if up + down == 0.0 else 100.0 * up / (up + down)
    return out
