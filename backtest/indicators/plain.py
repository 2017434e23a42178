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
        level = value if level is None else level + new * (value - level)
        out.append(level)
    return out


def mean(values: Sequence[float]) -> float:
    """Sum over the count.

    Examples
    --------
    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    return total(values) / len(values)


def level_of(values: Sequence[float]) -> float:
    """First value and the mean distance from it: of equal values it is that value.

    Examples
    --------
    >>> level_of([0.1, 0.1, 0.1])
    0.1
    """
    return values[0] + mean([value - values[0] for value in values])


def total(values: Sequence[float]) -> float:
    """Sum from first to last.

    Not the built-in ``sum``, which rounds differently since Python 3.12.

    Examples
    --------
    >>> total([1.0, 2.0])
    3.0
    """
    out = 0.0
    for value in values:
        out += value
    return out


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
        out.append(level_of(inside) if full else None)
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


def macd_histogram(close: Sequence[float], fast: int, slow: int, signal: int) -> list[Missing]:
    """Difference of two exponential averages over its own average.

    Examples
    --------
    >>> macd_histogram([1.0, 2.0], 1, 3, 1)
    [0.0, 0.0]
    """
    pairs = zip(ema(close, fast), ema(close, slow), strict=True)
    macd = [q - s for q, s in pairs if q is not None and s is not None]
    usual = zip(macd, ema(macd, signal), strict=True)
    return [value - level if level is not None else None for value, level in usual]


def relative_volume(volume: Sequence[float], window: int = 20) -> list[Missing]:
    """Volume over its mean of the last ``window`` bars; None where either is unknown or none.

    Examples
    --------
    >>> relative_volume([1.0, 3.0], 2)
    [None, 1.5]
    """
    pairs = zip(volume, sma(volume, window), strict=True)
    return [v / usual if usual is not None and usual > 0.0 else None for v, usual in pairs]


def money_flow_index(
    typical: Sequence[float], volume: Sequence[float], window: int
) -> list[Missing]:
    """Share of the money flow that came with a rising typical price; None while missing.

    Examples
    --------
    >>> money_flow_index([2.0, 3.0, 2.0], [1.0, 2.0, 1.0], 2)
    [None, None, 75.0]
    """
    out: list[Missing] = []
    for t in range(len(typical)):
        inside = range(t - window + 1, t + 1)
        if t < window or any(volume[i] != volume[i] for i in inside):
            out.append(None)
            continue
        up = down = 0.0
        for i in inside:
            up += typical[i] * volume[i] if typical[i] > typical[i - 1] else 0.0
            down += typical[i] * volume[i] if typical[i] < typical[i - 1] else 0.0
        out.append(_strength(up, down))
    return out


def true_range(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], window: int
) -> list[Missing]:
    """Wilder's average true range over the close; None while missing.

    Examples
    --------
    >>> true_range([4.0, 5.0, 4.0], [4.0, 3.0, 3.0], [4.0, 4.0, 4.0], 1)
    [None, 0.5, 0.25]
    """
    reach = [max(high[t], close[t - 1]) - min(low[t], close[t - 1]) for t in range(1, len(close))]
    out: list[Missing] = [None] * min(window, len(close))
    average = 0.0
    for t in range(window, len(close)):
        if t == window:
            average = mean(reach[:window])
        else:
            average = (average * (window - 1) + reach[t - 1]) / window
        out.append(average / close[t])
    return out


def return_deviation(close: Sequence[float], window: int) -> list[Missing]:
    """Standard deviation of the last ``window`` returns, one less below; None while missing.

    Examples
    --------
    >>> return_deviation([1.0, 2.0, 2.0], 2)[1:]
    [None, 0.7071067811865476]
    """
    moves = [new / old - 1.0 for old, new in itertools.pairwise(close)]
    out: list[Missing] = [None] * min(window, len(close))
    for t in range(window, len(close)):
        inside = moves[t - window : t]
        middle = level_of(inside)
        squares = total([(r - middle) * (r - middle) for r in inside])
        out.append(math.sqrt(squares / (window - 1)))
    return out


def difference(first: Sequence[Missing], second: Sequence[Missing]) -> list[Missing]:
    """First less second; None where either is missing.

    Examples
    --------
    >>> difference([3.0, None], [1.0, 1.0])
    [2.0, None]
    """
    return [
        a - b if a is not None and b is not None else None
        for a, b in zip(first, second, strict=True)
    ]
