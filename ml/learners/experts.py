"""Fixed-share experts over the candidate sets: what adapts without knowing any regime.

For: the baseline that must not be mistaken for regime awareness. Not for: promotion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.fixed_share import Shares, continued, even
from ml.learner import LEARNERS, Floats, LearnerView, heaviest


@dataclass(frozen=True)
class ExpertsSelection:
    """Weights as of one session.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Log weight over an even share; a comparison between sets, not a Sharpe ratio.
    sessions : float64, ``[1]``
    known : Shares
        Over sets and cash.
    """

    scores: Floats
    sessions: Floats
    known: Shares


@LEARNERS.register("experts")
@dataclass(frozen=True)
class Experts:
    """Fixed share over sets and cash; see :mod:`ml.fixed_share`.

    Parameters
    ----------
    rate : float
        Learning rate per deviation of return.
    share : float
        What an expert gives away each session.
    half_life : float
        Of the volatility, sessions.
    members : int
        Most sets in the mix.
    """

    rate: float = 0.1
    share: float = 1.0 / 80.0
    half_life: float = 63.0
    members: int = 16

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "experts", **vars(self)}

    def select(self, view: LearnerView, *, before: Any = None) -> ExpertsSelection:
        """Run the update over all sessions known, or over those that ``before`` has not seen."""
        given = even(view.first, len(view.returns))
        if before is not None and before.known.first == view.first:
            given = before.known
        known = self._continued(given, view)
        scores = np.log(known.weights[None, :-1] * len(known.weights))
        return ExpertsSelection(scores, np.array([float(known.stop - known.first)]), known)

    def weigh(self, selection: ExpertsSelection, view: LearnerView) -> Floats:
        """Go on from the selection to the last session; ``[param]``."""
        return heaviest(self._continued(selection.known, view).weights[:-1], self.members)

    def _continued(self, given: Shares, view: LearnerView) -> Shares:
        late = view.returns[:, given.stop - view.first :]
        return continued(given, late, rate=self.rate, share=self.share, half_life=self.half_life)
