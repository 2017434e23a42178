"""Time room 1: a target at the close of one bar becomes a position from the next open.

For: when a decision is filled and which return belongs to which position, in books and wherever
positions are arrays. Kernels that walk accounts (``events``, ``lanes``, ``device_accounts``) say
the same in their own steps and are held to it by the slow engine. Not for: costs and cash.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.market.panel import SymbolBars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def positions(targets: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Positions held from each open to the same close, from targets at each close.

    Parameters
    ----------
    targets : int8, ``[..., bar]``

    Returns
    -------
    int8, ``[..., bar]``
        The target of the bar before; 0 on the first bar. The last target is never filled.

    Examples
    --------
    >>> positions(np.array([1, 1, -1], dtype=np.int8)).tolist()
    [0, 1, 1]
    """
    held = np.zeros_like(targets)
    held[..., 1:] = targets[..., :-1]
    return held


def deciding_bar(at: Ints) -> Ints:
    """Bar whose close decides the book weight that fills at each bar's open; int64, ``[bar]``.

    Parameters
    ----------
    at : int64, ``[bar]``
        Column of each bar in the session axis.

    Returns
    -------
    int64, ``[bar]``
        The bar before, if it stands in the session before; -1 on the first bar and after a gap:
        a symbol without a bar at a close is in no target of that close.

    Examples
    --------
    >>> deciding_bar(np.array([3, 4, 6])).tolist()
    [-1, 0, -1]
    """
    decision = np.arange(-1, at.size - 1)
    decision[1:][np.diff(at) != 1] = -1
    return decision


def legs(bars: SymbolBars) -> tuple[Floats, Floats]:
    """Split each bar's return where orders fill.

    Returns
    -------
    overnight : float64, ``[bar]``
        From the last known close to this open; belongs to the position held before; 0 first.
    intraday : float64, ``[bar]``
        From this open to this close; belongs to the position after the fill.
    """
    overnight = np.zeros(bars.size)
    overnight[1:] = bars.open[1:] / bars.close[:-1] - 1.0
    return overnight, bars.close / bars.open - 1.0
