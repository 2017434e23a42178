"""Soft tables of sets by regime: scores, shares and the day's mix.

For: the arithmetic that the regime table and its one-regime twin share. Not for: schedules, and
not for regimes, whose probabilities come in through the view.

For regime ``k`` with weights ``q[t] = p[t-1, k]`` (the state filtered at ``t-1`` owns the return
of ``t``): ``score = weighted mean / weighted deviation``, shrunk to the score over all sessions by
``n / (n + shrinkage)`` and averaged with its neighbours on the grid. Each regime's sets and cash
(score 0) share by softmax at a temperature in Sharpe per session.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.learner import MIN_ACTIVE, STILL, Floats, LearnerView, heaviest
from ml.neighbourhood import neighbour_average

_TINY = 1e-12


@dataclass(frozen=True)
class TableSelection:
    """Scores and shares of one selection.

    Parameters
    ----------
    scores : float64, ``[state, param]``
        Sharpe per session, shrunk and smoothed; -inf where a set is ineligible.
    sessions : float64, ``[state]``
        Effective sessions behind each row.
    shares : float64, ``[state, param]``
        Softmax; what is missing to 1 in a row is cash.
    """

    scores: Floats
    sessions: Floats
    shares: Floats


@dataclass(frozen=True)
class ScoreTable:
    """How scores become shares.

    Parameters
    ----------
    temperature : float
        Of the softmax, Sharpe per session.
    shrinkage : float
        Effective sessions at which a regime's own score counts half.
    smoothing : float
        Weight of the neighbours' mean in a smoothed score, in [0, 1].
    members : int
        Most sets in the mix.
    """

    temperature: float = 0.02
    shrinkage: float = 60.0
    smoothing: float = 0.5
    members: int = 16

    def select(self, view: LearnerView) -> TableSelection:
        """Score every candidate in every regime."""
        known = sharpe_by_regime(view)
        trust = (known.sessions / (known.sessions + self.shrinkage))[:, None]
        raw = trust * known.ratio + (1.0 - trust) * known.overall
        beside = neighbour_average(view.grid)
        scores = _smoothed(raw, beside, known.eligible, self.smoothing)
        return TableSelection(scores, known.sessions, self.shares(scores))

    def shares(self, scores: Floats) -> Floats:
        """Share of each set by row; what is missing to 1 is cash; ``[state, param]``."""
        return _softmax(scores, self.temperature)

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Mix the regimes' shares by the probabilities of the last session; ``[param]``."""
        return heaviest(view.probabilities[-1] @ selection.shares, self.members)


@dataclass(frozen=True)
class RegimeSharpe:
    """What every set earned in every regime.

    Parameters
    ----------
    ratio : float64, ``[state, param]``
        Weighted mean over weighted deviation, per session; 0 where a set does not move.
    overall : float64, ``[param]``
        The same over all sessions alike.
    sessions : float64, ``[state]``
        Sum of the weights.
    eligible : bool, ``[param]``
        At least ``MIN_ACTIVE`` sessions with a return, and some deviation.
    """

    ratio: Floats
    overall: Floats
    sessions: Floats
    eligible: npt.NDArray[np.bool_]


def sharpe_by_regime(view: LearnerView) -> RegimeSharpe:
    """Credit the state filtered at ``t - 1`` with the return of ``t``, for every set."""
    owned = view.returns[:, 1:]  # [P, T-1]
    weights = view.probabilities[:-1]  # [T-1, K]
    everything = np.column_stack([weights, np.ones(len(weights))])
    ratio, deviation, sessions = _sharpe(owned, everything)
    active = np.count_nonzero(owned, axis=1) >= MIN_ACTIVE
    return RegimeSharpe(ratio[:-1], ratio[-1], sessions[:-1], active & (deviation[-1] > STILL))


def _sharpe(returns: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted mean over weighted deviation, the deviation, both ``[state, param]``; the weight."""
    total = weights.sum(axis=0)  # [K]
    mean = (returns @ weights).T / np.maximum(total, _TINY)[:, None]  # [K, P]
    square = ((returns**2) @ weights).T / np.maximum(total, _TINY)[:, None]
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > STILL)
    return ratio, deviation, total


def _smoothed(
    scores: Floats, beside: Floats, eligible: npt.NDArray[np.bool_], weight: float
) -> Floats:
    """Average each score with its eligible neighbours; -inf where the set is ineligible."""
    around = beside * eligible
    mass = around.sum(axis=1)
    mean = np.where(eligible, scores, 0.0) @ around.T
    mean = np.divide(mean, mass, out=scores.copy(), where=mass > _TINY)
    return np.where(eligible, (1.0 - weight) * scores + weight * mean, -np.inf)


def _softmax(scores: Floats, temperature: float) -> Floats:
    """Share of each set by row; cash takes part with score 0 and is left out of the result."""
    best = np.maximum(scores.max(axis=1, keepdims=True, initial=0.0), 0.0)
    raised = np.exp((scores - best) / temperature)  # [K, P]
    cash = np.exp(-best / temperature)
    out: Floats = raised / (raised.sum(axis=1, keepdims=True) + cash)
    return out
