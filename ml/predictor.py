"""What each set will earn over the next 30 sessions: a table's score, corrected by boosted trees.

For: fitting on purged samples, and predicting. Not for: features (``performance``), turning
predictions into a mix (``learners.predictor``), or intervals (``robustness.coverage``).

The prediction starts from the score of the regime table (:data:`ml.performance.BASE`). Trees learn
what is left of the target after it, demeaned within each session, because what all sets share in a
session says nothing of which is better and would only teach the trees to tell sessions apart. The
trees are few, small and slow: a session has one outcome, however many sets are seen in it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from backtest import seeds
from ml.learner import HORIZON, Floats, LearnerView
from ml.performance import BASE, Samples, outcomes, samples
from ml.score_table import ScoreTable

if TYPE_CHECKING:
    import lightgbm

FIRST: Final = 63
"""Sessions before the first sample."""
LEAST_SESSIONS: Final = 8
"""Sessions with samples below which nothing is fitted."""


@dataclass(frozen=True)
class Boosting:
    """How the trees are grown.

    Parameters
    ----------
    every : int
        Sessions between two samples of a set; neighbours share their outcome.
    rounds, leaves : int
    rate : float
        Learning rate.
    least_share : float
        Of all samples, in a leaf.
    ridge : float
        Penalty on leaf values.
    limit : float
        Targets are cut to so many Sharpe per session around the table's score.
    seed : int
    """

    every: int = 15
    rounds: int = 15
    leaves: int = 8
    rate: float = 0.05
    least_share: float = 0.05
    ridge: float = 100.0
    limit: float = 0.6
    seed: int = 0


@dataclass(frozen=True)
class PerformancePredictor:
    """A fitted predictor; equal samples and settings make equal bytes.

    Parameters
    ----------
    settings : Boosting
    names : tuple of str, ``[feature]``
    model : str
        The trees, as LightGBM writes them.
    """

    settings: Boosting
    names: tuple[str, ...]
    model: str

    @classmethod
    def fit(
        cls, view: LearnerView, table: ScoreTable, settings: Boosting
    ) -> PerformancePredictor | None:
        """Learn from every sample whose sessions are over by the view's last.

        Parameters
        ----------
        view : LearnerView
        table : ScoreTable
            Whose scores the trees correct.
        settings : Boosting

        Returns
        -------
        PerformancePredictor or None
            None where there are too few samples, or nothing ever moved.
        """
        finished = max(view.sessions - HORIZON, FIRST)
        known = samples(view, np.arange(FIRST, finished, settings.every), table)
        earned = outcomes(view.returns, known.sessions)
        learned = np.asarray(np.isfinite(earned).any(axis=1))
        if np.count_nonzero(learned) < LEAST_SESSIONS:
            return None
        return cls(settings, known.names, _grown(known, earned, learned, settings))

    def predict(self, known: Samples) -> Floats:
        """Sharpe per session over the next ``HORIZON``, NaN if ineligible; ``[session, param]``."""
        return np.asarray(known.values[:, :, known.names.index(BASE)] + self.correction(known))

    def correction(self, known: Samples) -> Floats:
        """What the trees add to the table's score; ``[session, param]``."""
        rows = known.values.reshape(-1, len(known.names))
        made = np.asarray(self._trees.predict(rows, num_threads=1), dtype=np.float64)
        return made.reshape(known.eligible.shape)

    @cached_property
    def _trees(self) -> lightgbm.Booster:
        import lightgbm

        return lightgbm.Booster(model_str=self.model)


def _grown(known: Samples, earned: Floats, learned: npt.NDArray[np.bool_], how: Boosting) -> str:
    """Grow the trees on what the table's score leaves over."""
    import lightgbm

    left = (earned - known.values[:, :, known.names.index(BASE)])[learned]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a session without any eligible set
        left = left - np.nanmean(left, axis=1, keepdims=True)
    goal = np.clip(left, -how.limit, how.limit).ravel()
    rows = known.values[learned].reshape(len(goal), -1)
    whole = np.isfinite(goal)
    told = {
        "objective": "l2",
        "learning_rate": how.rate,
        "num_leaves": how.leaves,
        "min_data_in_leaf": max(int(whole.sum() * how.least_share), 1),
        "lambda_l2": how.ridge,
        "feature_fraction": 0.5,
        "max_bin": 31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": seeds.integer(how.seed, "predictor") % 2**31,
        "verbose": -1,
    }
    data = lightgbm.Dataset(rows[whole], goal[whole], feature_name=list(known.names))
    return lightgbm.train(told, data, num_boost_round=how.rounds).model_to_string()
