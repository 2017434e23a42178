"""From the rules of a grid to columns of bits: what is needed is found once, for all symbols.

For: which indicators, comparisons and votes the sets of a grid need, each once, and computing
them for one symbol. Not for: what the rules are (``conditions``) or reading bits (``bits``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.conditions import (
    Comparison,
    Condition,
    Fixed,
    Guards,
    Indicator,
    Measure,
    Rules,
    Votes,
)
from backtest.engine import bits, lanes
from backtest.engine.bits import ALWAYS, NEVER, WORD
from backtest.engine.signals import SIZE, STOP, TAKE, TRAIL, Limits, Signals
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid
from backtest.strategy import Strategy

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


CHUNK_BYTES = 2**20
"""Values of one indicator that are computed before they are packed: what a core keeps at hand."""


@dataclass(frozen=True)
class _Compared:
    """Columns that compare the rows of one indicator with numbers, in the order of the rows."""

    row: Ints  # of each column
    level: npt.NDArray[np.float64]
    above: npt.NDArray[np.bool_]
    equal: bool
    first: int


@dataclass(frozen=True)
class _Paired:
    """Columns that compare the rows of one indicator with those of another."""

    indicators: tuple[Indicator, Indicator]
    row: tuple[Ints, Ints]  # of each column
    above: npt.NDArray[np.bool_]
    equal: bool
    first: int


@dataclass(frozen=True)
class _Counted:
    """Columns that count votes of earlier ones."""

    voters: Ints  # [column, voter]
    needed: Ints
    first: int


@dataclass(frozen=True)
class _Measured:
    """Guards of all sets, as :class:`Limits` without what each symbol adds."""

    indicators: list[Indicator]  # in the order of their levels
    times: npt.NDArray[np.float64]
    row: Ints
    longest: Ints


class Plan:
    """Columns that the sets of a grid need, each once; the same for every symbol.

    Parameters
    ----------
    rules : Rules

    Attributes
    ----------
    size : int
        Number of sets.
    columns : int
        How many there are, and so one bit per bar for each of them.
    guarded : bool
        Whether what a set holds depends on the paths of its trades.
    sized : bool
        Whether trades use parts of the cash.
    """

    def __init__(self, rules: Rules):
        self.size = rules.size
        self._compared: dict[Indicator, list[_Compared]] = {}
        self._paired: list[_Paired] = []
        self._counted: list[_Counted] = []
        self._rows: dict[Indicator, tuple[dict[str, Array], Ints]] = {}
        self._known: dict[Condition, Ints] = {}
        self._same: dict[Any, Indicator] = {}
        self.columns = 2
        sides = (rules.enter_long, rules.exit_long, rules.enter_short, rules.exit_short)
        self._sides = [self._column_of(side) for side in sides]
        self._guards = None if rules.guards is None else self._measured(rules.guards)
        self.guarded = rules.guards is not None
        self.sized = rules.guards is not None and rules.guards.size is not None

    def signals(self, bars: SymbolBars) -> Signals:
        """Compute the indicators of one symbol, and pack what the rules ask of them."""
        words = (bars.size + WORD - 1) // WORD
        columns = np.empty((self.columns, words), dtype=np.uint64)  # [C, W]
        columns[NEVER], columns[ALWAYS] = 0, ~np.uint64(0)
        whole: dict[Indicator, Array] = {}

        def values_of(indicator: Indicator) -> Array:
            if indicator not in whole:
                whole[indicator] = indicator.compute(bars, **self._rows[indicator][0])
            return whole[indicator]  # [K, T]

        for pair in self._paired:
            first, second = (values_of(one) for one in pair.indicators)
            out = columns[pair.first : pair.first + len(pair.above)]
            bits.pack_pairs((first, second), (*pair.row, pair.above), pair.equal, out)
        for indicator, steps in self._compared.items():
            self._pack(indicator, steps, bars, columns, whole.get(indicator))
        for step in self._counted:
            out = columns[step.first : step.first + len(step.needed)]
            bits.count(columns, step.voters, step.needed, out)
        long, leave_long, short, leave_short = self._sides
        if self._guards is None:
            return Signals(columns, long, leave_long, short, leave_short)
        known = self._guards
        levels = [np.ones((1, bars.size)), *map(values_of, known.indicators)]
        limits = Limits(known.times, known.row, known.longest, np.concatenate(levels))
        return Signals(columns, long, leave_long, short, leave_short, limits)

    def _pack(
        self,
        indicator: Indicator,
        steps: list[_Compared],
        bars: SymbolBars,
        columns: Array,
        whole: Array | None,
    ) -> None:
        """Compute an indicator some rows at a time, and pack what is asked of them.

        ``whole`` are all its rows where they have been computed already.
        """
        rows, _ = self._rows[indicator]
        count = len(next(iter(rows.values()))) if rows else 1
        size = count if whole is not None else max(16, CHUNK_BYTES // (8 * max(1, bars.size)))
        for start in range(0, count, size):
            part = {name: values[start : start + size] for name, values in rows.items()}
            told = indicator.compute(bars, **part) if whole is None else whole  # [K, T]
            for step in steps:
                lo, hi = np.searchsorted(step.row, (start, start + size))
                out = columns[step.first + lo : step.first + hi]
                asked = (step.row[lo:hi] - start, step.level[lo:hi], step.above[lo:hi])
                bits.pack(told, asked, step.equal, out)

    def targets(self, bars: SymbolBars) -> Array:
        """Positions wanted of one symbol at each close; ``[param, bar]``.

        int8, or float64 where trades use parts of the cash.
        """
        signals = self.signals(bars)
        if self.guarded:
            wanted = lanes.targets(bars, signals)
            return wanted if self.sized else wanted.astype(np.int8)
        held = np.empty((self.size, bars.size), dtype=np.int8)
        bits.unpack(signals.columns, signals.sides, held)
        return held

    def _measured(self, guards: Guards) -> _Measured:
        """Each measure as a multiple of one level, ``[measure, param]``; the first level is 1."""
        measures: list[Measure | None] = [guards.stop_loss, guards.take_profit]
        measures += [guards.trailing_stop, guards.size]
        assert (STOP, TAKE, TRAIL, SIZE) == (0, 1, 2, 3)
        times = np.ones((len(measures), self.size))
        row = np.zeros(times.shape, dtype=np.int64)
        indicators: list[Indicator] = []
        first: dict[Indicator, int] = {}
        count = 1
        for m, measure in enumerate(measures):
            if measure is None:
                continue
            times[m] = self._spread(measure.times, float)
            if measure.of is not None:
                indicator = self._one_of(measure.of)
                which = self._row_of(indicator)
                if indicator not in first:
                    first[indicator] = count
                    count += int(which.max(initial=0)) + 1
                    indicators.append(indicator)
                row[m] = first[indicator] + which
        return _Measured(indicators, times, row, self._spread(guards.longest, int))

    def _column_of(self, condition: Condition) -> Ints:
        """Column of each set, ``[param]``; new ones are planned."""
        if condition not in self._known:
            match condition:
                case Fixed():
                    found = np.where(self._spread(condition.value, bool), ALWAYS, NEVER)
                case Votes():
                    found = self._votes(condition)
                case Comparison():
                    found = self._comparison(condition)
            self._known[condition] = found.astype(np.int64)
        return self._known[condition]

    def _comparison(self, told: Comparison) -> Ints:
        indicator, above = self._one_of(told.indicator), self._spread(told.above, bool)
        row = self._row_of(indicator)
        if isinstance(told.level, Indicator):
            limit = self._one_of(told.level)
            other = self._row_of(limit)
            kinds, which = _different([row, other, above])
            first = self._take(len(kinds))
            pair, at = (indicator, limit), (row[kinds], other[kinds])
            self._paired.append(_Paired(pair, at, above[kinds], told.equal, first))
            return first + which
        level = self._spread(told.level, float)
        kinds, which = _different([row, level, above])
        first = self._take(len(kinds))
        step = _Compared(row[kinds], level[kinds], above[kinds], told.equal, first)
        self._compared.setdefault(indicator, []).append(step)
        return first + which

    def _votes(self, told: Votes) -> Ints:
        if len(told.of) > bits.MOST_VOTERS:
            raise ValueError(f"{len(told.of)} voters, at most {bits.MOST_VOTERS} can be counted")
        parts = [self._column_of(one) for one in told.of]
        voters = np.stack(parts, axis=1) if parts else np.empty((self.size, 0), dtype=np.int64)
        needed = self._spread(told.needed, int)  # [P]
        # What the parameters of a set have decided already need not be counted at each bar.
        sure, possible = (voters == ALWAYS).sum(axis=1), (voters != NEVER).sum(axis=1)
        decided = np.where(needed <= sure, ALWAYS, NEVER)
        open_ = np.flatnonzero((needed > sure) & (needed <= possible))
        if open_.size > 0:
            kinds, which = _different([*voters[open_].T, needed[open_]])
            first = self._take(len(kinds))
            self._counted.append(_Counted(voters[open_[kinds]], needed[open_[kinds]], first))
            decided[open_] = first + which
        return decided

    def _one_of(self, indicator: Indicator) -> Indicator:
        """The first indicator with the same function and parameters."""
        told = tuple((name, values.tobytes()) for name, values in indicator.by.items())
        return self._same.setdefault((indicator.compute, told), indicator)

    def _row_of(self, indicator: Indicator) -> Ints:
        """Row of an indicator for each set; its different parameters are kept."""
        if indicator not in self._rows:
            if indicator.by:
                kinds, row = _different(list(indicator.by.values()))
                rows = {name: values[kinds] for name, values in indicator.by.items()}
            else:
                rows, row = {}, np.zeros(self.size, dtype=np.int64)
            self._rows[indicator] = rows, row
        return self._rows[indicator][1]

    def _spread(self, value: Any, kind: type) -> Array:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=kind), (self.size,)))

    def _take(self, columns: int) -> int:
        first, self.columns = self.columns, self.columns + columns
        return first


def plans_of(strategy: Strategy, grid: ParamGrid, bars: int, *, limit: int) -> list[Plan]:
    """Plan the whole grid at once, or in parts where its columns would take too much memory."""
    plan = Plan(strategy.rules(grid))
    parts = -(-plan.columns * bars // 8 // limit)
    if parts <= 1 or grid.size <= 1:
        return [plan]
    cuts = np.array_split(np.arange(grid.size), min(parts, grid.size))
    return [Plan(strategy.rules(grid.take(rows))) for rows in cuts]


def _different(keys: list[Array]) -> tuple[Ints, Ints]:
    """First place of each different combination of keys ``[param]``, and each set's combination."""
    code = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        values, place = np.unique(key, return_inverse=True)
        # Dense again after each, so that many keys do not overflow.
        _, first, code = np.unique(
            code * len(values) + place, return_index=True, return_inverse=True
        )
    return first.astype(np.int64), code.astype(np.int64)
