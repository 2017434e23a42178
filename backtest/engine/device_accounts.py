"""Accounts on a GPU: the walk of ``events`` from trade to trade, one set a lane.

For: what each set's account on each symbol adds up to, all symbols in one launch. Not for: the
definition of the account (``reference``), nor the columns made of the sums (``events``).

Sets of a block wait for each other at each trade, not at each bar: every step of the loop below
is one trade of every set that still trades. Importing this needs Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from backtest import result
from backtest.engine.device_bits import bit, log2, next_close, some

SUMS = 12
"""Rows of what a walk adds up, in the order of ``tally.columns_of``."""

BLOCK = 32
"""Sets of a program: one warp, so that a block waits for nobody outside it."""

EVEN = tl.constexpr(result.EVEN)
NOTHING = tl.constexpr(result.NOTHING)

Tensor = torch.Tensor


@dataclass(frozen=True)
class Market:
    """Bars of several symbols side by side; what lies behind the last bar of one is not read.

    Parameters
    ----------
    opens, closes : float64, ``[symbol, bar]``
    before : float64, ``[symbol, bar, 4]``
        Of ``prefix.sums_of``.
    extremes : float64, ``[symbol, level, bar, 3]``
        Of :func:`extremes_of`.
    bars : int32, ``[symbol]``
        Number of each.
    """

    opens: Tensor
    closes: Tensor
    before: Tensor
    extremes: Tensor
    bars: Tensor


def levels_of(bars: int) -> int:
    """Levels of the table of extremes."""
    return max(1, (bars - 1).bit_length())


def bytes_of(bars: int, *, columns: int, sets: int) -> int:
    """Memory that one symbol takes: its columns, its prices and tables, and what walks add up."""
    return bars // 8 * columns + 8 * (bars * (6 + 3 * levels_of(bars)) + SUMS * sets)


def extremes_of(closes: Tensor) -> Tensor:
    """Extremes of runs outwards from the middle of each block of every size; see ``prefix``.

    Parameters
    ----------
    closes : float64, ``[symbol, bar]``

    Returns
    -------
    float64, ``[symbol, level, bar, 3]``
    """
    symbols, bars = closes.shape
    levels = levels_of(bars)
    out = closes.new_empty((symbols, levels, bars, 3))
    padded = torch.nn.functional.pad(closes, (0, (1 << levels) - bars), value=1.0)
    for level in range(levels):
        halves = padded.reshape(symbols, -1, 2, 1 << level)  # [S, block, 2, half]
        early, late = halves[:, :, 0].flip(-1), halves[:, :, 1]
        low, high = early.cummin(-1).values, late.cummax(-1).values
        runs = [
            torch.stack([low, early.cummax(-1).values, (low / early).cummin(-1).values], -1).flip(
                -2
            ),
            torch.stack([late.cummin(-1).values, high, (late / high).cummin(-1).values], -1),
        ]
        out[:, level] = torch.stack(runs, 2).reshape(symbols, -1, 3)[:, :bars]
    return out


def walk(columns: Tensor, sides: Tensor, market: Market, *, cost: float, shorts: bool) -> Tensor:
    """Add up the account of every set on every symbol.

    Parameters
    ----------
    columns : int64, ``[symbol, word, column]``
    sides : int32, ``[4, param]``
        Columns of ``Signals.sides``.
    market : Market
    cost : float
        Decimal of traded notional, per side.
    shorts : bool
        Whether any set sells short; if none does, the kernel is built without it.

    Returns
    -------
    float64, ``[symbol, 12, param]``
        Rows as ``tally.columns_of`` reads them.
    """
    symbols, words, width = columns.shape
    sets, longest = sides.shape[1], market.opens.shape[1]
    out = market.opens.new_empty((symbols, SUMS, sets))
    fee = market.opens.new_full((1,), cost)  # as an argument it would arrive in float32
    _accounts[(triton.cdiv(sets, BLOCK), symbols)](
        *(columns, sides, market.opens, market.closes, market.before, market.extremes),
        *(market.bars, fee, out, width, words, longest, market.extremes.shape[1], sets),
        **{"SHORTS": shorts, "BLOCK": BLOCK, "num_warps": 1, "enable_fp_fusion": False},
    )
    return out


@triton.jit
def _day(on: tl.tensor, sums: tl.tensor, r: tl.tensor) -> tl.tensor:
    """Add one day's return, where ``on``."""
    loss = tl.minimum(r, 0.0)
    return (
        tl.where(on, sums[0] + r, sums[0]),
        tl.where(on, sums[1] + r * r, sums[1]),
        tl.where(on, sums[2] + loss * loss, sums[2]),
    )


@triton.jit
def _left(money: tl.tensor, before: tl.tensor) -> tl.tensor:
    """What is left of money: none of it where that is next to nothing of what was before."""
    return tl.where(money <= NOTHING * tl.maximum(before, 1.0), 0.0, money)


@triton.jit
def _closed(on: tl.tensor, trades: tl.tensor, net: tl.tensor) -> tl.tensor:
    """Add one closed trade, where ``on``."""
    win, loss = on & (net > EVEN), on & (net < -EVEN)
    return (
        trades[0] + on.to(tl.int32),
        trades[1] + win.to(tl.int32),
        trades[2] + loss.to(tl.int32),
        tl.where(win, trades[3] + net, trades[3]),
        tl.where(loss, trades[4] + net, trades[4]),
        tl.where(on, trades[5] + net, trades[5]),
    )


@triton.jit
def _hold_long(
    on: tl.tensor,
    market: tl.tensor,
    longest: tl.tensor,
    span: tl.tensor,
    sums: tl.tensor,
    path: tl.tensor,
) -> tl.tensor:
    """Hold from the first open to the final close, in constant time; see ``prefix``."""
    _, closes, before, extremes = market
    first, final, shares, last = span
    close = tl.load(closes + first, mask=on, other=1.0)
    total, squares, losses = _day(on, sums, close * shares / last - 1.0)
    early, late = before + first * 4, before + final * 4
    wild = tl.load(late + 3, mask=on, other=0.0) != tl.load(early + 3, mask=on, other=0.0)
    tame = on & ~wild
    total += tl.load(late, mask=tame, other=0.0) - tl.load(early, mask=tame, other=0.0)
    squares += tl.load(late + 1, mask=tame, other=0.0) - tl.load(early + 1, mask=tame, other=0.0)
    losses += tl.load(late + 2, mask=tame, other=0.0) - tl.load(early + 2, mask=tame, other=0.0)
    t, walking = first + 1, on & wild
    while some(walking):
        move = tl.load(closes + t, mask=walking, other=1.0)
        move = move / tl.load(closes + t - 1, mask=walking, other=1.0) - 1.0
        total, squares, losses = _day(walking, (total, squares, losses), move)
        t += walking.to(tl.int32)
        walking = walking & (t <= final)
    runs = extremes + log2((first ^ final) | 1) * (longest * 3)
    low = tl.load(runs + first * 3, mask=on, other=1.0)
    high = tl.load(runs + first * 3 + 1, mask=on, other=1.0)
    kept = tl.load(runs + first * 3 + 2, mask=on, other=1.0)
    next_low = tl.load(runs + final * 3, mask=on, other=1.0)
    next_high = tl.load(runs + final * 3 + 1, mask=on, other=1.0)
    next_kept = tl.load(runs + final * 3 + 2, mask=on, other=1.0)
    kept = tl.minimum(tl.minimum(kept, next_kept), next_low / high)
    low, high = tl.minimum(low, next_low), tl.maximum(high, next_high)
    peak, drawdown = path
    fallen = tl.maximum(drawdown, 1.0 - tl.minimum(kept, low * shares / peak))
    drawdown = tl.where(on, fallen, drawdown)
    peak = tl.where(on, tl.maximum(peak, high * shares), peak)
    worth = tl.load(closes + final, mask=on, other=1.0) * shares
    return (total, squares, losses), worth, (peak, drawdown)


@triton.jit
def _hold_short(
    on: tl.tensor, market: tl.tensor, span: tl.tensor, sums: tl.tensor, path: tl.tensor
) -> tl.tensor:
    """Hold a short position bar by bar; also what buying back turns over where nothing is left."""
    opens, closes, _, _ = market
    first, final, shares, worth, cash = span
    peak, drawdown = path
    entry = tl.load(opens + first, mask=on, other=1.0)
    # The deepest fall is kept as a fraction: two products compare it, and one division is enough.
    lost = tl.zeros_like(worth)
    deep, deep_peak = lost + 1.0, lost + 1.0
    t, walking = first, on
    while some(walking):
        close = tl.load(closes + t, mask=walking, other=1.0)
        after = _left((2.0 * entry - close) * shares, cash)
        sums = _day(walking, sums, after / worth - 1.0)
        peak = tl.where(walking, tl.maximum(peak, after), peak)
        deeper = walking & (after * deep_peak < deep * peak)
        deep, deep_peak = tl.where(deeper, after, deep), tl.where(deeper, peak, deep_peak)
        gone = walking & (after == 0.0)
        lost = tl.where(gone, shares * close / worth, lost)
        worth = tl.where(walking, after, worth)
        t += walking.to(tl.int32)
        walking = walking & (t <= final) & (after > 0.0)
    drawdown = tl.where(on, tl.maximum(drawdown, 1.0 - deep / deep_peak), drawdown)
    return sums, worth, (peak, drawdown), lost


@triton.jit
def _leave(
    on: tl.tensor,
    held: tl.tensor,
    account: tl.tensor,
    sums: tl.tensor,
    path: tl.tensor,
    fee: tl.tensor,
) -> tl.tensor:
    """Close positions at a price, where ``on``; cash after it, and the day where it ends flat.

    ``account`` is cash before, worth at the close before, and whether the position turns round.
    """
    long, entry, price, shares = held
    cash, worth, turns = account
    peak, drawdown = path
    back = shares * (2.0 * entry - price * (1.0 + fee))
    after = _left(tl.where(long, shares * price * (1.0 - fee), back), cash)
    after = tl.where(on, after, cash)
    flat = on & ~(turns & (after > 0.0))  # else reversed at the same open: one day holds both
    sums = _day(flat, sums, after / worth - 1.0)
    drawdown = tl.where(flat, tl.maximum(drawdown, 1.0 - after / peak), drawdown)
    return after, flat, sums, (tl.where(flat, tl.maximum(peak, after), peak), drawdown)


@triton.jit
def _walk(
    columns: tl.tensor,
    shape: tl.tensor,
    of: tl.tensor,
    live: tl.tensor,
    market: tl.tensor,
    terms: tl.tensor,
    SHORTS: tl.constexpr,
) -> tl.tensor:
    """Walk every set from trade to trade, as ``events`` does; the sums, row by row."""
    width, words, longest = shape
    end, fee = terms
    opens = market[0]
    none = tl.zeros_like(of[0])
    nothing = none.to(tl.float64)
    sums, path = (nothing, nothing, nothing), (nothing + 1.0, nothing)
    trades = (none, none, none, nothing, nothing, nothing)
    cash, last, turnover = nothing + 1.0, nothing + 1.0, nothing
    decided = next_close(columns, width, words, of, none, none, live, SHORTS)
    on = live & (decided < end)  # what the last close decides is never filled
    while some(on):
        first = tl.where(on, decided + 1, 0)
        long = on
        if SHORTS:
            long = bit(columns, width, of[0], decided, on)
        entry = tl.load(opens + first, mask=on, other=1.0)
        shares = cash / (entry * (1.0 + fee))
        turnover = tl.where(on, turnover + shares * entry / last, turnover)
        side = tl.where(long, 1, -1)
        decided = next_close(columns, width, words, of, side, first, on, SHORTS)
        span = (first, tl.minimum(decided, end), shares, last)
        sums, worth, path = _hold_long(long, market, longest, span, sums, path)
        turns, gone = none > 0, none > 0
        if SHORTS:
            short = on & ~long
            sold_at = (first, tl.minimum(decided, end), shares, last, cash)
            sums, sold, path, lost = _hold_short(short, market, sold_at, sums, path)
            worth, turnover = tl.where(long, worth, sold), turnover + lost
            gone = short & (worth == 0.0)  # nothing is left: closed there, and never traded again
        closes = on & ~gone & (decided < end)
        if SHORTS:
            turns = bit(columns, width, tl.where(long, of[2], of[0]), decided, closes)
        price = tl.load(opens + decided + 1, mask=closes, other=1.0)
        turnover = tl.where(closes, turnover + shares * price / worth, turnover)
        held, account = (long, entry, price, shares), (cash, worth, turns)
        after, flat, sums, path = _leave(closes, held, account, sums, path, fee)
        trades = _closed(closes | gone, trades, tl.where(gone, -1.0, after / cash - 1.0))
        cash, last = after, tl.where(on, tl.where(flat, after, worth), last)
        seek = flat & (cash > 0.0)
        opened = next_close(columns, width, words, of, none, decided + 1, seek, SHORTS)
        decided = tl.where(seek, opened, decided)
        on = closes & (seek | ~flat) & (decided < end)
    return (last - 1.0, path[1], turnover), sums, trades


@triton.jit
def _accounts(
    columns: tl.tensor,
    sides: tl.tensor,
    opens: tl.tensor,
    closes: tl.tensor,
    before: tl.tensor,
    extremes: tl.tensor,
    bars: tl.tensor,
    cost: tl.tensor,
    out: tl.tensor,
    width: tl.tensor,
    words: tl.tensor,
    longest: tl.tensor,
    levels: tl.tensor,
    sets: tl.tensor,
    SHORTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One symbol, one block of sets."""
    symbol = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = p < sets
    sides += p
    of = (
        tl.load(sides, mask=live, other=0),
        tl.load(sides + sets, mask=live, other=0),
        tl.load(sides + 2 * sets, mask=live, other=0),
        tl.load(sides + 3 * sets, mask=live, other=0),
    )
    market = (
        opens + symbol * longest,
        closes + symbol * longest,
        before + symbol * longest * 4,
        extremes + symbol * levels * longest * 3,
    )
    terms = (tl.load(bars + symbol) - 1, tl.load(cost))
    shape = (width, words, longest)
    columns += symbol * words * width
    told, sums, trades = _walk(columns, shape, of, live, market, terms, SHORTS)
    row = out + symbol * 12 * sets + p
    for k in tl.static_range(3):
        tl.store(row + k * sets, told[k], mask=live)
        tl.store(row + (3 + k) * sets, sums[k], mask=live)
    for k in tl.static_range(6):
        tl.store(row + (6 + k) * sets, trades[k].to(tl.float64), mask=live)
