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

from backtest.params import ParamGrid
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
        scores = self.smoothed(self.shrunk(known), known.eligible, view.grid)
        return TableSelection(scores, known.sessions, self.shares(scores))

    def shrunk(self, known: RegimeSharpe) -> Floats:
        """Draw each regime's ratio to the one over all sessions; ``[..., state, param]``.

        A regime without any session behind it has that ratio whole, whatever the shrinkage.
        """
        n = known.sessions
        trust = np.divide(n, n + self.shrinkage, out=np.zeros_like(n), where=n > _TINY)
        trust = trust[..., None]
        return np.asarray(trust * known.ratio + (1.0 - trust) * known.overall[..., None, :])

    def smoothed(self, scores: Floats, eligible: npt.NDArray[np.bool_], grid: ParamGrid) -> Floats:
        """Average each score with its eligible neighbours; -inf where the set is ineligible.

        Parameters
        ----------
        scores : float64, ``[..., param]``
        eligible : bool, ``[param]`` or as ``scores``
        grid : ParamGrid
        """
        beside = neighbour_average(grid).T
        mass = eligible @ beside
        mean = np.where(eligible, scores, 0.0) @ beside
        mean = np.divide(mean, mass, out=scores.copy(), where=mass > _TINY)
        mixed = (1.0 - self.smoothing) * scores + self.smoothing * mean
        return np.where(eligible, mixed, -np.inf)

    def shares(self, scores: Floats) -> Floats:
        """Share of each set by row; what is missing to 1 is cash; ``[state, param]``."""
        return _softmax(scores, self.temperature)

    def mixes(self, view: LearnerView, sessions: int, *, every: int) -> Floats:
        """What the table would have proposed at the last closes, from what was known at each.

        Parameters
        ----------
        view : LearnerView
        sessions : int
            How many of the last ones.
        every : int
            Sessions between two selections; at multiples of it, wherever the view begins.

        Returns
        -------
        float64, ``[session, param]``
            Of all sets, not of the heaviest only.
        """
        out, start = np.zeros((sessions, view.grid.size)), view.sessions - sessions
        while start < view.sessions:
            late = (view.first + start) % every
            stop = min(start + every - late, view.sessions)
            known = self.select(view.rows(0, max(start - late, 0) + 1))
            rows = slice(start, stop)
            out[start - view.sessions + sessions : stop - view.sessions + sessions] = (
                view.probabilities[rows] @ known.shares
            )
            start = stop
        return out

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Mix the regimes' shares by the probabilities of the last session; ``[param]``."""
        return heaviest(view.probabilities[-1] @ selection.shares, self.members)


@dataclass(frozen=True)
class RegimeSharpe:
    """What every set earned in every regime, at one session or at several (leading axes).

    Parameters
    ----------
    ratio : float64, ``[..., state, param]``
        Weighted mean over weighted deviation, per session; 0 where a set does not move.
    overall : float64, ``[..., param]``
        The same over all sessions alike.
    sessions : float64, ``[..., state]``
        Sum of the weights.
    eligible : bool, ``[..., param]``
        At least ``MIN_ACTIVE`` sessions with a return, and some deviation.
    """

    ratio: Floats
    overall: Floats
    sessions: Floats
    eligible: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, total: Floats, square: Floats, mass: Floats, active: npt.NDArray[np.int64]
    ) -> RegimeSharpe:
        """Make the ratios from sums over sessions.

        Parameters
        ----------
        total, square : float64, ``[..., param, state + 1]``
            Weighted returns and their squares; the last column weighs all sessions alike.
        mass : float64, ``[..., state + 1]``
            Sum of the weights.
        active : int64, ``[..., param]``
            Sessions with a return.
        """
        weight = np.maximum(mass, _TINY)[..., None]
        mean = np.swapaxes(total, -1, -2) / weight
        deviation = np.sqrt(np.maximum(np.swapaxes(square, -1, -2) / weight - mean**2, 0.0))
        ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > STILL)
        return cls(
            ratio[..., :-1, :],
            ratio[..., -1, :],
            mass[..., :-1],
            (active >= MIN_ACTIVE) & (deviation[..., -1, :] > STILL),
        )


def sharpe_by_regime(view: LearnerView) -> RegimeSharpe:
    """Credit the state filtered at ``t - 1`` with the return of ``t``, for every set."""
    owned = view.returns[:, 1:]  # [P, T-1]
    weights = view.probabilities[:-1]  # [T-1, K]
    everything = np.column_stack([weights, np.ones(len(weights))])
    return RegimeSharpe.of(
        owned @ everything,
        owned**2 @ everything,
        everything.sum(axis=0),
        np.count_nonzero(owned, axis=1),
    )


def _softmax(scores: Floats, temperature: float) -> Floats:
    """Share of each set by row; cash takes part with score 0 and is left out of the result."""
    best = np.maximum(scores.max(axis=1, keepdims=True, initial=0.0), 0.0)
    raised = np.exp((scores - best) / temperature)  # [K, P]
    cash = np.exp(-best / temperature)
    out: Floats = raised / (raised.sum(axis=1, keepdims=True) + cash)
    return out
