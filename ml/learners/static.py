"""The soft static choice: the regime table with one regime.

For: the comparison that a regime-aware policy must win: same scores, smoothing, schedule and
history, but blind to the state. Not for: a straw man; it is the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("static")
@dataclass(frozen=True)
class Static:
    """One row of scores for all sessions.

    Parameters
    ----------
    table : ScoreTable
    """

    table: ScoreTable = field(default_factory=ScoreTable)

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "static", **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate over all sessions."""
        return self.table.select(view.blind())

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Shares of the one row; ``[param]``."""
        return self.table.weigh(selection, view.blind())
