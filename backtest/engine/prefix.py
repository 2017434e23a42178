"""What makes a trade cheap to measure: sums over all bars before, and extremes between any two.

For: tables of one symbol from which return, risk and drawdown of any holding period are read in
constant time. Not for: finding the periods (``events``).

Sums of close-to-close returns up to each bar: the difference of two rows is the sum between them.
Extremes are a disjoint sparse table over closes: level ``l`` holds, from the middle of each block
of ``2^(l+1)`` bars outwards, the lowest close, the highest, and the largest fall from a high. Two
bars first differ in one binary digit; at its level, the runs from one to the middle and from there
to the other make up everything between them.

Making them keeps the interpreter's lock: they are done before another thread, woken for it, would
have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.engine.bits import leading_zeros
from backtest.market.panel import SymbolBars

WILD = 1.0
"""A return of a bar that is told apart: prices that double."""

Array = npt.NDArray[Any]


@njit(cache=True, error_model="numpy")
def sums_of(closes: Array) -> Any:
    """Sums up to each bar of the simple return, its square, and its square where it is a loss.

    Returns above ``WILD`` are left out and counted in the last column: beside their squares the
    sums would lose the digits of all others.

    Parameters
    ----------
    closes : float64, ``[bar]``

    Returns
    -------
    float64, ``[bar, 4]``
    """
    out = np.zeros((closes.size, 4))
    for t in range(1, closes.size):
        r = closes[t] / closes[t - 1] - 1.0
        loss, wild = min(r, 0.0), r > WILD
        tame = 0.0 if wild else r
        out[t, 0] = out[t - 1, 0] + tame
        out[t, 1] = out[t - 1, 1] + tame * tame
        out[t, 2] = out[t - 1, 2] + loss * loss
        out[t, 3] = out[t - 1, 3] + wild
    return out


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def added(sums: Any, closes: Array, before: Array, first: int, last: int) -> Any:
    """Add the returns after one bar up to another to three sums."""
    total, squares, losses = sums
    if before[last, 3] == before[first, 3]:
        total += before[last, 0] - before[first, 0]
        squares += before[last, 1] - before[first, 1]
        losses += before[last, 2] - before[first, 2]
    else:
        for t in range(first + 1, last + 1):
            r = closes[t] / closes[t - 1] - 1.0
            loss = min(r, 0.0)
            total, squares, losses = total + r, squares + r * r, losses + loss * loss
    return total, squares, losses


def market_of(bars: SymbolBars) -> tuple[Array, Array, Array, Array]:
    """Opens, closes, sums and extremes of one symbol, in the order in which kernels take them."""
    return bars.open, bars.close, sums_of(bars.close), extremes_of(bars.close)


def extremes_of(closes: Array) -> Array:
    """Extremes of runs outwards from the middle of each block of every size.

    Each is ``lowest, highest, kept``: what the largest fall leaves, as a fraction of the high.

    Parameters
    ----------
    closes : float64, ``[bar]``

    Returns
    -------
    float64, ``[level, bar, 3]``
        From the bar to the middle of its block of ``2^(level + 1)`` bars, or from there to it.
    """
    # Made here: memory that a compiled function asks for is new, and touched for the first time.
    out = np.empty((max(1, int(closes.size - 1).bit_length()), closes.size, 3))
    _fill(closes, out)
    return out


@njit(cache=True, error_model="numpy")
def _fill(closes: Array, out: Array) -> None:
    bars = closes.size
    for t in range(bars):
        out[0, t, 0], out[0, t, 1], out[0, t, 2] = closes[t], closes[t], 1.0
    for level in range(1, out.shape[0]):
        half, runs = 1 << level, out[level]
        for middle in range(half, bars, 2 * half):
            low, high, kept = closes[middle], closes[middle], 1.0
            for t in range(middle, min(middle + half, bars)):
                close = closes[t]
                low, high = min(low, close), max(high, close)
                kept = min(kept, close / high)
                runs[t, 0], runs[t, 1], runs[t, 2] = low, high, kept
            low, high, kept = closes[middle - 1], closes[middle - 1], 1.0
            for i in range(half):
                t = middle - 1 - i
                close = closes[t]
                low, high = min(low, close), max(high, close)
                kept = min(kept, low / close)
                runs[t, 0], runs[t, 1], runs[t, 2] = low, high, kept


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def between(extremes: Array, first: int, last: int) -> Any:
    """Extremes of the closes from ``first`` to ``last``, both included."""
    level = 63 - leading_zeros(np.uint64(first ^ last) | np.uint64(1))
    low, high, kept = (
        extremes[level, first, 0],
        extremes[level, first, 1],
        extremes[level, first, 2],
    )
    next_low, next_high = extremes[level, last, 0], extremes[level, last, 1]
    kept = min(min(kept, extremes[level, last, 2]), next_low / high)
    return min(low, next_low), max(high, next_high), kept
