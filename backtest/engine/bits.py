"""Bits: one per bar, 64 bars a word, and what can be asked of them a word at a time.

For: packing comparisons, counting votes, finding the close at which a position opens or ends. Not
for: which columns a grid needs (``plan``) or what a trade earns (``events``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = npt.NDArray[Any]

WORD = 64
MOST_VOTERS = 63
"""Votes that six binary digits count."""

NEVER, ALWAYS = 0, 1
"""Columns that every plan has."""


# Keeps the interpreter's lock: a thread woken to take it would come too late to use it.
@njit(cache=True)
def pack(values: Array, what: tuple[Array, Array, Array], equal: bool, out: Array) -> None:
    """Compare rows of ``values`` ``[row, bar]`` with levels; ``out`` ``[column, word]``."""
    row, level, above = what
    bars = values.shape[1]
    whole = bars // WORD
    for c in range(row.size):
        line, limit = values[row[c]], level[c]
        for w in range(whole):
            part = line[w * WORD : (w + 1) * WORD]
            word = np.uint64(0)
            # Four plain loops: each becomes compares of whole vectors.
            if above[c] and equal:
                for j in range(WORD):
                    word |= np.uint64(part[j] >= limit) << np.uint64(j)
            elif above[c]:
                for j in range(WORD):
                    word |= np.uint64(part[j] > limit) << np.uint64(j)
            elif equal:
                for j in range(WORD):
                    word |= np.uint64(part[j] <= limit) << np.uint64(j)
            else:
                for j in range(WORD):
                    word |= np.uint64(part[j] < limit) << np.uint64(j)
            out[c, w] = word
        if whole * WORD < bars:
            word = np.uint64(0)
            for t in range(whole * WORD, bars):
                value = line[t]
                beyond = value > limit if above[c] else value < limit
                if beyond or (equal and value == limit):
                    word |= np.uint64(1) << np.uint64(t - whole * WORD)
            out[c, whole] = word


@njit(cache=True, nogil=True)
def pack_pairs(
    values: tuple[Array, Array], what: tuple[Array, Array, Array], equal: bool, out: Array
) -> None:
    """Compare rows of one array with rows of another; ``out`` ``[column, word]``."""
    first, second, above = what
    bars = values[0].shape[1]
    for c in range(first.size):
        line, limits = values[0][first[c]], values[1][second[c]]
        if not above[c]:
            line, limits = limits, line
        for w in range(out.shape[1]):
            part, limit = line[w * WORD : (w + 1) * WORD], limits[w * WORD : (w + 1) * WORD]
            word = np.uint64(0)
            if equal:
                for j in range(min(WORD, bars - w * WORD)):
                    word |= np.uint64(part[j] >= limit[j]) << np.uint64(j)
            else:
                for j in range(min(WORD, bars - w * WORD)):
                    word |= np.uint64(part[j] > limit[j]) << np.uint64(j)
            out[c, w] = word


@njit(cache=True, nogil=True)
def count(columns: Array, voters: Array, needed: Array, out: Array) -> None:
    """Count votes 64 bars at a time; ``voters`` ``[column, voter]``, ``out`` ``[column, word]``."""
    number, words = voters.shape[1], columns.shape[1]
    for c in range(needed.size):
        least = needed[c]
        for w in range(words):
            if least == number:
                word = columns[voters[c, 0], w]
                for v in range(1, number):
                    word &= columns[voters[c, v], w]
            elif least == 1:
                word = columns[voters[c, 0], w]
                for v in range(1, number):
                    word |= columns[voters[c, v], w]
            else:
                # Counts of each bit are sums in binary: ones, twos, fours and so on, a word each.
                ones, twos, fours = np.uint64(0), np.uint64(0), np.uint64(0)
                eights, sixteens, thirties = np.uint64(0), np.uint64(0), np.uint64(0)
                for v in range(number):
                    carry = columns[voters[c, v], w]
                    ones, carry = ones ^ carry, ones & carry
                    twos, carry = twos ^ carry, twos & carry
                    fours, carry = fours ^ carry, fours & carry
                    if number > 7:
                        eights, carry = eights ^ carry, eights & carry
                        sixteens, carry = sixteens ^ carry, sixteens & carry
                        thirties ^= carry
                word = _reached((ones, twos, fours, eights, sixteens, thirties), least)
            out[c, w] = word


@njit(cache=True, nogil=True, inline="always")
def _reached(planes: Any, least: int) -> Any:
    """Bits whose counts, one word for each binary digit, are at least a number."""
    beyond, same = np.uint64(0), ~np.uint64(0)
    for b in range(5, -1, -1):
        digit = planes[b]
        if least >> b & 1:
            same &= digit
        else:
            beyond |= same & digit
            same &= ~digit
    return beyond | same


def _counts_zeros(name: str) -> Any:
    """Make the processor's own instruction callable in kernels; the word must not be 0."""

    @intrinsic  # type: ignore[untyped-decorator]
    def counted(_context: Any, _word: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, words: Any) -> Any:
            return getattr(builder, name)(words[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), generate

    return counted


trailing_zeros = _counts_zeros("cttz")
"""Number of the lowest bit that is set."""

leading_zeros = _counts_zeros("ctlz")
"""Number of bits above the highest that is set."""


@njit(cache=True, nogil=True, inline="always")
def entry(columns: Array, longs: int, shorts: int, start: int) -> Any:
    """First close from ``start`` on at which a flat account opens; past all words if none.

    ``longs`` and ``shorts`` are the columns of the two entries.
    """
    words = columns.shape[1]
    word, shift = start >> 6, np.uint64(start & 63)
    if word >= words:
        return start
    found = ((columns[longs, word] | columns[shorts, word]) >> shift) << shift
    while found == 0:
        word += 1
        if word == words:
            return word << 6
        found = columns[longs, word] | columns[shorts, word]
    return (word << 6) + trailing_zeros(found)


@njit(cache=True, nogil=True, inline="always")
def exit_long(columns: Array, leave: int, longs: int, start: int) -> Any:
    """First close from ``start`` on at which a long position ends; past all words if none."""
    words = columns.shape[1]
    word, shift = start >> 6, np.uint64(start & 63)
    if word >= words:
        return start
    found = ((columns[leave, word] & ~columns[longs, word]) >> shift) << shift
    while found == 0:
        word += 1
        if word == words:
            return word << 6
        found = columns[leave, word] & ~columns[longs, word]
    return (word << 6) + trailing_zeros(found)


@njit(cache=True, nogil=True, inline="always")
def exit_short(columns: Array, leave: int, entries: tuple[int, int], start: int) -> Any:
    """First close from ``start`` on at which a short position ends; past all words if none."""
    longs, shorts = entries
    words = columns.shape[1]
    word, shift = start >> 6, np.uint64(start & 63)
    if word >= words:
        return start
    ends = columns[leave, word] & (columns[longs, word] | ~columns[shorts, word])
    found = (ends >> shift) << shift
    while found == 0:
        word += 1
        if word == words:
            return word << 6
        found = columns[leave, word] & (columns[longs, word] | ~columns[shorts, word])
    return (word << 6) + trailing_zeros(found)


@njit(cache=True, nogil=True, inline="always")
def first_set(columns: Array, column: int, start: int) -> Any:
    """First bar from ``start`` on at which a column is true; past all words if none."""
    words = columns.shape[1]
    word, shift = start >> 6, np.uint64(start & 63)
    if word >= words:
        return max(start, words << 6)
    found = (columns[column, word] >> shift) << shift
    while found == 0:
        word += 1
        if word == words:
            return word << 6
        found = columns[column, word]
    return (word << 6) + trailing_zeros(found)


@njit(cache=True, nogil=True, inline="always")
def first_clear(columns: Array, column: int, start: int) -> Any:
    """First bar from ``start`` on at which a column is false; past all words if none."""
    words = columns.shape[1]
    word, shift = start >> 6, np.uint64(start & 63)
    if word >= words:
        return max(start, words << 6)
    found = (~columns[column, word] >> shift) << shift
    while found == 0:
        word += 1
        if word == words:
            return word << 6
        found = ~columns[column, word]
    return (word << 6) + trailing_zeros(found)


@njit(cache=True, nogil=True, inline="always")
def bit(columns: Array, column: int, t: int) -> Any:
    """Whether a column is true at a bar."""
    return (columns[column, t >> 6] >> np.uint64(t & 63)) & np.uint64(1) != 0


@njit(cache=True, nogil=True)
def unpack(columns: Array, sides: Any, out: Array) -> None:
    """Fill targets ``[param, bar]`` with what each set holds after each close."""
    bars = out.shape[1]
    for p in range(out.shape[0]):
        longs, leave_long, shorts, leave_short = sides[0][p], sides[1][p], sides[2][p], sides[3][p]
        out[p, :] = 0
        opened = entry(columns, longs, shorts, 0)
        while opened < bars:
            long = bit(columns, longs, opened)
            if long:
                closed = exit_long(columns, leave_long, longs, opened + 1)
            else:
                closed = exit_short(columns, leave_short, (longs, shorts), opened + 1)
            out[p, opened : min(closed, bars)] = 1 if long else -1
            if closed >= bars:
                break
            reverses = bit(columns, shorts if long else longs, closed)
            opened = closed if reverses else entry(columns, longs, shorts, closed + 1)
