"""The engine for what depends on the path of a trade: guards that end it, and sizes.

For: positions and metrics of every set whose rules carry guards, one lane per set and symbol. It
walks from trade to trade like ``events``; only bars of trades that use part of the cash, or sell
short, are walked one by one. Not for: what guards mean (``conditions``, and ``reference``, which
judges).

A guard of a long trade is found without looking at its bars: lowest and highest close and the
largest fall between any two bars come from the table of ``prefix``, and whether a guard has been
hit by a bar can only change from no to yes, so that halving finds the bar.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.engine import prefix
from backtest.engine.bits import bit, exit_long, exit_short, first_clear, first_set
from backtest.engine.borrow import all_borrowed, borrowed
from backtest.engine.signals import SIZE, STOP, TAKE, TRAIL, Limits, Signals
from backtest.engine.tally import COLUMNS, NO_SUMS, NO_TRADES, closed, day, left, nothing, summarise
from backtest.market.panel import SymbolBars

LOOK = 32
"""Bars that are looked at one by one rather than halved."""

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def targets(bars: SymbolBars, signals: Signals) -> Floats:
    """Positions wanted at each close: the side times the share of the cash; ``[param, bar]``."""
    out = np.zeros((signals.enter_long.size, bars.size))
    if bars.size > 0:
        limits, market = _limits_of(signals, bars).arrays, prefix.market_of(bars)
        _fill(signals.columns, signals.sides, limits, market, out)
    return out


def metrics(bars: SymbolBars, signals: Signals, *, cost: float, periods_per_year: int) -> Floats:
    """Metrics of the account of every set; see ``events.metrics``.

    Returns
    -------
    float64, ``[column, param]``
    """
    if bars.size == 0:
        return nothing(signals.enter_long.size)
    out = np.empty((len(COLUMNS), signals.enter_long.size))
    _measure_all(
        signals.columns,
        signals.sides,
        _limits_of(signals, bars).arrays,
        prefix.market_of(bars),
        (cost, periods_per_year),
        out,
    )
    return out


def _limits_of(signals: Signals, bars: SymbolBars) -> Limits:
    """Limits of the signals, or those of rules that have none."""
    if signals.limits is not None:
        return signals.limits
    sets = signals.enter_long.size
    times, row = np.full((4, sets), np.inf), np.zeros((4, sets), dtype=np.int64)
    return Limits(times, row, np.zeros(sets, dtype=np.int64), np.ones((1, bars.size)))


@njit(cache=True, nogil=True, inline="always")
def _limit(limits: Any, measure: int, p: int, t: int) -> Any:
    """One measure of a trade that is decided at a bar."""
    times, row, _, levels = limits
    number = times[measure, p]
    return number if number == np.inf else number * levels[row[measure, p], t]


@njit(cache=True, nogil=True, inline="always")
def _opens(columns: Array, sides: Any, free: Any, seen: Any) -> Any:
    """Next close that opens a position.

    ``free`` is the first close at which each side may open, ``seen`` the next true entry of each
    that is known so far. Returns the close, past all bars if there is none, and ``seen``.
    """
    longs, shorts = seen
    if longs < free[0]:
        longs = first_set(columns, sides[0], free[0])
    if shorts < free[1]:
        shorts = first_set(columns, sides[2], free[1])
    return min(longs, shorts), (longs, shorts)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _ends(columns: Array, sides: Any, held: Any, limits: Any, market: Any) -> Any:
    """Close that decides to end a position, past all bars if none, and whether a guard does.

    ``held`` is whether it is long, its first bar, and the first close at which a long position may
    open; ``limits`` are stop, take, trail, longest.
    """
    long, first, free = held
    stop, take, trail, longest = limits
    end = market[1].size - 1
    if long:
        ruled = exit_long(columns, sides[1], sides[0], first)
    else:
        ruled = exit_short(columns, sides[3], (sides[0], sides[2]), first)
        # A long entry that a guard still refuses does not reverse a short position.
        while ruled < free and ruled <= end and bit(columns, sides[2], ruled):
            ruled = exit_short(columns, sides[3], (sides[0], sides[2]), ruled + 1)
    last = min(ruled, end)
    timed = longest > 0 and first + longest - 1 < ruled
    if timed:
        last = min(last, first + longest - 1)
    if long:
        found = _guarded_long(market, (first, last), (stop, take, trail))
    else:
        found = _guarded_short(market, (first, last), (stop, take, trail))
    if found <= last:
        return found, found < ruled
    if timed and first + longest - 1 <= end:
        return first + longest - 1, True
    return ruled, False


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _hit(market: Any, first: int, last: int, guards: Any) -> Any:
    """Whether a guard of a long trade has been hit within a span of bars from its first on."""
    stop, take, trail = guards
    low, high, kept = prefix.between(market[3], first, last)
    entry = market[0][first]
    lost = low / entry
    return lost - 1.0 <= -stop or high / entry - 1.0 >= take or 1.0 - min(kept, lost) >= trail


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _guarded_long(market: Any, span: tuple[int, int], guards: Any) -> Any:
    """First bar at which a guard ends a long trade; after the span if none does."""
    first, last = span
    if not _hit(market, first, last, guards):
        return last + 1
    # Trades that a guard ends tend to be short: widen, halve what is left, and then look.
    low, high, step = first - 1, min(first + LOOK, last), LOOK
    while high < last and not _hit(market, first, high, guards):
        low, high, step = high, min(high + step, last), 2 * step
    while high - low > LOOK:
        middle = (low + high) // 2
        if _hit(market, first, middle, guards):
            high = middle
        else:
            low = middle
    stop, take, trail = guards
    best = entry = market[0][first]
    if low >= first:
        best = max(entry, prefix.between(market[3], first, low)[1])
    for t in range(low + 1, high):
        close = market[1][t]
        best, moved = max(best, close), close / entry - 1.0
        if moved <= -stop or moved >= take or 1.0 - close / best >= trail:
            return t
    return high


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _guarded_short(market: Any, span: tuple[int, int], guards: Any) -> Any:
    """First bar at which a guard ends a short trade; after the span if none does."""
    stop, take, trail = guards
    best = entry = market[0][span[0]]
    low, high, _ = prefix.between(market[3], span[0], span[1])
    # No rise from the best price can be larger than that from the lowest to the highest.
    rise = high / min(low, entry) - 1.0
    if high / entry - 1.0 < stop and 1.0 - low / entry < take and rise < trail:
        return span[1] + 1
    for t in range(span[0], span[1] + 1):
        close = market[1][t]
        best, moved = min(best, close), close / entry - 1.0
        if moved >= stop or -moved >= take or close / best - 1.0 >= trail:
            return t
    return span[1] + 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _trade(
    columns: Array, sides: Any, limits: Any, market: Any, p: int, ready: tuple[Any, Any]
) -> Any:
    """Next trade of set ``p``.

    ``ready`` is ``free`` and ``seen`` of :func:`_opens`. Returns the close that decides it (past
    all bars if there is none), the side, the share of the cash, the close that decides its end
    (past all bars if none does), and what ``free`` and ``seen`` are then.
    """
    bars = market[1].size
    free, seen = ready
    while True:
        decided, seen = _opens(columns, sides, free, seen)
        if decided >= bars:
            return decided, 0, 0.0, decided, free, seen
        stop, take = _limit(limits, STOP, p, decided), _limit(limits, TAKE, p, decided)
        trail, size = _limit(limits, TRAIL, p, decided), _limit(limits, SIZE, p, decided)
        if size > 0.0 and stop == stop and take == take and trail == trail:
            break
        free = (max(free[0], decided + 1), max(free[1], decided + 1))
    long = seen[0] == decided
    if decided + 1 == bars:  # what the last close decides is never filled
        return decided, 1 if long else -1, min(size, 1.0), bars, free, seen
    guards = (stop, take, trail, limits[2][p])
    ended, guarded = _ends(columns, sides, (long, decided + 1, free[0]), guards, market)
    freed = ended
    if guarded:
        freed = first_clear(columns, sides[0] if long else sides[2], ended)
    free = (freed, max(free[1], ended)) if long else (max(free[0], ended), freed)
    return decided, 1 if long else -1, min(size, 1.0), ended, free, seen


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(columns: Array, sides: Any, limits: Any, market: Any, out: Array) -> None:
    """Fill targets ``[param, bar]``, which are 0 before."""
    columns, sides = borrowed(columns), all_borrowed(sides)
    limits, market = all_borrowed(limits), all_borrowed(market)
    bars = out.shape[1]
    for p in range(out.shape[0]):
        own = (sides[0][p], sides[1][p], sides[2][p], sides[3][p])
        free, seen = (0, 0), (-1, -1)
        while True:
            decided, side, size, ended, free, seen = _trade(
                columns, own, limits, market, p, (free, seen)
            )
            if decided >= bars:
                break
            out[p, decided : min(ended, bars)] = side * size
            if ended >= bars:
                break


@njit(cache=True, nogil=True, error_model="numpy")
def _measure_all(
    columns: Array, sides: Any, limits: Any, market: Any, terms: tuple[float, int], out: Array
) -> None:
    """Walk every set from trade to trade, and measure it; ``out`` is ``[column, param]``."""
    columns, sides = borrowed(columns), all_borrowed(sides)
    limits, market = all_borrowed(limits), all_borrowed(market)
    opens, cost = market[0], terms[0]
    end = opens.size - 1
    for p in range(out.shape[1]):
        own = (sides[0][p], sides[1][p], sides[2][p], sides[3][p])
        free, seen = (0, 0), (-1, -1)
        sums, trades, turnover = NO_SUMS, NO_TRADES, 0.0
        # ``cash`` after the last exit, which the last close left at ``last``; ``gone`` is its bar.
        cash, last, peak, drawdown, gone = 1.0, 1.0, 1.0, 0.0, -1
        while True:
            decided, side, size, ended, free, seen = _trade(
                columns, own, limits, market, p, (free, seen)
            )
            if gone >= 0 and decided != gone:  # flat after the exit: its day is over
                sums = day(sums, cash / last - 1.0)
                last, drawdown, peak = cash, max(drawdown, 1.0 - cash / peak), max(peak, cash)
            if decided >= end:
                break
            first, stake = decided + 1, cash * size
            price = opens[first]
            shares = stake / (price * (1.0 + cost))
            rest = cash - stake if side > 0 else cash + shares * price * (1.0 - cost)
            turnover += shares * price / last
            span = (first, min(ended, end), rest, side * shares, last, cash)
            sums, worth, peak, drawdown, lost = _hold(market, span, sums, (peak, drawdown))
            if worth == 0.0:  # nothing is left: closed there, and never traded again
                turnover += lost
                trades, last = closed(trades, -1.0), 0.0
                break
            last = worth
            if ended >= end:  # still open
                break
            price, entered = opens[ended + 1], cash
            turnover += shares * price / worth
            cash = left(rest + side * shares * price - shares * price * cost, entered)
            trades, gone = closed(trades, cash / entered - 1.0), ended
            if cash == 0.0:
                sums, last, drawdown = day(sums, -1.0), 0.0, 1.0
                break
        summarise(sums, (last - 1.0, drawdown, turnover), trades, (opens.size, terms[1]), out[:, p])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _hold(market: Any, span: Any, sums: Any, path: Any) -> Any:
    """Hold a position from the first open to the final close.

    It is worth ``rest + shares close``, shares being negative where it is short; ``span`` is the
    first bar and the last, rest, shares, the worth at the close before, and the cash before the
    trade; ``path`` is the peak so far and the drawdown. Returns sums, worth, peak and drawdown, and
    what buying everything back turns over where nothing is left; the worth is then 0.
    """
    _, closes, before, extremes = market
    first, final, rest, shares, last, cash = span
    peak, drawdown = path
    low, high, kept = prefix.between(extremes, first, final)
    if shares < 0.0:
        low, high = high, low
    worst, best = rest + shares * low, rest + shares * high
    ruined = shares < 0.0 and left(worst, cash) == 0.0
    if ruined:
        final = _ruin(closes, span)
    if rest == 0.0:
        sums = day(sums, closes[first] * shares / last - 1.0)
        sums = prefix.added(sums, closes, before, first, final)
        drawdown = max(drawdown, 1.0 - min(kept, worst / peak))
        return sums, closes[final] * shares, max(peak, best), drawdown, 0.0
    total, squares, losses = day(sums, max(rest + shares * closes[first], 0.0) / last - 1.0)
    more = _moves(closes, (first, final), rest, shares)
    sums = (total + more[0], squares + more[1], losses + more[2])
    if ruined:
        if final > first:
            last = rest + shares * closes[final - 1]
        return sums, 0.0, peak, 1.0, -shares * closes[final] / last
    drawdown = max(drawdown, 1.0 - worst / peak)
    # No fall inside can be larger than that of the price, or than from the best to the worst.
    bound = 1.0 - kept if shares > 0.0 else 1.0 - worst / best
    if bound > drawdown:
        drawdown = _deepest(closes, (first, final), rest, shares, (peak, drawdown))
    return sums, rest + shares * closes[final], max(peak, best), drawdown, 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def _moves(closes: Array, span: tuple[int, int], rest: float, shares: float) -> Any:
    """Sums of the daily returns after the first bar of a trade."""
    total, squares, losses = 0.0, 0.0, 0.0
    for t in range(span[0] + 1, span[1] + 1):
        before = rest + shares * closes[t - 1]
        r = max(rest + shares * closes[t], 0.0) / before - 1.0
        loss = min(r, 0.0)
        total += r
        squares += r * r
        losses += loss * loss
    return total, squares, losses


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _deepest(closes: Array, span: tuple[int, int], rest: float, shares: float, path: Any) -> Any:
    """Drawdown after a trade, looked for bar by bar."""
    peak, drawdown = path
    for t in range(span[0], span[1] + 1):
        worth = rest + shares * closes[t]
        peak = max(peak, worth)
        drawdown = max(drawdown, 1.0 - worth / peak)
    return drawdown


@njit(cache=True, nogil=True, inline="always")
def _ruin(closes: Array, span: Any) -> Any:
    """First bar at whose close nothing of a position is left; its last bar if there is none."""
    first, final, rest, shares, _, cash = span
    for t in range(first, final):
        if left(rest + shares * closes[t], cash) == 0.0:
            return t
    return final
