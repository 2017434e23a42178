"""Cash: nothing is held.

For: the baseline that loses nothing, beside which a policy that loses less than its rivals has
still lost. Not for: promotion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView


@dataclass(frozen=True)
class CashSelection:
    """No set is better than another, and none is eligible.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        All -inf.
    sessions : float64, ``[1]``
    """

    scores: Floats
    sessions: Floats


@LEARNERS.register("cash")
@dataclass(frozen=True)
class Cash:
    """All weights 0, always."""

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "cash"}

    def select(self, view: LearnerView, *, before: Any = None) -> CashSelection:
        """Choose nothing."""
        scores = np.full((1, len(view.returns)), -np.inf)
        return CashSelection(scores, np.array([float(view.sessions)]))

    def weigh(self, selection: CashSelection, view: LearnerView) -> Floats:
        """Nothing; ``[param]``."""
        return np.zeros(len(view.returns))
