"""Searchers that model the surface: TPE, a Gaussian process, CMA-ES, all by Optuna.

For: few, dear evaluations. Not for: many cheap ones, where the sweep of a grid is done before the
model has been fitted.

Sources: Watanabe, "Tree-structured Parzen estimator" (2023); Ament et al., "Unexpected improvements
to expected improvement" (2023); Hansen, "The CMA evolution strategy: a tutorial" (2016).
"""

from __future__ import annotations

from typing import ClassVar

from backtest import seeds
from ml.optuna_study import StudySearcher
from ml.searcher import SEARCHERS, asked_of, refuse_several
from ml.space import Row, Space


def _seed(seed: int, name: str) -> int:
    """Seed that NumPy's old generator takes."""
    return seeds.integer(seed, f"search/{name}/sampler") % 2**32


@SEARCHERS.register("tpe")
class Tpe(StudySearcher):
    """Tree-structured Parzen estimator, multivariate; a batch lies about itself (constant liar)."""

    about: ClassVar[str] = "tree-structured Parzen estimator: categories, rules, any batch"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        from optuna.samplers import TPESampler

        sampler = TPESampler(seed=_seed(seed, "tpe"), constant_liar=True)
        asked = asked_of(space, name="tpe", seed=seed)
        super().__init__(space, sampler, objectives=objectives, asked=asked, constrained=True)


@SEARCHERS.register("gp")
class Gp(StudySearcher):
    """Gaussian process with expected improvement; of hypervolume for several objectives.

    Rules are told as the worst value: a second process for a rule would double the dearest step.
    """

    about: ClassVar[str] = "Gaussian process, expected improvement: fewest sets, dearest steps"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        from optuna.samplers import GPSampler

        sampler = GPSampler(seed=_seed(seed, "gp"), warn_independent_sampling=False)
        asked = asked_of(space, name="gp", seed=seed)
        super().__init__(space, sampler, objectives=objectives, asked=asked, constrained=False)

    def ask(self, n: int) -> list[Row]:
        """Ask with one thread: fits are small and lose more to threads than they gain."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return super().ask(n)
        finally:
            torch.set_num_threads(threads)


@SEARCHERS.register("cmaes")
class CmaEs(StudySearcher):
    """Covariance matrix adaptation; one objective, and categories are drawn uniformly."""

    about: ClassVar[str] = "covariance matrix adaptation: smooth numbers, one objective"

    def __init__(self, space: Space, *, objectives: int, seed: int):
        from optuna.samplers import CmaEsSampler, RandomSampler

        refuse_several(objectives, name="cmaes")
        sampler = CmaEsSampler(
            seed=_seed(seed, "cmaes"),
            independent_sampler=RandomSampler(seed=_seed(seed, "cmaes/categories")),
            warn_independent_sampling=False,
        )
        asked = asked_of(space, name="cmaes", seed=seed)
        super().__init__(space, sampler, objectives=objectives, asked=asked, constrained=False)
