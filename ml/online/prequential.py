"""Prequential scores: predicted at the decision, judged when its outcome was over.

For: the record of one decision and of what was said when an alarm began. Not for: running means
and alarms, which the model keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """How one decision was scored when its outcome was over.

    Parameters
    ----------
    ranking : float
        Share of its material pairs of sets that were told in order; NaN where none was scored.
    regime : float
        1 where the regime that came was the likeliest, else 0; NaN where none was told.
    squared_error : float
        Mean over sets; NaN where none was scored.
    alarm : bool
        Whether the detector spoke.
    ranking_accuracy, regime_accuracy : float
        The running means that it left.
    """

    ranking: float
    regime: float
    squared_error: float
    alarm: bool
    ranking_accuracy: float
    regime_accuracy: float


@dataclass(frozen=True)
class Held:
    """What the model said when an alarm began.

    Parameters
    ----------
    decision : int
        Number of the decision whose outcome raised it.
    average : float64, ``[param]``
        Averaged predictions of the decisions observed until then.
    confidence : float
        Before that outcome.
    """

    decision: int
    average: Floats
    confidence: float


def ranked(predicted: Floats, outcomes: Floats) -> float:
    """Share of the pairs with a gap above the median one that are in order; NaN without any."""
    if len(outcomes) < 2:
        return math.nan
    first, second = np.triu_indices(len(outcomes), 1)
    gap = outcomes[first] - outcomes[second]
    material = np.abs(gap) > np.median(np.abs(gap))
    if not material.any():
        return math.nan
    told = predicted[first] - predicted[second]
    return float((np.sign(told[material]) * np.sign(gap[material]) * 0.5 + 0.5).mean())
