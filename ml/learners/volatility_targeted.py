"""The soft static choice at a steady risk: less of it while it is wilder than usual.

For: the baseline that reacts to volatility alone, which regimes go with. Not for: promotion, and
not for leverage: exposure is cut, never raised.

Source: Moreira and Muir, "Volatility-managed portfolios" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.learner import LEARNERS, STILL, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("volatility_targeted")
@dataclass(frozen=True)
class VolatilityTargeted:
    """``static`` times the mix's usual volatility over its present one, at most 1.

    Parameters
    ----------
    table : ScoreTable
    half_life : float
        Of the present volatility, sessions.
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    half_life: float = 21.0

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "volatility_targeted", "half_life": self.half_life, **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every candidate over all sessions."""
        return self.table.select(view.blind())

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Shares of the one row, cut by today's risk; ``[param]``."""
        weights = self.table.weigh(selection, view.blind())
        held = np.flatnonzero(weights)
        square = (weights[held] @ view.returns[held]) ** 2
        recent = 0.5 ** (np.arange(view.sessions - 1.0, -1.0, -1.0) / self.half_life)
        now = float(np.sqrt(recent @ square / recent.sum()))
        usual = float(np.sqrt(square.mean()))
        return weights * min(1.0, usual / now) if now > STILL else weights
