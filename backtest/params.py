"""Parameters of a strategy: bounds written once, and whole grids of them as columns.

For: ``Range`` (a bound that pydantic, the JSON schema and the search space all read), ``Params``
(one frozen set) and ``ParamGrid`` (many sets, one column per field). Not for: searching.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import annotated_types
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from backtest.errors import ParameterError
from backtest.registry import closest

Column = npt.NDArray[Any]

MOST_SETS = 2**24
"""Most parameter sets of one grid; beyond, the columns alone would fill a small machine."""


@dataclass(frozen=True, slots=True)
class Range(annotated_types.GroupedMetadata):
    """Closed interval of a numeric parameter.

    Parameters
    ----------
    low, high : float
        Both ends belong to the range.
    step : float, optional
        Spacing of the values that a search may try; validation accepts any value between.
    log : bool
        Whether a search should move on a logarithmic scale.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        """Refuse bounds that no value keeps.

        Raises
        ------
        ValueError
            They are the wrong way round, or no numbers.
        """
        if not self.low <= self.high:
            raise ValueError(f"bounds the wrong way round: from {self.low} to {self.high}")

    def __iter__(self) -> Iterator[object]:
        """Yield what pydantic validates with."""
        yield annotated_types.Ge(self.low)
        yield annotated_types.Le(self.high)


class Params(BaseModel):
    """One frozen parameter set; subclass it beside the strategy.

    Rules between parameters override :meth:`feasible`, which works on a whole grid at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Say which sets of the grid keep the rules between parameters; bool, ``[param]``."""
        return np.ones(grid.size, dtype=bool)

    @classmethod
    def ranges(cls) -> dict[str, Range]:
        """Ranges by field name; a categorical field (a ``Literal``) has none."""
        hints = typing.get_type_hints(cls, include_extras=True)
        found = {}
        for name in cls.model_fields:
            for extra in getattr(hints[name], "__metadata__", ()):
                if isinstance(extra, Range):
                    found[name] = extra
        return found

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """Allowed values by field name, for the categorical fields."""
        hints = typing.get_type_hints(cls)
        return {
            name: typing.get_args(hint)
            for name, hint in hints.items()
            if name in cls.model_fields and typing.get_origin(hint) is typing.Literal
        }

    @classmethod
    def integers(cls) -> tuple[str, ...]:
        """Names of the fields that hold whole numbers."""
        hints = typing.get_type_hints(cls)
        return tuple(name for name in cls.model_fields if hints[name] is int)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> typing.Self:
        """Build one set from plain values, with one clear line for a wrong one.

        Raises
        ------
        ParameterError
            Unknown name (with the closest known ones), value out of range, or a broken rule.
        """
        if not isinstance(values, Mapping):
            raise ParameterError(
                f"parameters must be an object of names and values, not {type(values).__name__}",
                fix='write them as {"name": value}',
            )
        params = cls.model_validate(_checked(cls, values))
        if not cls.feasible(ParamGrid.of(cls, [params.model_dump()]))[0]:
            raise ParameterError(
                f"parameters {params.model_dump()} break a rule between parameters",
                fix="see `weathervane schema` for the rules",
            )
        return params


@dataclass(frozen=True, eq=False)
class ParamGrid:
    """Many parameter sets, one column per field; compared by identity.

    Parameters
    ----------
    params : type[Params]
        The class of one set.
    columns : dict of str to ndarray, ``[param]``
        One array per field, in the order of the fields.
    """

    params: type[Params]
    columns: dict[str, Column] = dataclasses.field(repr=False)

    @property
    def size(self) -> int:
        """Number of sets."""
        return len(next(iter(self.columns.values()))) if self.columns else 1

    def __getitem__(self, name: str) -> Column:
        """Return the column of one field, ``[param]``."""
        return self.columns[name]

    def row(self, i: int) -> dict[str, Any]:
        """Plain values of set ``i``."""
        return dict(zip(self.columns, self._plain[i], strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """Plain values of every set."""
        return [self.row(i) for i in range(self.size)]

    @functools.cached_property
    def _plain(self) -> list[tuple[Any, ...]]:
        """Values of every set as Python's own numbers and strings."""
        if not self.columns:
            return [()]
        return list(zip(*(column.tolist() for column in self.columns.values()), strict=True))

    def set(self, i: int) -> Params:
        """Set ``i`` as a validated object."""
        return self.params.model_validate(self.row(i))

    def take(self, keep: npt.NDArray[Any]) -> ParamGrid:
        """The sets that an index or a mask ``[param]`` picks."""
        if not self.columns:
            return self
        return ParamGrid(self.params, {n: c[keep] for n, c in self.columns.items()})

    def index_of(self, values: Mapping[str, Any]) -> int | None:
        """Position of the set with exactly these values, or None."""
        hit = np.ones(self.size, dtype=bool)
        for name, column in self.columns.items():
            hit &= column == values[name]
        where = np.flatnonzero(hit)
        return int(where[0]) if where.size else None

    @classmethod
    def of(cls, params: type[Params], rows: Sequence[Mapping[str, Any]]) -> ParamGrid:
        """Build from plain rows that are complete and within bounds."""
        columns = {
            name: _column(params, name, [row[name] for row in rows]) for name in params.model_fields
        }
        return cls(params, columns)

    @classmethod
    def parse(
        cls, params: type[Params], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[ParamGrid, int]:
        """Validate rows against the bounds and drop infeasible ones.

        Returns
        -------
        grid : ParamGrid
        infeasible : int
            How many rows broke a rule between parameters.

        Raises
        ------
        ParameterError
            A row is out of bounds or has an unknown name, or no row is left.
        """
        _refuse_too_many(len(rows))
        values: dict[str, list[Any]] = {name: [] for name in params.model_fields}
        for row in rows:
            for name, value in _checked(params, row).items():
                values[name].append(value)
        if not rows:
            raise _no_set()
        return cls._keeping(params, {n: _column(params, n, v) for n, v in values.items()})

    @classmethod
    def product(cls, params: type[Params], values: Mapping[str, Sequence[Any]]) -> ParamGrid:
        """Cartesian product of values per field; missing fields take their default."""
        return cls.parse_product(params, values)[0]

    @classmethod
    def parse_product(
        cls, params: type[Params], values: Mapping[str, Sequence[Any]]
    ) -> tuple[ParamGrid, int]:
        """As :func:`product`, the last field changing fastest, and count infeasible sets.

        Each value is validated once, whatever the number of sets it stands in.

        Raises
        ------
        ParameterError
            As :func:`parse`; ``E_TOO_WIDE`` for more sets than ``MOST_SETS``.
        """
        for name in values:
            _known(params, name)
        size = math.prod(len(given) for given in values.values())
        if size == 0:
            raise _no_set()
        _refuse_too_many(size)
        first = {name: given[0] for name, given in values.items()}
        base = _checked(params, first)
        columns: dict[str, Column] = {}
        for name in params.model_fields:
            given = values.get(name, (base[name],))
            alone = [_checked(params, {**first, name: value})[name] for value in given]
            columns[name] = _column(params, name, alone)
        repeats = size
        for name, given in values.items():
            repeats //= len(given)
            one = np.repeat(columns[name], repeats)
            columns[name] = np.tile(one, size // one.size)
        for name in columns.keys() - values.keys():
            columns[name] = np.repeat(columns[name], size)
        return cls._keeping(params, columns)

    @classmethod
    def _keeping(cls, params: type[Params], columns: dict[str, Column]) -> tuple[ParamGrid, int]:
        """Keep the sets that break no rule between parameters, and count the others."""
        grid = cls(params, columns)
        keep = params.feasible(grid)
        if not keep.any():
            raise ParameterError(
                f"all {grid.size} parameter sets break a rule between parameters",
                fix="see `weathervane schema` for the rules",
            )
        return (grid, 0) if keep.all() else (grid.take(keep), int((~keep).sum()))

    @classmethod
    def sobol(cls, params: type[Params], n: int, *, seed: int) -> tuple[ParamGrid, int]:
        """Draw ``n`` sets from the whole space by a scrambled Sobol sequence.

        Returns
        -------
        grid : ParamGrid
            The feasible ones among the ``n`` drawn.
        infeasible : int

        Raises
        ------
        ParameterError
            ``E_TOO_WIDE`` for more sets than ``MOST_SETS``; or all of them are infeasible.
        """
        _refuse_too_many(n)
        from scipy.stats import qmc  # a second and a half to import; only drawing needs it

        ranges, choices, whole = params.ranges(), params.choices(), params.integers()
        names = list(params.model_fields)
        if not names:
            return cls(params, {}), 0
        sampler = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(seed))
        # The first n points of the next power of two keep the sequence balanced.
        unit = sampler.random_base2(max(0, int(np.ceil(np.log2(max(n, 1))))))[:n]  # [P, D]
        columns: dict[str, Column] = {}
        for d, name in enumerate(names):
            u = unit[:, d]
            if name in choices:
                options = np.asarray(choices[name])
                drawn = (u * len(options)).astype(int)
                columns[name] = options[np.minimum(drawn, len(options) - 1)]
                continue
            if name not in ranges:
                raise ParameterError(f"parameter {name!r} has no range to sample from")
            r = ranges[name]
            if name in whole:
                low, high = int(np.ceil(r.low)), int(np.floor(r.high))
                columns[name] = np.minimum(low + (u * (high - low + 1)).astype(np.int64), high)
            elif r.log:
                drawn = np.exp(np.log(r.low) + u * (np.log(r.high) - np.log(r.low)))
                columns[name] = np.clip(drawn, r.low, r.high)
            else:
                columns[name] = np.clip(r.low + u * (r.high - r.low), r.low, r.high)
        return cls._keeping(params, columns)


def default_set(params: type[Params]) -> dict[str, Any]:
    """Plain values of the field defaults."""
    return params().model_dump()


def _known(params: type[Params], name: str) -> None:
    """Refuse a name that is no parameter."""
    if name not in params.model_fields:
        raise ParameterError(
            f"unknown parameter {name!r}", fix=closest(str(name), list(params.model_fields))
        )


def _checked(params: type[Params], row: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of one set, complete and within bounds; rules between them are not asked."""
    for name in row:
        _known(params, name)
    try:
        return params.model_validate(dict(row)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(p) for p in first["loc"])
        raise ParameterError(
            f"parameter {name!r} = {first['input']!r}: {first['msg']}",
            fix="see `weathervane schema` for the bounds",
        ) from None


def _column(params: type[Params], name: str, values: Sequence[Any]) -> Column:
    """Valid values of one field as an array."""
    if name in params.integers():
        return np.asarray(values, dtype=np.int64)
    if name in params.ranges():
        return np.asarray(values, dtype=np.float64)
    return np.asarray(values)


def _no_set() -> ParameterError:
    return ParameterError("the grid holds no parameter set", fix="give at least one")


def _refuse_too_many(sets: int) -> None:
    if sets > MOST_SETS:
        raise ParameterError(
            f"{sets:,} parameter sets, a grid holds at most {MOST_SETS:,}",
            fix="give fewer values, or draw from them by --samples",
            code="E_TOO_WIDE",
        )
