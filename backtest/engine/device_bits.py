"""Bits on a GPU: what ``bits`` asks of a word, asked by many sets at once.

For: Triton functions that kernels of the GPU share: the next close at which a position opens or
ends, one bit, one binary logarithm. Not for: importing where no kernel is launched: Triton is
there only where Torch brings it.

A kernel holds a block of sets, one a lane, and every value here is ``[set]``. Columns are int64
``[word, column]`` of one symbol, so that the sets of a block read near to each other.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def some(mask: tl.tensor) -> tl.tensor:
    """Whether any lane is on."""
    return tl.max(mask.to(tl.int32), axis=0) > 0


@triton.jit
def log2(x: tl.tensor) -> tl.tensor:
    """Binary logarithm, rounded down, of a positive number; or of bit 63 alone.

    A float64 holds it as its exponent, and a processor has no faster portable way.
    """
    exponent = (x.to(tl.float64).to(tl.int64, bitcast=True) >> 52) & 0x7FF
    return exponent.to(tl.int32) - 1023


@triton.jit
def bit(
    columns: tl.tensor, width: tl.tensor, column: tl.tensor, t: tl.tensor, seek: tl.tensor
) -> tl.tensor:
    """Whether a column is true at a bar; False in lanes that do not ask."""
    word = tl.load(columns + (t >> 6) * width + column, mask=seek, other=0)
    return ((word >> (t & 63).to(tl.int64)) & 1) != 0


@triton.jit
def watched(
    columns: tl.tensor,
    width: tl.tensor,
    word: tl.tensor,
    of: tl.tensor,
    side: tl.tensor,
    seek: tl.tensor,
    SHORTS: tl.constexpr,
) -> tl.tensor:
    """Closes of a word at which the side held ends, or at which a flat account opens.

    ``of`` are the columns of ``Signals.sides``; lanes that do not ask get 0.
    """
    place = columns + word * width
    longs = tl.load(place + of[0], mask=seek, other=0)
    found = tl.load(place + of[1], mask=seek & (side > 0), other=0) & ~longs
    if SHORTS:
        shorts = tl.load(place + of[2], mask=seek, other=0)
        ends = tl.load(place + of[3], mask=seek & (side < 0), other=0) & (longs | ~shorts)
        return tl.where(side > 0, found, tl.where(side < 0, ends, longs | shorts))
    return tl.where(side > 0, found, longs)


@triton.jit
def next_close(
    columns: tl.tensor,
    width: tl.tensor,
    words: tl.tensor,
    of: tl.tensor,
    side: tl.tensor,
    start: tl.tensor,
    seek: tl.tensor,
    SHORTS: tl.constexpr,
) -> tl.tensor:
    """First close from ``start`` on that :func:`watched` finds; past all words if none."""
    word, shift = start >> 6, (start & 63).to(tl.int64)
    found = watched(columns, width, word, of, side, seek & (word < words), SHORTS)
    found = (found >> shift) << shift
    lacking = seek & (found == 0) & (word < words)
    while some(lacking):
        word += lacking.to(tl.int32)
        more = watched(columns, width, word, of, side, lacking & (word < words), SHORTS)
        found = tl.where(lacking, more, found)
        lacking = lacking & (found == 0) & (word < words)
    return word * 64 + tl.where(found == 0, 0, log2(found & -found))
