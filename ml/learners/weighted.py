"""The soft static choice with exponentially falling weight of older sessions.

For: the baseline that forgets slowly. Not for: promotion.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("weighted")
@dataclass(frozen=True)
class Weighted:
    """One row of scores, each session worth half of one that is ``half_life`` younger.

    Parameters
    ----------
    table : ScoreTable
    half_life : float
        Sessions.
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    half_life: float = 42.0

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "weighted", "half_life": self.half_life, **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate, without shrinkage to its score over all sessions."""
        age = np.arange(view.sessions - 1.0, -1.0, -1.0)
        plain = dataclasses.replace(self.table, shrinkage=0.0)
        return plain.select(view.blind(0.5 ** (age / self.half_life)))

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Shares of the one row; ``[param]``."""
        return self.table.weigh(selection, view.blind())
