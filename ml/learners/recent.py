"""The soft static choice over the last sessions only.

For: the baseline with a short memory, which follows regimes without knowing of any. Not for:
promotion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("recent")
@dataclass(frozen=True)
class Recent:
    """One row of scores for the last ``window`` sessions.

    Parameters
    ----------
    table : ScoreTable
    window : int
        Sessions whose returns are scored.
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    window: int = 63

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "recent", "window": self.window, **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate over the last sessions."""
        return self.table.select(view.last(self.window + 1).blind())

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Shares of the one row; ``[param]``."""
        return self.table.weigh(selection, view.blind())
