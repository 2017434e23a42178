"""Socket of searchers: ask for sets to try, tell what they were worth.

For: what every file of ``searchers/`` offers, the registry that finds them, and the book of which
sets were handed out. Not for: running a set (``tuning``) or what is a good one (``objective``).

A searcher is deterministic: the same seed and the same sequence of asks and tells give the same
sets. So a search that was cut short goes on by asking and telling again what its journal holds;
no searcher saves a state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backtest import seeds
from backtest.errors import ParameterError
from backtest.registry import Registry
from ml.space import Row, Space

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

DRAWS = 64
"""Rounds of uniform draws after which a space of numbers counts as exhausted."""


class Searcher(Protocol):
    """Proposes sets of one space, some at a time."""

    def ask(self, n: int) -> list[Row]:
        """Up to ``n`` sets that keep the strategy's rules and were never asked for before.

        Fewer where the space holds no more; none where it is exhausted.
        """
        ...

    def tell(self, rows: Sequence[Row], values: Floats, feasible: Bools) -> None:
        """Say what sets that were asked for are worth.

        Parameters
        ----------
        rows : sequence of dict
            As asked for, in the same order.
        values : float64, ``[set, objective]``
            Larger is better; NaN where undefined.
        feasible : bool, ``[set]``
            Whether the constraints hold; a set with an undefined value counts as infeasible.
        """
        ...


class MakeSearcher(Protocol):
    """Makes a searcher; what the registry holds."""

    about: str
    """One sentence: what it is for."""

    def __call__(self, space: Space, *, objectives: int, seed: int) -> Searcher:
        """Make it for a space, a number of objectives and a seed."""
        ...


SEARCHERS: Registry[MakeSearcher] = Registry("searcher", "ml.searchers")


class Asked:
    """Which sets of a space were handed out.

    Parameters
    ----------
    space : Space
    stream : callable
        From a number to the random generator of that draw.
    """

    def __init__(self, space: Space, stream: Callable[[int], np.random.Generator]):
        self.space = space
        self.stream = stream
        self._keys: set[tuple[object, ...]] = set()
        self._listed = space.listed()
        self._size = None if self._listed is None else int(space.feasible(self._listed).sum())

    @property
    def left(self) -> int | None:
        """Number of feasible sets not handed out yet; None where they are too many to list."""
        return None if self._size is None else self._size - self.count

    @property
    def count(self) -> int:
        """Number of sets handed out."""
        return len(self._keys)

    def sieve(self, rows: Sequence[Row], most: int) -> list[int]:
        """Places of the first ``most`` rows that are feasible and new; they count as handed out."""
        kept: list[int] = []
        for place, (row, fine) in enumerate(zip(rows, self.space.feasible(rows), strict=True)):
            key = tuple(row.values())
            if fine and len(kept) < most and key not in self._keys:
                self._keys.add(key)
                kept.append(place)
        return kept

    def uniform(self, n: int) -> list[Row]:
        """Hand out up to ``n`` further sets, drawn uniformly."""
        random = self.stream(self.count)
        if (listed := self._listed) is not None:
            shuffled = [listed[k] for k in random.permutation(len(listed))]
            return [shuffled[k] for k in self.sieve(shuffled, n)]
        out: list[Row] = []
        for _ in range(DRAWS):
            if len(out) == n:
                break
            rows = self.space.rows(random.random((2 * n, len(self.space.dimensions))))
            out += [rows[k] for k in self.sieve(rows, n - len(out))]
        return out


def asked_of(space: Space, *, name: str, seed: int) -> Asked:
    """Open the book of a searcher; its draws come from the stream ``search/NAME``."""
    return Asked(space, lambda at: seeds.generator(seed, f"search/{name}/{at}"))


def refuse_several(objectives: int, *, name: str) -> None:
    """Refuse more than one objective for a searcher that orders sets by one.

    Raises
    ------
    ParameterError
        ``E_OBJECTIVE``.
    """
    if objectives > 1:
        raise ParameterError(
            f"{name} searches by one objective, not by {objectives}",
            where="--objective",
            fix="add them up by weights (sharpe+2*max_drawdown), or search by tpe, gp, nsga2 or"
            " genetic",
            code="E_OBJECTIVE",
        )
