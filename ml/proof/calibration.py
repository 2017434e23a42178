"""Whether probabilities of regimes mean what they say, where the truth is known.

For: reliability, Brier score, log loss and calibration error of filtered probabilities against
planted states. Not for: anything that is exported; every function here reads the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 10
_FLOOR = 1e-6


@dataclass(frozen=True)
class Calibration:
    """How probabilities compare with what was so.

    Parameters
    ----------
    accuracy, confidence : float
        Share of sessions whose likeliest state was the true one, and the mean probability that
        it was given.
    brier : float
        Mean over sessions of the squared distance to certainty of the true state, 0 to 2.
    log_loss : float
        Mean of minus the log of the true state's probability, cut at 1e-6.
    error : float
        Expected calibration error: mean distance between confidence and accuracy over ten bins
        of confidence, weighted by their sessions.
    reliability : tuple of (float, float, int)
        By bin: mean confidence, accuracy and sessions; empty bins are left out.
    """

    accuracy: float
    confidence: float
    brier: float
    log_loss: float
    error: float
    reliability: tuple[tuple[float, float, int], ...]


def planted_probabilities(probabilities: Floats, truth: Ints) -> Floats:
    """Put found states in the place of the planted ones they share most sessions with.

    Parameters
    ----------
    probabilities : float64, ``[time, state]``
    truth : int64, ``[time]``

    Returns
    -------
    float64, ``[time, state]``
        As many columns as there are states found or planted; one-to-one, so a state found beyond
        the number planted has a column of its own, which is never true.
    """
    size = max(probabilities.shape[1], int(truth.max()) + 1)
    wide = np.zeros((len(probabilities), size))
    wide[:, : probabilities.shape[1]] = probabilities
    shared = np.zeros((size, size))
    np.add.at(shared, (wide.argmax(axis=1), truth), 1.0)
    found, planted = linear_sum_assignment(shared, maximize=True)
    out = np.empty_like(wide)
    out[:, planted] = wide[:, found]
    return out


def calibration(probabilities: Floats, truth: Ints) -> Calibration:
    """Measure probabilities ``[time, state]``, in the order of the planted states, against truth.

    Examples
    --------
    >>> found = calibration(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))
    >>> round(found.brier, 2), round(found.error, 2)
    (0.68, 0.3)
    """
    rows = np.arange(len(truth))
    certain = np.eye(probabilities.shape[1])[truth]
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = [
        (float(confidence[place == b].mean()), float(right[place == b].mean()), int(n))
        for b in range(BINS)
        if (n := np.count_nonzero(place == b))
    ]
    told = np.maximum(probabilities[rows, truth], _FLOOR)
    return Calibration(
        accuracy=float(right.mean()),
        confidence=float(confidence.mean()),
        brier=float(((probabilities - certain) ** 2).sum(axis=1).mean()),
        log_loss=float(-np.log(told).mean()),
        error=sum(abs(said - was) * n for said, was, n in bins) / len(truth),
        reliability=tuple(bins),
    )
