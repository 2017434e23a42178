"""Books on a GPU: every set's positions as bits, then sums over symbols in registers.

For: book returns and turnover ``[param, time]`` of many sets without an array
``[param, symbol, time]``. Not for: the definition of a book (``portfolio.book``), nor of the fill
(``fills``). Importing this needs Triton.

A book's weight at a close depends on that close alone, so that, once positions are known, each
session can be summed by itself. A program owns a tile of sets x sessions, and adds one symbol after
the other to it in the order of the CPU: nobody else writes there, and no sum depends on chance.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from backtest.engine.device_bits import some

BLOCK = 32
"""Sets of a program that finds positions."""

SETS, TIME = 8, 64
"""Sets and sessions of a tile."""

Tensor = torch.Tensor


def hold(columns: Tensor, sides: Tensor, planes: Tensor) -> None:
    """Find what each set holds of each symbol after each close.

    Parameters
    ----------
    columns : int64, ``[symbol, word, column]``
    sides : int32, ``[4, param]``
        Columns of ``Signals.sides``.
    planes : int64, ``[side, symbol, word, param]``
        Bits of longs and, where there are two planes, of shorts; filled.
    """
    symbols, words, width = columns.shape
    sets = sides.shape[1]
    grid = (triton.cdiv(sets, BLOCK), symbols)
    _hold[grid](
        *(columns, sides, planes, planes.stride(0), width, words, sets),
        **{"SHORTS": len(planes) > 1, "BLOCK": BLOCK, "num_warps": 1},
    )


@triton.jit
def _hold(
    columns: tl.tensor,
    sides: tl.tensor,
    planes: tl.tensor,
    plane: tl.tensor,
    width: tl.tensor,
    words: tl.tensor,
    sets: tl.tensor,
    SHORTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One symbol, one block of sets: word by word, from change to change.

    From a change on, all later bits of the word are set to what is held then; the next change
    overwrites those after it.
    """
    symbol = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = p < sets
    enter_long = tl.load(sides + p, mask=live, other=0)
    exit_long = tl.load(sides + sets + p, mask=live, other=0)
    enter_short = tl.load(sides + 2 * sets + p, mask=live, other=0)
    exit_short = tl.load(sides + 3 * sets + p, mask=live, other=0)
    columns += symbol * words * width
    planes += symbol * words * sets + p
    side = tl.zeros_like(p)
    nowhere = tl.zeros_like(enter_long).to(tl.int64)
    everywhere = ~nowhere
    for _ in range(words):
        buys = tl.load(columns + enter_long, mask=live, other=0)
        leaves = tl.load(columns + exit_long, mask=live, other=0) & ~buys
        opens, sells, covers = buys, nowhere, nowhere
        if SHORTS:
            sells = tl.load(columns + enter_short, mask=live, other=0)
            covers = tl.load(columns + exit_short, mask=live, other=0) & (buys | ~sells)
            opens = buys | sells
        longs = tl.where(side > 0, everywhere, nowhere)
        shorts = tl.where(side < 0, everywhere, nowhere)
        later = tl.where(live, everywhere, nowhere)  # closes still to be looked at
        while some(later != 0):
            watch = tl.where(side > 0, leaves, tl.where(side < 0, covers, opens)) & later
            low = watch & -watch  # the next change; 0 where there is none
            onwards = -low
            later = onwards & ~low
            after = tl.where((buys & low) != 0, 1, tl.where((sells & low) != 0, -1, 0))
            side = tl.where(low != 0, after, side)
            longs = tl.where(side > 0, longs | onwards, longs & ~onwards)
            shorts = tl.where(side < 0, shorts | onwards, shorts & ~onwards)
        tl.store(planes, longs, mask=live)
        if SHORTS:
            tl.store(planes + plane, shorts, mask=live)
        columns += width
        planes += sets


def scale(
    planes: Tensor,
    group: Tensor,
    counted: Tensor,
    sizes: tuple[Tensor, Tensor],
    limits: tuple[Tensor, int],
    scaling: tuple[Tensor, Tensor],
) -> None:
    """Find what turns a position of a group into a weight, as ``streams.centre_and_scale`` does.

    Parameters
    ----------
    planes : int64, ``[side, symbol, word, param]``
    group : int32, ``[member]``
        Symbols of the group.
    counted : int32, ``[symbol, time]``
        Bar of each session; -1 where the symbol is not counted.
    sizes : (int32, int32), each ``[time]``
        Symbols counted in the group, and in the universe.
    limits : (float64 ``[1]``, int)
        Least gross as a share of the group, and least number of members.
    scaling : (float64, float64), each ``[param, time]``
        Mean and scale; filled.
    """
    sets, sessions = scaling[0].shape
    grid = (triton.cdiv(sets, SETS), triton.cdiv(sessions, TIME))
    _scale[grid](
        *(planes, planes.stride(0), group, len(group), counted, *sizes, *limits, *scaling),
        *(planes.shape[2], sets, sessions),
        **{"SHORTS": len(planes) > 1, "SETS": SETS, "TIME": TIME, "enable_fp_fusion": False},
    )


@triton.jit
def _side(
    planes: tl.tensor,
    plane: tl.tensor,
    p: tl.tensor,
    sets: tl.tensor,
    bar: tl.tensor,
    seek: tl.tensor,
    SHORTS: tl.constexpr,
) -> tl.tensor:
    """What sets hold after the close of bars: int64, ``[set, session]``; 0 where bar is -1."""
    place = planes + (bar >> 6) * sets + p
    shift, seek = (bar & 63).to(tl.int64), seek & (bar >= 0)
    side = (tl.load(place, mask=seek, other=0) >> shift) & 1
    if SHORTS:
        side -= (tl.load(place + plane, mask=seek, other=0) >> shift) & 1
    return side


@triton.jit
def _scale(
    planes: tl.tensor,
    plane: tl.tensor,
    group: tl.tensor,
    count: tl.tensor,
    counted: tl.tensor,
    inside: tl.tensor,
    members: tl.tensor,
    floor: tl.tensor,
    least: tl.tensor,
    mean: tl.tensor,
    scale: tl.tensor,
    words: tl.tensor,
    sets: tl.tensor,
    sessions: tl.tensor,
    SHORTS: tl.constexpr,
    SETS: tl.constexpr,
    TIME: tl.constexpr,
) -> None:
    """One tile: count the sides of a group, and scale by the counts."""
    p = (tl.program_id(0) * SETS + tl.arange(0, SETS))[:, None]
    t = (tl.program_id(1) * TIME + tl.arange(0, TIME))[None, :]
    live = (p < sets) & (t < sessions)
    longs = tl.zeros((SETS, TIME), tl.int32)
    shorts = tl.zeros((SETS, TIME), tl.int32)
    for k in range(count):
        symbol = tl.load(group + k).to(tl.int64)
        bar = tl.load(counted + symbol * sessions + t, mask=t < sessions, other=-1)
        side = _side(planes + symbol * words * sets, plane, p, sets, bar, live, SHORTS)
        longs += (side > 0).to(tl.int32)
        shorts += (side < 0).to(tl.int32)
    size = tl.load(inside + t, mask=t < sessions, other=0)
    whole = tl.load(members + t, mask=t < sessions, other=0)
    used = (size > 0) & (whole >= least)
    n = tl.maximum(size, 1).to(tl.float64)
    up, down = longs.to(tl.float64), shorts.to(tl.float64)
    m = (up - down) / n
    gross = up * (1.0 - m) + down * (1.0 + m) + (n - up - down) * tl.abs(m)
    factor = n / tl.maximum(whole, 1).to(tl.float64) / tl.maximum(gross, tl.load(floor) * n)
    place = p.to(tl.int64) * sessions + t
    tl.store(mean + place, tl.where(used, m, 0.0), mask=live)
    tl.store(scale + place, tl.where(used, factor, 0.0), mask=live)


def add(
    planes: Tensor,
    group: Tensor,
    timing: tuple[Tensor, Tensor, Tensor],
    legs: tuple[Tensor, Tensor],
    scaling: tuple[Tensor, Tensor],
    out: tuple[Tensor, Tensor],
) -> None:
    """Add a group's returns and weight changes to the book of every set, as ``walk_sets`` does.

    Parameters
    ----------
    planes : int64, ``[side, symbol, word, param]``
    group : int32, ``[member]``
    timing : (int32, int32, int32), each ``[symbol, time]``
        Bar that decides the weight which fills at a session's open; bar that decided the weight
        held until then, and the session of that bar. -1: no weight.
    legs : (float64, float64), each ``[symbol, time]``
        Overnight and intraday returns; 0 where there is no bar.
    scaling : (float64, float64), each ``[param, time]``
        Of :func:`scale`; ``[1, time]`` where it is the same for all sets.
    out : (float64, float64), each ``[param, time]``
        Return before costs and turnover; changed in place.
    """
    sets, sessions = out[0].shape
    grid = (triton.cdiv(sets, SETS), triton.cdiv(sessions, TIME))
    step = sessions if len(scaling[0]) > 1 else 0
    _add[grid](
        *(planes, planes.stride(0), group, len(group), *timing, *legs, *scaling, step, *out),
        *(planes.shape[2], sets, sessions),
        **{"SHORTS": len(planes) > 1, "SETS": SETS, "TIME": TIME, "enable_fp_fusion": False},
    )


@triton.jit
def _add(
    planes: tl.tensor,
    plane: tl.tensor,
    group: tl.tensor,
    count: tl.tensor,
    decides: tl.tensor,
    decided: tl.tensor,
    since: tl.tensor,
    overnight: tl.tensor,
    intraday: tl.tensor,
    mean: tl.tensor,
    scale: tl.tensor,
    step: tl.tensor,
    gain: tl.tensor,
    turnover: tl.tensor,
    words: tl.tensor,
    sets: tl.tensor,
    sessions: tl.tensor,
    SHORTS: tl.constexpr,
    SETS: tl.constexpr,
    TIME: tl.constexpr,
) -> None:
    """One tile: one symbol after the other."""
    p = (tl.program_id(0) * SETS + tl.arange(0, SETS))[:, None]
    t = (tl.program_id(1) * TIME + tl.arange(0, TIME))[None, :]
    live, dated = (p < sets) & (t < sessions), t < sessions
    place, row = p.to(tl.int64) * sessions + t, p.to(tl.int64) * step
    earned = tl.load(gain + place, mask=live, other=0.0)
    traded = tl.load(turnover + place, mask=live, other=0.0)
    # What fills at an open was decided at the session before, whatever the symbol.
    before = live & (t > 0)
    m = tl.load(mean + row + t - 1, mask=before, other=0.0)
    factor = tl.load(scale + row + t - 1, mask=before, other=0.0)
    for k in range(count):
        symbol = tl.load(group + k).to(tl.int64)
        cell, bits = symbol * sessions + t, planes + symbol * words * sets
        bar = tl.load(decides + cell, mask=dated, other=-1)
        side = _side(bits, plane, p, sets, bar, live, SHORTS)
        new = tl.where(bar >= 0, (side.to(tl.float64) - m) * factor, 0.0)
        bar = tl.load(decided + cell, mask=dated, other=-1)
        side = _side(bits, plane, p, sets, bar, live, SHORTS)
        then, seek = row + tl.load(since + cell, mask=dated, other=0), live & (bar >= 0)
        centre = tl.load(mean + then, mask=seek, other=0.0)
        held = (side.to(tl.float64) - centre) * tl.load(scale + then, mask=seek, other=0.0)
        night = tl.load(overnight + cell, mask=dated, other=0.0)
        day = tl.load(intraday + cell, mask=dated, other=0.0)
        earned += held * night + new * day
        traded += tl.abs(new - held)
    tl.store(gain + place, earned, mask=live)
    tl.store(turnover + place, traded, mask=live)
