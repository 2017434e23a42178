"""The best set so far, alone: what copying the first row of a grid search amounts to.

For: the baseline that everybody runs. Not for: promotion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("argmax_static")
@dataclass(frozen=True)
class ArgmaxStatic:
    """Scores as ``static``; the whole weight on the best, cash where none is above 0.

    Parameters
    ----------
    table : ScoreTable
    """

    table: ScoreTable = field(default_factory=ScoreTable)

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "argmax_static", **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate over all sessions."""
        return self.table.select(view.blind())

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Everything on the highest score; ``[param]``."""
        scores = selection.scores[0]
        weights = np.zeros(len(scores))
        best = int(scores.argmax())
        weights[best] = float(scores[best] > 0.0)
        return weights
