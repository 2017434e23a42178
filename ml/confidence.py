"""Confidence: the probability that a proposal keeps its word, learned from the proposals before it.

For: one number for the mix and one per parameter, each the probability of an event that 30 sessions
later has happened or has not. Not for: choosing sets, or measuring how well these numbers kept
(``robustness.reliability``).

An event is a contrast: weights over the candidates whose sum of returns over the next ``HORIZON``
sessions is above 0 or not. Overall it is the mix minus the plain average of all eligible sets; for
a parameter it is the mean of the sets with each value, weighted as the mix weighs the values, minus
the plain average over the values. ``P = logistic(x b)`` with a normal prior on ``b`` around 0, that
is, around one half; ``x`` holds a constant, how certain the regime is, what this very contrast
would have earned lately, and what the earlier proposals' contrasts did earn lately. Past proposals
are learned from once their sessions are over, each with weight ``1 / HORIZON``, because ``HORIZON``
neighbours share their outcome. Source of the update: MacKay, "The evidence framework applied to
classification networks" (1992).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.params import ParamGrid
from ml.learner import HORIZON, MIN_ACTIVE, STILL

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

OVERALL: Final = "overall"

_RECORD = 63
_HALF_LIFE = 42.0
_PRIOR = (1.0, 0.5, 0.5, 0.5)
"""Deviations of the coefficients before anything is known: of the constant, and of the signals."""
_WARM_UP = 60
_LIMIT = 3.0
_TINY = 1e-12


@dataclass(frozen=True)
class Confidence:
    """Probabilities of one decision's events; one half where nothing speaks for or against.

    Parameters
    ----------
    overall : float
    parameters : dict of str to float
    """

    overall: float
    parameters: dict[str, float]


class Contrasts:
    """The events of a grid as weights over its sets.

    Parameters
    ----------
    grid : ParamGrid
    """

    def __init__(self, grid: ParamGrid) -> None:
        self.names = (OVERALL, *grid.columns)
        codes = [np.unique(c, return_inverse=True)[1].reshape(-1) for c in grid.columns.values()]
        members = [np.eye(int(code.max()) + 1)[:, code] for code in codes]
        self._member = np.concatenate([np.zeros((0, grid.size)), *members])  # [value, param]
        owner = np.repeat(np.arange(len(members)), [len(one) for one in members])
        self._owner = np.eye(len(members))[:, owner]  # [parameter, value]

    def of(self, weights: Floats, eligible: Bools) -> Floats:
        """Contrast of every event, 0 throughout where there is none; ``[event, param]``.

        Parameters
        ----------
        weights : float64, ``[param]``
            A mix.
        eligible : bool, ``[param]``
        """
        out = np.zeros((len(self.names), len(weights)))
        count = int(eligible.sum())
        if not count:
            return out
        out[0] = weights - eligible / count
        sets = self._member * eligible
        sizes = sets.sum(axis=1)  # [value]
        there = sizes > 0.0
        held = (self._member @ weights) * there
        total, values = self._owner @ held, self._owner @ there  # [parameter]
        chosen = (total > 0.0) & (values > 1.0)
        share = self._owner.T @ np.where(chosen, 1.0 / np.where(chosen, total, 1.0), 0.0)
        plain = self._owner.T @ np.where(chosen, 1.0 / np.maximum(values, 1.0), 0.0)
        tilt = (held * share - there * plain) / np.maximum(sizes, 1.0)
        out[1:] = (self._owner * tilt) @ sets
        return out


def happened(gains: Floats) -> Floats:
    """1 where a contrast earned, 0 where it lost, one half where it did neither but round."""
    return np.asarray(0.5 + 0.5 * np.sign(np.where(np.abs(gains) > _TINY, gains, 0.0)))


def outcomes(grid: ParamGrid, returns: Floats, weights: Floats, *, start: int) -> Floats:
    """What became of the events of past proposals.

    Parameters
    ----------
    grid : ParamGrid
    returns : float64, ``[param, time]``
    weights : float64, ``[time - start, param]``
        The mix that was proposed at each close from ``start`` on.
    start : int

    Returns
    -------
    float64, ``[time - start, event]``
        1, 0, or one half for a tie; NaN where the sessions are not over, or there was no event.
    """
    contrasts = Contrasts(grid)
    out = np.full((len(weights), len(contrasts.names)), np.nan)
    active = np.count_nonzero(returns[:, :start], axis=1)
    for row, mix in enumerate(weights):
        s = start + row
        active = active + (returns[:, s] != 0.0)
        if s + HORIZON >= returns.shape[1]:
            break
        contrast = contrasts.of(mix, active >= MIN_ACTIVE)
        gains = contrast @ returns[:, s + 1 : s + 1 + HORIZON].sum(axis=1)
        out[row] = np.where(contrast.any(axis=1), happened(gains), np.nan)
    return out


@dataclass(frozen=True)
class _Claim:
    """One session's events, waiting for their outcome."""

    contrast: Floats
    signals: Floats
    usable: Bools


class Calibration:
    """Learns from past proposals, session by session, how often their events happen.

    What it says at a session depends on sessions up to that one only, and never changes.

    Parameters
    ----------
    grid : ParamGrid
        The candidates, ``[param]``.
    start : int
        Session of the first decision.
    """

    def __init__(self, grid: ParamGrid, start: int) -> None:
        self._contrasts = Contrasts(grid)
        events, signals = len(self._contrasts.names), len(_PRIOR)
        self._start = start
        self._said: list[Floats] = []
        self._mean = np.zeros((events, signals))
        self._covariance = np.tile(np.diag(np.square(_PRIOR)), (events, 1, 1))
        self._waiting: deque[_Claim] = deque(maxlen=HORIZON + 1)
        self._active = np.zeros(grid.size, dtype=np.int64)
        self._certainty = np.zeros(3)  # count, sum, sum of squares
        self._scale = np.zeros(events)
        self._recent = np.zeros(events)

    def at(
        self, session: int, returns: Floats, weights: Floats, *, certainty: Floats
    ) -> Confidence:
        """Confidence in the proposal of one session.

        Parameters
        ----------
        session : int
        returns : float64, ``[param, time]``
            Up to the session at least.
        weights : float64, ``[time, param]``
            What was proposed at every close from the first decision up to the session.
        certainty : float64, ``[time]``
            Probability of the likeliest regime at each of these closes, as it was then.
        """
        for s in range(self._start + len(self._said), session + 1):
            self._said.append(self._next(s, returns[:, : s + 1], weights[s], float(certainty[s])))
        numbers = [float(p) for p in self._said[session - self._start]]
        return Confidence(
            numbers[0], dict(zip(self._contrasts.names[1:], numbers[1:], strict=True))
        )

    def _next(self, s: int, returns: Floats, weights: Floats, certainty: float) -> Floats:
        """Go on by one session, and say its probabilities; ``[event]``."""
        fresh = returns if s == self._start else returns[:, s:]
        self._active += np.count_nonzero(fresh, axis=1)
        if self._waiting:
            self._follow(self._waiting[-1].contrast @ returns[:, s])
        contrast = self._contrasts.of(weights, self._active >= MIN_ACTIVE)
        past = contrast @ returns[:, max(s + 1 - _RECORD, 0) :]
        self._scale = np.sqrt((past**2).mean(axis=1))
        usable = self._scale > STILL
        scale = np.where(usable, self._scale, 1.0)
        signals = np.empty((len(scale), len(_PRIOR)))
        signals[:, 0] = 1.0
        signals[:, 1] = self._standard(certainty)
        signals[:, 2] = _as_signal(past.mean(axis=1) / scale * np.sqrt(past.shape[1]))
        signals[:, 3] = _as_signal(self._recent * np.sqrt(2.0 * _HALF_LIFE / np.log(2.0)))
        self._waiting.append(_Claim(contrast, signals, usable))
        if len(self._waiting) > HORIZON:
            self._learn(self._waiting[0], returns[:, s + 1 - HORIZON :].sum(axis=1))
        return _probability(self._mean, self._covariance, signals, usable)

    def _follow(self, gains: Floats) -> None:
        """Count what the last proposal's contrasts earned, in their own deviations."""
        usable = self._scale > STILL
        moved = np.clip(gains / np.where(usable, self._scale, 1.0), -4.0, 4.0) * usable
        decay = 0.5 ** (1.0 / _HALF_LIFE)
        self._recent = decay * self._recent + (1.0 - decay) * moved

    def _standard(self, certainty: float) -> float:
        """Distance from the mean of all closes so far, in deviations; 0 while there are few."""
        self._certainty += (1.0, certainty, certainty**2)
        count, total, square = self._certainty
        variance = square / count - (total / count) ** 2
        if count <= _WARM_UP or variance <= STILL:
            return 0.0
        return float(np.clip((certainty - total / count) / np.sqrt(variance), -_LIMIT, _LIMIT))

    def _learn(self, claim: _Claim, earned: Floats) -> None:
        """Update by one settled proposal: a step of Newton on the log posterior."""
        came = happened(claim.contrast @ earned)
        _update(self._mean, self._covariance, claim.signals, came, claim.usable)


def _as_signal(statistic: Floats) -> Floats:
    """Half a t statistic, within limits."""
    return np.asarray(np.clip(statistic / 2.0, -_LIMIT, _LIMIT))


@njit(cache=True, nogil=True)
def _update(mean: Floats, covariance: Floats, signals: Floats, came: Floats, usable: Bools) -> None:
    """Learn one settled claim per event in place; ``mean`` is ``[event, signal]``."""
    for e in range(len(mean)):
        if not usable[e]:
            continue
        x = signals[e]
        spread = np.zeros(len(x))
        middle, variance = 0.0, 0.0
        for i in range(len(x)):
            middle += x[i] * mean[e, i]
            for j in range(len(x)):
                spread[i] += covariance[e, i, j] * x[j]
            variance += x[i] * spread[i]
        fitted = 1.0 / (1.0 + np.exp(-middle))
        curvature = max(fitted * (1.0 - fitted), 0.05) / HORIZON
        shrink = 1.0 / (1.0 + curvature * variance)
        for i in range(len(x)):
            mean[e, i] += shrink * spread[i] * (came[e] - fitted) / HORIZON
            for j in range(len(x)):
                covariance[e, i, j] -= curvature * shrink * spread[i] * spread[j]


@njit(cache=True, nogil=True)
def _probability(mean: Floats, covariance: Floats, signals: Floats, usable: Bools) -> Floats:
    """Probability averaged over the posterior, which pulls it to one half; ``[event]``."""
    out = np.full(len(mean), 0.5)
    for e in range(len(mean)):
        if usable[e]:
            middle, variance = 0.0, 0.0
            for i in range(signals.shape[1]):
                middle += signals[e, i] * mean[e, i]
                for j in range(signals.shape[1]):
                    variance += signals[e, i] * covariance[e, i, j] * signals[e, j]
            out[e] = 1.0 / (1.0 + np.exp(-middle / np.sqrt(1.0 + np.pi / 8.0 * variance)))
    return out
