"""Fixed-share experts over the candidate sets: what adapts without knowing any regime.

For: the baseline that must not be mistaken for regime awareness. Not for: promotion.

Every session each expert's weight is multiplied by ``exp(rate * return / volatility)``, with the
volatility an exponentially weighted one known the day before, and then gives ``share`` of itself
to all experts alike. Cash is an expert that never moves. Source: Herbster and Warmuth, "Tracking
the best expert" (1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from ml.learner import LEARNERS, Floats, LearnerView, heaviest


@dataclass(frozen=True)
class ExpertsSelection:
    """Weights as of one session.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Log weight over an even share; a comparison between sets, not a Sharpe ratio.
    sessions : float64, ``[1]``
    first, stop : int
        First session counted in, and first that is not yet.
    weights : float64, ``[param + 1]``
        The last one is cash.
    variance : float64, ``[param]``
        Exponentially weighted mean square return.
    """

    scores: Floats
    sessions: Floats
    first: int
    stop: int
    weights: Floats
    variance: Floats


@LEARNERS.register("experts")
@dataclass(frozen=True)
class Experts:
    """Fixed share.

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
        sets, stop = view.returns.shape[0], view.first + view.sessions
        given = before if before is not None and before.first == view.first else None
        if given is None:
            even = np.full(sets + 1, 1.0 / (sets + 1))
            given = self._kept(view.first, view.first, even, np.zeros(sets))
        return self._kept(view.first, stop, *self._run(given, view))

    def weigh(self, selection: ExpertsSelection, view: LearnerView) -> Floats:
        """Go on from the selection to the last session; ``[param]``."""
        return heaviest(self._run(selection, view)[0][:-1], self.members)

    def _kept(self, first: int, stop: int, weights: Floats, variance: Floats) -> ExpertsSelection:
        scores = np.log(weights[None, :-1] * len(weights))
        sessions = np.array([float(stop - first)])
        return ExpertsSelection(scores, sessions, first, stop, weights, variance)

    def _run(self, given: ExpertsSelection, view: LearnerView) -> tuple[Floats, Floats]:
        """Weights and variances after the sessions that ``given`` has not seen."""
        weights, variance = given.weights.copy(), given.variance.copy()
        late = np.ascontiguousarray(view.returns[:, given.stop - view.first :].T)
        decay = 0.5 ** (1.0 / self.half_life)
        _fixed_share(late, weights, variance, self.rate, self.share, decay)
        return weights, variance


@njit(cache=True, nogil=True)
def _fixed_share(
    returns: Floats, weights: Floats, variance: Floats, rate: float, share: float, decay: float
) -> None:
    """Advance ``weights`` and ``variance`` in place over ``returns`` ``[time, param]``."""
    sessions, sets = returns.shape
    for t in range(sessions):
        total = weights[sets]
        for p in range(sets):
            r = returns[t, p]
            if variance[p] > 1e-16:
                gain = r / np.sqrt(variance[p])
                gain = min(max(gain, -6.0), 6.0)
                weights[p] *= np.exp(rate * gain)
                variance[p] = decay * variance[p] + (1.0 - decay) * r * r
            elif r != 0.0:
                variance[p] = r * r
            total += weights[p]
        for p in range(sets + 1):
            weights[p] = (1.0 - share) * weights[p] / total + share / (sets + 1)
