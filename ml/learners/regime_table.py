"""The soft regime table: which sets earned most in each regime, mixed by today's probabilities.

For: the learner behind ``regime_aware``. Not for: the regimes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("regime_table")
@dataclass(frozen=True)
class RegimeTable:
    """One row of scores per regime.

    Parameters
    ----------
    table : ScoreTable
    """

    table: ScoreTable = field(default_factory=ScoreTable)

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "regime_table", **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate in every regime."""
        return self.table.select(view)

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Mix the regimes' shares by the probabilities of the last session; ``[param]``."""
        return self.table.weigh(selection, view)
