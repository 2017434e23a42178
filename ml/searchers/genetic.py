"""Searchers that breed: NSGA-II by Optuna, and a genetic search of our own.

For: several objectives, rugged surfaces, categories. Not for: few evaluations, of which the first
generation takes most.

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from backtest import seeds
from ml.optuna_study import StudySearcher, quiet
from ml.pareto import crowding, ranks
from ml.searcher import SEARCHERS, Bools, Floats, asked_of
from ml.space import Row, Space

POPULATION = 24
"""Parents of the genetic search; few, because a search here has hundreds of evaluations."""
GENERATION = 8
"""Sets of a generation of NSGA-II for each objective: with 24 for one it lost to random search at
80 sets, and with 8 for two."""
MATED = 0.9
"""Chance that a child mixes two parents rather than copying one."""
REACH = 0.15
"""Deviation of a mutation, as a share of the range."""
ROUNDS = 8
"""Times that children are bred again where too few of them are new."""


@SEARCHERS.register("nsga2")
class Nsga2(StudySearcher):
    """NSGA-II with constrained domination."""

    about: ClassVar[str] = "NSGA-II: several objectives, rules, categories"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        from optuna.samplers import NSGAIISampler
        from optuna.samplers.nsgaii import PolynomialMutation

        number = seeds.integer(seed, "search/nsga2/sampler") % 2**32
        # Small steps find one peak; a front is spread by mutations that go anywhere.
        with quiet():
            steps = PolynomialMutation() if objectives == 1 else None
            sampler = NSGAIISampler(
                seed=number, population_size=GENERATION * objectives, mutation=steps
            )
        asked = asked_of(space, name="nsga2", seed=seed)
        super().__init__(space, sampler, objectives=objectives, asked=asked, constrained=True)


@SEARCHERS.register("genetic")
class Genetic:
    """Tournaments, crossover, mutation, and the best of all that was told as the next parents.

    Parents are the ``POPULATION`` best sets told so far (elitism): feasible before infeasible, then
    by front, then by room on the front; for one objective, by its value. Each child has two
    parents, each the better of two drawn; it takes every gene from either, or from between them
    where the gene is a number, and each gene mutates with chance ``1 / genes``. Needs no library.
    """

    about: ClassVar[str] = "genetic search of our own: any batch, several objectives, no library"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        self._space, self._seed = space, seed
        self._asked = asked_of(space, name="genetic", seed=seed)
        self._ordered = np.array([one.ordered for one in space.dimensions], dtype=bool)
        self._genes = np.zeros((0, len(space.dimensions)))
        self._values = np.zeros((0, objectives))
        self._feasible = np.zeros(0, dtype=bool)

    def ask(self, n: int) -> list[Row]:
        """Breed ``n`` new children; draw uniformly while there are too few parents."""
        out: list[Row] = []
        if len(self._genes) >= POPULATION and self._ordered.size:
            random = seeds.generator(self._seed, f"search/genetic/breed/{self._asked.count}")
            parents = self._parents()
            for _ in range(ROUNDS):
                if len(out) == n:
                    break
                rows = self._space.rows(self._bred(parents, 2 * n, random))
                out += [rows[k] for k in self._asked.sieve(rows, n - len(out))]
        return out + self._asked.uniform(n - len(out)) if len(out) < n else out

    def tell(self, rows: Sequence[Row], values: Floats, feasible: Bools) -> None:
        """Remember what sets are worth."""
        finite: Bools = np.all(np.isfinite(values), axis=1)
        self._genes = np.vstack([self._genes, self._space.unit(rows)])
        self._values = np.vstack([self._values, np.where(finite[:, None], values, -np.inf)])
        self._feasible = np.append(self._feasible, feasible & finite)

    def _parents(self) -> Floats:
        """Genes of the best sets so far, best first; ``[parent, dim]``."""
        level = np.full(len(self._values), np.inf)
        room = np.zeros(len(self._values))
        fine = np.flatnonzero(self._feasible)
        level[fine] = ranks(self._values[fine])
        for front in np.unique(level[fine]):
            held = np.flatnonzero(level == front)
            room[held] = crowding(self._values[held])
        order = np.lexsort((-room, level))  # ties stay in the order of asking
        return self._genes[order[:POPULATION]]

    def _bred(self, parents: Floats, n: int, random: np.random.Generator) -> Floats:
        """Genes of ``n`` children; ``[child, dim]``."""
        dims = parents.shape[1]
        mother, father = (self._won(len(parents), n, random) for _ in range(2))
        one, other = parents[mother], parents[father]
        from_one = random.random((n, dims)) < 0.5
        between = one + random.random((n, dims)) * (other - one)
        mixed = np.where(self._ordered, between, np.where(from_one, one, other))
        picked = np.where(random.random((n, dims)) < 0.5, mixed, np.where(from_one, one, other))
        child = np.where((random.random(n) < MATED)[:, None], picked, one)
        moved = child + REACH * random.standard_normal((n, dims))
        moved = np.where(self._ordered, np.clip(moved, 0.0, 1.0), random.random((n, dims)))
        mutates = random.random((n, dims)) < 1.0 / dims
        mutates[np.arange(n), random.integers(dims, size=n)] |= random.random(n) < 0.5
        return np.where(mutates, moved, child)

    @staticmethod
    def _won(count: int, n: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Winners of ``n`` tournaments of two among parents in order of merit."""
        first, second = random.integers(count, size=(2, n))
        better: npt.NDArray[np.int64] = np.minimum(first, second)
        return better
