"""A learner of learners: follows whichever has earned, and is itself one policy.

For: choosing among learners causally, instead of by hand after the fact. Not for: sets that none
of its advisers proposes.

Every adviser's past proposals, as they were at each close, earned the candidates' net returns;
fixed share (:mod:`ml.fixed_share`) over these streams gives each adviser its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.fixed_share import Shares, continued, even
from ml.learner import LEARNERS, Floats, LearnerView, heaviest

ADVISERS = (
    "argmax_static",
    "bandit",
    "directions",
    "experts",
    "predictor",
    "recent",
    "regime_table",
    "static",
    "volatility_targeted",
    "weighted",
)


@dataclass(frozen=True)
class MetaSelection:
    """Weights of the advisers as of one session.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Weight that the mix gives each set; a comparison between sets, not a Sharpe ratio.
    sessions : float64, ``[1]``
    known : Shares
        Over advisers and cash.
    """

    scores: Floats
    sessions: Floats
    known: Shares


@LEARNERS.register("meta")
@dataclass(frozen=True)
class Meta:
    """Fixed share over advisers and cash.

    Parameters
    ----------
    advisers : tuple of str
        Names in ``LEARNERS``.
    rate : float
        Learning rate per deviation of return.
    share : float
        What an adviser gives away each session.
    half_life : float
        Of the volatility, sessions.
    members : int
        Most sets in the mix.
    """

    advisers: tuple[str, ...] = ADVISERS
    rate: float = 0.1
    share: float = 1.0 / 252.0
    half_life: float = 63.0
    members: int = 16

    @property
    def needs(self) -> tuple[str, ...]:
        """Learners whose past proposals are read."""
        return self.advisers

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "meta", **vars(self), "advisers": list(self.advisers)}

    def select(self, view: LearnerView, *, before: Any = None) -> MetaSelection:
        """Weigh the advisers by all that they earned, or by what ``before`` has not seen."""
        given = even(view.first, len(self.advisers))
        if before is not None and before.known.first == view.first:
            given = before.known
        known = self._continued(given, view)
        scores = self._mixed(known, view)[None, :]
        return MetaSelection(scores, np.array([float(known.stop - known.first)]), known)

    def weigh(self, selection: MetaSelection, view: LearnerView) -> Floats:
        """Mix today's proposals by the advisers' weights; ``[param]``."""
        known = self._continued(selection.known, view)
        return heaviest(self._mixed(known, view), self.members)

    def _mixed(self, known: Shares, view: LearnerView) -> Floats:
        """Today's proposals, weighed; ``[param]``."""
        today = np.stack([view.proposals[name][-1] for name in self.advisers])
        return np.asarray(known.weights[:-1] @ today)

    def _continued(self, given: Shares, view: LearnerView) -> Shares:
        """Weights after the sessions that ``given`` has not seen."""
        start = given.stop - view.first
        first = max(start, 1)  # nothing was proposed before the first session
        returns = view.returns[:, first:].T  # [T, P]
        earned = np.zeros((len(self.advisers), view.sessions - start))
        for row, name in zip(earned, self.advisers, strict=True):
            held = view.proposals[name][first - 1 : view.sessions - 1]
            row[first - start :] = np.einsum("tp,tp->t", held, returns)
        return continued(given, earned, rate=self.rate, share=self.share, half_life=self.half_life)
