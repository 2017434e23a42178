"""Fixed share: weights over streams of returns that follow whichever earns, and can come back.

For: the update behind the learners that weigh sets, and those that weigh other learners. Not for:
what the streams are.

Every session each stream's weight is multiplied by ``exp(rate * return / volatility)``, with the
volatility an exponentially weighted one known the day before, and then gives ``share`` of itself
to all alike. Cash is a stream that never moves. Source: Herbster and Warmuth, "Tracking the best
expert" (1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ml.learner import Floats


@dataclass(frozen=True)
class Shares:
    """Weights as of one session.

    Parameters
    ----------
    first, stop : int
        First session counted in, and first that is not yet.
    weights : float64, ``[stream + 1]``
        The last one is cash; they sum to 1.
    variance : float64, ``[stream]``
        Exponentially weighted mean square return.
    """

    first: int
    stop: int
    weights: Floats
    variance: Floats


def even(first: int, streams: int) -> Shares:
    """Shares before the first session: alike, cash included."""
    return Shares(first, first, np.full(streams + 1, 1.0 / (streams + 1)), np.zeros(streams))


def continued(
    given: Shares, returns: Floats, *, rate: float, share: float, half_life: float
) -> Shares:
    """Go on over sessions that ``given`` has not seen.

    Parameters
    ----------
    given : Shares
    returns : float64, ``[stream, time]``
        From session ``given.stop`` on.
    rate : float
        Learning rate per deviation of return.
    share : float
        What a stream gives away each session.
    half_life : float
        Of the volatility, sessions.
    """
    weights, variance = given.weights.copy(), given.variance.copy()
    late = np.ascontiguousarray(returns.T)
    _run(late, weights, variance, rate, share, 0.5 ** (1.0 / half_life))
    return Shares(given.first, given.stop + len(late), weights, variance)


@njit(cache=True, nogil=True)
def _run(
    returns: Floats, weights: Floats, variance: Floats, rate: float, share: float, decay: float
) -> None:
    """Advance ``weights`` and ``variance`` in place over ``returns`` ``[time, stream]``."""
    sessions, streams = returns.shape
    for t in range(sessions):
        total = weights[streams]
        for p in range(streams):
            r = returns[t, p]
            if variance[p] > 1e-16:
                gain = r / np.sqrt(variance[p])
                gain = min(max(gain, -6.0), 6.0)
                weights[p] *= np.exp(rate * gain)
                variance[p] = decay * variance[p] + (1.0 - decay) * r * r
            elif r != 0.0:
                variance[p] = r * r
            total += weights[p]
        for p in range(streams + 1):
            weights[p] = (1.0 - share) * weights[p] / total + share / (streams + 1)
