"""Searchers that never listen: a grid, uniform draws, a Sobol sequence.

For: complete coverage, and the yardstick that a searcher which learns must beat. Not for: learning
from results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from backtest import seeds
from ml.searcher import SEARCHERS, Asked, Bools, Floats, asked_of
from ml.space import Dimension, Row, Space

GRID_LEVELS = 5
"""Values of a number that a grid tries, both ends included; of listed values it tries all."""


class _Deaf:
    """A searcher whose next sets depend on no result."""

    def tell(self, rows: Sequence[Row], values: Floats, feasible: Bools) -> None:
        """Take note of nothing."""


@SEARCHERS.register("uniform")
class Uniform(_Deaf):
    """Independent uniform draws: random search."""

    about: ClassVar[str] = "independent uniform draws: random search, the yardstick"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        self._asked = asked_of(space, name="uniform", seed=seed)

    def ask(self, n: int) -> list[Row]:
        """Draw ``n`` new sets."""
        return self._asked.uniform(n)


@SEARCHERS.register("grid")
class Grid(_Deaf):
    """Every point of a regular lattice once, in shuffled order.

    Shuffled, because a grid that stops early in its own order has seen one corner only.
    """

    about: ClassVar[str] = "every point of a regular lattice once, shuffled"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        lattice = Space(space.params, tuple(_thinned(one) for one in space.dimensions))
        self._asked = asked_of(lattice, name="grid", seed=seed)

    def ask(self, n: int) -> list[Row]:
        """Take the next ``n`` points."""
        return self._asked.uniform(n)


@SEARCHERS.register("sobol")
class Sobol(_Deaf):
    """A scrambled Sobol sequence: even coverage at any number of sets.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998).
    """

    about: ClassVar[str] = "a scrambled Sobol sequence: even coverage at any number of sets"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        from scipy.stats import qmc  # a second and a half to import; only drawing needs it

        self._space = space
        self._asked: Asked = asked_of(space, name="sobol", seed=seed)
        random = seeds.generator(seed, "search/sobol/scramble")
        dims = max(1, len(space.dimensions))
        self._sequence = qmc.Sobol(dims, scramble=True, rng=random)

    def ask(self, n: int) -> list[Row]:
        """Take the next points of the sequence that are new; draw where it repeats itself."""
        out: list[Row] = []
        for _ in range(8):
            if len(out) == n:
                break
            rows = self._space.rows(self._points(n - len(out)))
            out += [rows[k] for k in self._asked.sieve(rows, n - len(out))]
        return out + self._asked.uniform(n - len(out)) if len(out) < n else out

    def _points(self, n: int) -> Floats:
        """Next ``n`` points, one by one: the sequence does not depend on the size of batches."""
        drawn: Floats = np.concatenate([self._sequence.random(1) for _ in range(n)])
        return drawn[:, : len(self._space.dimensions)]


def _thinned(one: Dimension) -> Dimension:
    """The values of a parameter that a grid tries."""
    if one.values is not None:
        return one
    unit = np.linspace(0.0, 1.0, GRID_LEVELS)
    values = tuple(dict.fromkeys(one.decode(unit).tolist()))
    return replace(one, values=values)
