"""The indicators once more, in plain Python: slow, obvious, and the judge of the fast ones.

For: the ``reference`` of each strategy and the differential tests. Not for: anything that must
be fast.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

Missing = float | None


def rsi(close: Sequence[float], period: int) -> list[Missing]:
    """Wilder's relative strength index of one series; None while missing.

    Examples
    --------
    >>> rsi([10.0, 11.0, 10.0, 12.0], 2)[:3]
    [None, None, 50.0]
    """
    ups = [max(new - old, 0.0) for old, new in itertools.pairwise(close)]
    downs = [max(old - new, 0.0) for old, new in itertools.pairwise(close)]
    out: list[Missing] = [None] * min(period, len(close))
    if len(close) <= period:
        return out
    average_up = mean(ups[:period])
    average_down = mean(downs[:period])
    out.append(_strength(average_up, average_down))
    for up, down in zip(ups[period:], downs[period:], strict=True):
        average_up = (average_up * (period - 1) + up) / period
        average_down = (average_down * (period - 1) + down) / period
        out.append(_strength(average_up, average_down))
    return out


def _strength(up: float, down: float) -> float:
    return 50.0 if up + down == 0.0 else 100.0 * up / (up + down)


def ema(values: Sequence[Missing], span: int) -> list[Missing]:
    """Exponential average with weight ``2 / (span + 1)``, started at the first value there.

    Examples
    --------
    >>> ema([None, 1.0, 2.0], 3)
    [None, 1.0, 1.5]
    """
    new = 2.0 / (span + 1.0)
    level: Missing = None
    out: list[Missing] = []
    for value in values:
        if value is None:
            out.append(None)
            continue
        level = value if level is None else new * value + (1.0 - new) * level
        out.append(level)
    return out


def mean(values: Sequence[float]) -> float:
    """Sum from first to last, over the count.

    Not the built-in ``sum``, which rounds differently since Python 3.12.

    Examples
    --------
    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def sma(values: Sequence[float], window: int) -> list[Missing]:
    """Mean of the last ``window`` values; None where a value in it is missing (NaN).

    Examples
    --------
    >>> sma([1.0, 2.0, 6.0], 2)
    [None, 1.5, 4.0]
    """
    out: list[Missing] = []
    for t in range(len(values)):
        inside = values[max(0, t - window + 1) : t + 1]
        full = len(inside) == window and all(v == v for v in inside)
        out.append(mean(inside) if full else None)
    return out


def distance(values: Sequence[float], window: int) -> list[Missing]:
    """Distance from the mean of the last ``window`` values in their deviations; None if none.

    Examples
    --------
    >>> distance([1.0, 3.0], 2)
    [None, 1.0]
    """
    out: list[Missing] = []
    for t, middle in enumerate(sma(values, window)):
        if middle is None:
            out.append(None)
            continue
        inside = values[t - window + 1 : t + 1]
        variance = mean([(value - middle) * (value - middle) for value in inside])
        out.append((values[t] - middle) / math.sqrt(variance) if variance > 0.0 else None)
    return out


def past_return(close: Sequence[float], lookback: int, skip: int) -> list[Missing]:
    """Return from ``lookback`` bars ago to ``skip`` bars ago; None while missing.

    Examples
    --------
    >>> past_return([4.0, 5.0, 6.0], 2, 1)
    [None, None, 0.25]
    """
    return [
        close[t - skip] / close[t - lookback] - 1.0 if t >= lookback else None
        for t in range(len(close))
    ]
