"""Where a search may look: parameters of a strategy, points of the unit cube, Optuna's terms.

For: one description of a search space behind every searcher, with exact round trips between
parameter sets, the unit cube ``[param, dim]`` and Optuna's distributions. Not for: which point to
try next (``searchers``), and not for validating a set (``backtest.params``).

A parameter with few values takes steps: level ``k`` of ``L`` lies at ``(k + 1/2) / L``. Any other
lies at its share of the range, on a logarithmic scale where the strategy says so, and its value is
rounded to about a millionth of the range: numbers that a person can read and a file can hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtest.errors import ParameterError
from backtest.params import ParamGrid, Params, Range
from backtest.registry import closest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]

MOST_LEVELS = 10_000
"""Most values of a parameter that are held one by one; beyond, it is searched like a number."""
MOST_LISTED = 2**16
"""Most sets that a space lists one by one."""
_DIGITS = 6


@dataclass(frozen=True)
class Dimension:
    """One searched parameter.

    Parameters
    ----------
    name : str
    values : tuple, optional
        All of them, in order, where they are few; None for a number between ``low`` and ``high``.
    low, high : float
        Bounds, both included; unused where the values are listed.
    log : bool
        Whether a number moves on a logarithmic scale.
    whole : bool
        Whether a number is an integer.
    ordered : bool
        False for a category: its values have no neighbours.
    """

    name: str
    values: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    ordered: bool = True

    @property
    def levels(self) -> int | None:
        """Number of values; None for a number."""
        return None if self.values is None else len(self.values)

    def decode(self, unit: Floats) -> npt.NDArray[Any]:
        """Values at points of [0, 1]; ``[param]``."""
        if self.values is not None:
            at = np.clip((unit * len(self.values)).astype(np.int64), 0, len(self.values) - 1)
            return np.asarray(self.values)[at]
        low, high = self._scaled(np.array([self.low, self.high]))
        raw: Floats = low + unit * (high - low)
        return self.rounded(np.exp(raw) if self.log else raw)

    def encode(self, values: npt.NDArray[Any]) -> Floats:
        """Points of [0, 1] whose values these are; ``[param]``."""
        if self.values is not None:
            places = {value: k for k, value in enumerate(self.values)}
            at = np.array([places[v] for v in np.asarray(values).tolist()], dtype=np.float64)
            return (at + 0.5) / len(self.values)
        low, high = self._scaled(np.array([self.low, self.high]))
        unit: Floats = (self._scaled(np.asarray(values, dtype=np.float64)) - low) / (high - low)
        return np.clip(unit, 0.0, 1.0)

    def rounded(self, raw: Floats) -> npt.NDArray[Any]:
        """Values that a search may try, nearest to some numbers; within bounds; ``[param]``."""
        if self.whole:
            return np.clip(np.rint(raw), self.low, self.high).astype(np.int64)
        if self.log:
            short = np.array([float(f"{x:.{_DIGITS}e}") for x in raw.tolist()])
        else:
            short = np.round(raw, _DIGITS - math.ceil(math.log10(self.high - self.low)))
        out: Floats = np.clip(short, self.low, self.high)
        return out

    def _scaled(self, values: Floats) -> Floats:
        return np.log(values) if self.log else values

    def distribution(self) -> BaseDistribution:
        """Optuna's term: of an index where values are listed in order."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.values is not None and not self.ordered:
            return CategoricalDistribution(self.values)
        if self.values is not None:
            return IntDistribution(0, len(self.values) - 1)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def from_optuna(self, values: Sequence[Any]) -> npt.NDArray[Any]:
        """Values of what Optuna suggested; ``[param]``."""
        if self.values is None:
            return self.rounded(np.asarray(values, dtype=np.float64))
        return np.asarray([self.values[v] for v in values] if self.ordered else values)

    def to_optuna(self, value: Any) -> Any:
        """Optuna's own value of a parameter."""
        if self.values is not None and self.ordered:
            return self.values.index(value)
        return value


@dataclass(frozen=True)
class Space:
    """The sets that a search may try.

    Parameters
    ----------
    params : type[Params]
        Its rule ``feasible`` is asked of whole grids.
    dimensions : tuple of Dimension
        One per field of ``params``, in their order.
    """

    params: type[Params]
    dimensions: tuple[Dimension, ...]

    @classmethod
    def of(cls, params: type[Params], bounds: Mapping[str, Sequence[Any]] | None = None) -> Space:
        """Take the whole range of every parameter, or less of it.

        Parameters
        ----------
        params : type[Params]
        bounds : mapping of str to sequence, optional
            ``[low, high]`` of a number, equal to hold it fixed; allowed values of a category.

        Raises
        ------
        ParameterError
            Bounds of no parameter, the wrong way round, or outside what the strategy allows.
        """
        given = bounds or {}
        for name in given:
            if name not in params.model_fields:
                raise ParameterError(
                    f"bounds of unknown parameter {name!r}",
                    fix=closest(name, list(params.model_fields)),
                )
        ranges, choices, whole = params.ranges(), params.choices(), params.integers()
        made = []
        for name in params.model_fields:
            if name in choices:
                made.append(_category(name, choices[name], given.get(name)))
            elif name in ranges:
                bound = _narrowed(name, ranges[name], given.get(name))
                made.append(_number(name, bound, whole=name in whole))
            else:
                raise ParameterError(f"parameter {name!r} has no range to search")
        return cls(params, tuple(made))

    @classmethod
    def over(cls, grid: ParamGrid) -> Space:
        """Take the lattice that a grid spans: every combination of the values it holds."""
        choices = grid.params.choices()
        return cls(
            grid.params,
            tuple(
                Dimension(name, tuple(np.unique(column).tolist()), ordered=name not in choices)
                for name, column in grid.columns.items()
            ),
        )

    @property
    def size(self) -> int | None:
        """Number of sets, infeasible ones included; None where a parameter is a number."""
        levels = [one.levels for one in self.dimensions]
        return None if None in levels else math.prod(n for n in levels if n is not None)

    @property
    def searched(self) -> tuple[Dimension, ...]:
        """The parameters that are not held fixed."""
        return tuple(one for one in self.dimensions if one.levels != 1)

    def rows(self, unit: Floats) -> list[Row]:
        """Plain sets at points ``[param, dim]`` of the unit cube."""
        columns = [one.decode(unit[:, d]).tolist() for d, one in enumerate(self.dimensions)]
        return self._together(columns, len(unit))

    def unit(self, rows: Sequence[Row]) -> Floats:
        """Points of the unit cube at which these sets lie; ``[param, dim]``."""
        out = np.empty((len(rows), len(self.dimensions)))
        for d, one in enumerate(self.dimensions):
            out[:, d] = one.encode(np.asarray([row[one.name] for row in rows]))
        return out

    def feasible(self, rows: Sequence[Row]) -> npt.NDArray[np.bool_]:
        """Which sets keep the strategy's rules between parameters; bool, ``[param]``."""
        if not rows:
            return np.zeros(0, dtype=bool)
        kept = self.params.feasible(ParamGrid.of(self.params, rows))
        return np.broadcast_to(np.asarray(kept, dtype=bool), (len(rows),))

    def listed(self) -> list[Row] | None:
        """Every set, in order; None where they are too many."""
        size = self.size
        if size is None or size > MOST_LISTED:
            return None
        shape = tuple(len(one.values or ()) for one in self.dimensions)
        if not shape:
            return [{}]
        at = np.indices(shape).reshape(len(shape), -1)  # [dim, param]
        columns = [
            np.asarray(one.values)[k].tolist() for one, k in zip(self.dimensions, at, strict=True)
        ]
        return self._together(columns, size)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's terms by name, of the parameters that are not held fixed."""
        return {one.name: one.distribution() for one in self.searched}

    def from_optuna(self, suggested: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Plain sets of what Optuna suggested."""
        columns = []
        for one in self.dimensions:
            if one.levels == 1:
                columns.append(list(one.values or ()) * len(suggested))
            else:
                columns.append(one.from_optuna([s[one.name] for s in suggested]).tolist())
        return self._together(columns, len(suggested))

    def to_optuna(self, row: Row) -> Row:
        """Optuna's values of a set."""
        return {one.name: one.to_optuna(row[one.name]) for one in self.searched}

    def about(self) -> list[Row]:
        """Plain values that tell one space from another."""
        return [
            {"name": one.name, "values": list(one.values)}
            if one.values is not None
            else {"name": one.name, "low": one.low, "high": one.high, "log": one.log}
            for one in self.dimensions
        ]

    def _together(self, columns: Sequence[Sequence[Any]], size: int) -> list[Row]:
        names = [one.name for one in self.dimensions]
        if not names:
            return [{} for _ in range(size)]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _category(name: str, allowed: Sequence[Any], given: Sequence[Any] | None) -> Dimension:
    """Make a dimension of a category."""
    kept = allowed if given is None else [value for value in allowed if value in given]
    strange = [] if given is None else [value for value in given if value not in allowed]
    if strange or not kept:
        raise ParameterError(
            f"bounds of {name!r} name {strange[0]!r}" if strange else f"no value of {name!r}",
            fix=f"choose from {', '.join(map(str, allowed))}",
        )
    return Dimension(name, tuple(kept), ordered=False)


def _narrowed(name: str, allowed: Range, given: Sequence[Any] | None) -> Range:
    """The range of a number, or the part of it that was asked for."""
    if given is None:
        return allowed
    numbers = [v for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(given) != 2 or len(numbers) != 2 or not numbers[0] <= numbers[1]:
        raise ParameterError(
            f"bounds of {name!r} are {list(given)}", fix="write [low, high], equal to hold it fixed"
        )
    low, high = numbers
    if low < allowed.low or high > allowed.high:
        raise ParameterError(
            f"bounds of {name!r} are {low:g} to {high:g}",
            fix=f"the strategy allows {allowed.low:g} to {allowed.high:g}",
        )
    return Range(low, high, step=allowed.step, log=allowed.log)


def _number(name: str, bound: Range, *, whole: bool) -> Dimension:
    """Make a dimension of a number: its values one by one where they are few."""
    low, high, step = bound.low, bound.high, bound.step
    if whole:
        first, last = math.ceil(low), math.floor(high)
        if first > last:
            raise ParameterError(f"no whole number of {name!r} between {low:g} and {high:g}")
        every = range(first, last + 1, max(1, int(step or 1)))
        if len(every) > 1 and (bound.log or len(every) > MOST_LEVELS) and step is None:
            return Dimension(name, None, first, last, log=bound.log, whole=True)
        return Dimension(name, tuple(every))
    if low == high:
        return Dimension(name, (float(low),))
    if step is not None:
        count = math.floor((high - low) / step + 1e-9) + 1
        return Dimension(name, tuple(np.round(low + step * np.arange(count), 12).tolist()))
    return Dimension(name, None, float(low), float(high), log=bound.log)
