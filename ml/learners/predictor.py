"""Sets by what they are predicted to earn: the regime table, corrected by boosted trees.

For: the learner that also reads windows, costs, steadiness and the sets' own parameters. Not for:
the prediction itself (``ml.predictor``).

The trees are fitted on the history up to the last multiple of ``refit`` sessions, whenever that
moves or the regimes of that history are told anew. Before there is enough history the table's
scores stand uncorrected.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView
from ml.performance import samples
from ml.predictor import Boosting, PerformancePredictor
from ml.score_table import ScoreTable, TableSelection


@dataclass(frozen=True)
class PredictorSelection(TableSelection):
    """Predicted scores, their shares, and the trees behind them.

    Parameters
    ----------
    model : PerformancePredictor or None
    fitted : tuple of int
        First session, and the first one after those that the trees were fitted on.
    told : float64, ``[time, state]``
        Probabilities of the sessions that they were fitted on.
    """

    model: PerformancePredictor | None
    fitted: tuple[int, int]
    told: Floats


@LEARNERS.register("predictor")
@dataclass(frozen=True)
class Predictor:
    """One row of predicted scores per regime, as if that regime were certain.

    Parameters
    ----------
    table : ScoreTable
    boosting : Boosting
    refit : int
        Sessions between two fits.
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    boosting: Boosting = field(default_factory=Boosting)
    refit: int = 126

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        own = {"boosting": asdict(self.boosting), "refit": self.refit}
        return {"learner": "predictor", **vars(self.table), **own}

    def select(self, view: LearnerView, *, before: Any = None) -> PredictorSelection:
        """Score every candidate in every regime."""
        stop = (view.first + view.sessions) // self.refit * self.refit
        seen = view.rows(0, max(stop - view.first, 0))
        model, fitted = None, (view.first, stop)
        if before is not None and before.fitted == fitted:
            same = np.array_equal(before.told, seen.probabilities)
            model = before.model if same else self._fit(seen)
        else:
            model = self._fit(seen)
        table = self.table.select(view)
        scores = table.scores
        if model is not None:
            states = scores.shape[0]
            today = np.full(states, view.sessions - 1)
            scores = scores + model.correction(
                samples(view, today, self.table, today=np.eye(states))
            )
        shares = self.table.shares(scores)
        return PredictorSelection(scores, table.sessions, shares, model, fitted, seen.probabilities)

    def _fit(self, seen: LearnerView) -> PerformancePredictor | None:
        return PerformancePredictor.fit(seen, self.table, self.boosting)

    def weigh(self, selection: PredictorSelection, view: LearnerView) -> Floats:
        """Mix the regimes' shares by the probabilities of the last session; ``[param]``."""
        return self.table.weigh(selection, view)
