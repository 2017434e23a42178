"""The market's state as candidate sets lived it: what groups of them earned, per session.

For: columns that a regime model may read beside those of ``market_state``. Not for: scores of
single sets, and never for returns later than their row.

A set's net book return on session ``t`` depends on bars up to ``t``, so what a group earned up to
``t`` is known at the close of ``t``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from backtest.errors import DataError
from backtest.params import ParamGrid
from ml.state_feature import BOOK_FEATURES

Floats = npt.NDArray[np.float64]

TERCILES: Final = ("low", "middle", "high")
"""Thirds of a grid by its leading integer parameter."""


class Candidates(Protocol):
    """What this reads of a strategy's candidates: see :class:`ml.history.StrategyHistory`."""

    @property
    def grid(self) -> ParamGrid:
        """Candidate sets ``[param]``."""
        ...

    @property
    def returns(self) -> Floats:
        """Net book returns ``[param, time]``; column ``t`` depends on bars up to ``t`` only."""
        ...


def groups(grid: ParamGrid) -> dict[str, npt.NDArray[np.bool_]]:
    """Group sets of one kind: equal categoricals, and a third of the first integer parameter.

    Parameters
    ----------
    grid : ParamGrid
        Candidate sets ``[param]``.

    Returns
    -------
    dict of str to bool, ``[param]``
        By name, such as ``momentum_low``; a grid without either kind of parameter is one group,
        ``all``. Empty groups are left out.
    """
    choices = grid.params.choices()
    members = {name: np.asarray([str(value) for value in grid[name]]) for name in choices}
    integers = [name for name in grid.params.integers() if len(np.unique(grid[name])) > 1]
    if integers:
        values = np.asarray(grid[integers[0]], dtype=np.float64)
        edges = np.quantile(np.unique(values), (1.0 / 3.0, 2.0 / 3.0))
        place = np.searchsorted(edges, values, side="right")
        members[integers[0]] = np.asarray(TERCILES)[place]
    out = {}
    for words in product(*(dict.fromkeys(column.tolist()) for column in members.values())):
        inside = np.ones(grid.size, dtype=bool)
        for word, column in zip(words, members.values(), strict=True):
            inside &= column == word
        if inside.any():
            out["_".join(words) or "all"] = inside
    return out


def book_state(
    strategies: Mapping[str, Candidates], names: Iterable[str] | None = None
) -> tuple[Floats, tuple[str, ...]]:
    """Summarise what each group of candidate sets has earned, known at each close.

    Parameters
    ----------
    strategies : mapping of str to Candidates
    names : iterable of str, optional
        Registered book features; all of them by default.

    Returns
    -------
    state : float64, ``[time, feature]``
        NaN where unknown; row ``t`` reads returns of sessions up to ``t`` only.
    columns : tuple of str, ``[feature]``
        ``<feature>/<strategy>/<group>``.

    Raises
    ------
    DataError
        No strategy is given, or their histories differ in length.
    """
    lengths = {one.returns.shape[1] for one in strategies.values()}
    if len(lengths) != 1:
        raise DataError(
            f"{len(strategies)} strategies over {sorted(lengths)} sessions",
            where="book returns",
            fix="give at least one, all over the same sessions",
        )
    parts = {n: BOOK_FEATURES.get(n) for n in (BOOK_FEATURES.names() if names is None else names)}
    columns, series = [], []
    for strategy, one in sorted(strategies.items()):
        for group, inside in groups(one.grid).items():
            earned = one.returns[inside].mean(axis=0)  # [T]
            for name, part in parts.items():
                columns.append(f"{name}/{strategy}/{group}")
                series.append(part.value(earned))
    return np.ascontiguousarray(np.column_stack(series)), tuple(columns)
