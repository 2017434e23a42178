"""Socket of learners: what turns past returns and the market's state into a mix of sets.

For: the view that a learner may read, the protocol, and the registry. Not for: schedules,
gates or exports, which belong to ``decision``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from backtest.registry import Registry

Floats = npt.NDArray[np.float64]

HORIZON: Final = 30
"""Sessions over which it is judged what a decision was worth."""

MIN_ACTIVE: Final = 20
"""Sessions with a return before a set is eligible."""

STILL: Final = 1e-9
"""Deviation per session at or below which a set counts as not moving."""


@dataclass(frozen=True)
class Market:
    """What was known at each close beside returns and regimes.

    Parameters
    ----------
    dates : datetime64[D], ``[time]``
    state : float64, ``[time, feature]``
        The market's state, NaN where unknown.
    columns : tuple of str, ``[feature]``
    turnover : float64, ``[param, time]``
        Of each candidate's book, at the open.
    """

    dates: npt.NDArray[np.datetime64]
    state: Floats
    columns: tuple[str, ...]
    turnover: Floats

    def rows(self, start: int, stop: int) -> Market:
        """Return the sessions from ``start`` up to and without ``stop``."""
        cut = slice(start, stop)
        return Market(self.dates[cut], self.state[cut], self.columns, self.turnover[:, cut])


@dataclass(frozen=True)
class LearnerView:
    """What is known after the close of the last column, for one strategy.

    Parameters
    ----------
    grid : ParamGrid
        Candidate sets ``[param]``.
    returns : float64, ``[param, time]``
        Net book return of each candidate up to and including the last session.
    probabilities : float64, ``[time, state]``
        Filtered by the model in force, relabelled over all history; row ``t`` is known at the
        close of ``t``, so it is the return of ``t + 1`` that belongs to it.
    regimes : tuple of str, ``[state]``
    first : int
        Session of the first column; above 0 where a rolling window has left earlier ones behind.
    market : Market, optional
        What else was known; None where only returns and regimes are.
    proposals : dict of str to float64 ``[time, param]``
        Weights that other learners had proposed at each close, as they were then; zero before the
        first decision. Holds those that the learner names in ``needs``.
    """

    grid: ParamGrid
    returns: Floats
    probabilities: Floats
    regimes: tuple[str, ...]
    first: int = 0
    market: Market | None = None
    proposals: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def sessions(self) -> int:
        """Number of sessions known."""
        return int(self.returns.shape[1])

    def blind(self, weights: Floats | None = None) -> LearnerView:
        """Return the same view with a single regime, always or to the degree of ``weights``.

        Parameters
        ----------
        weights : float64, ``[time]``, optional
            How much each session's evidence counts; 1 by default.
        """
        column = np.ones(self.sessions) if weights is None else weights
        return dataclasses.replace(self, probabilities=column[:, None], regimes=("always",))

    def last(self, sessions: int) -> LearnerView:
        """Return the view as if history had begun so many sessions ago."""
        return self.rows(max(self.sessions - sessions, 0), self.sessions)

    def stepped(self, every: int) -> int:
        """First column whose session is a multiple of ``every``; 0 where all history is known.

        What is learned from there on lasts while a rolling window moves on by up to ``every``.
        """
        return -self.first % every

    def rows(self, start: int, stop: int) -> LearnerView:
        """Return the columns from ``start`` up to and without ``stop``."""
        return dataclasses.replace(
            self,
            returns=self.returns[:, start:stop],
            probabilities=self.probabilities[start:stop],
            first=self.first + start,
            market=None if self.market is None else self.market.rows(start, stop),
            proposals={name: one[start:stop] for name, one in self.proposals.items()},
        )


class Selection(Protocol):
    """What a learner keeps between two selections; immutable.

    Attributes
    ----------
    scores : float64, ``[state, param]``
        Score of each set in each regime, in Sharpe units per session; one row where the learner
        knows no regimes.
    sessions : float64, ``[state]``
        Evidence behind each row, in effective sessions.
    """

    scores: Floats
    sessions: Floats


class Learner(Protocol):
    """Select sets on a schedule, weigh them every session.

    A learner that judges others names them in a tuple ``needs``; see :func:`needs_of`. One that has
    nothing to say in a short rolling window has a ``least_window``; see :func:`least_window_of`.
    """

    def select(self, view: LearnerView, *, before: Any = None) -> Any:
        """Score the candidates at a selection session; returns the learner's own ``Selection``.

        ``before`` may be what the same learner selected at an earlier session of the same
        history. It only saves work: the result is the same bytes without it.
        """
        ...

    def weigh(self, selection: Any, view: LearnerView) -> Floats:
        """Weights of the candidates ``[param]``, non-negative, sum at most 1; the rest is cash.

        At most 16 are positive.
        """
        ...

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy, for its hash."""
        ...


def needs_of(learner: Learner) -> tuple[str, ...]:
    """Names of the learners whose past proposals a learner reads; most read none."""
    return tuple(getattr(learner, "needs", ()))


def least_window_of(learner: Learner) -> int:
    """Sessions that a rolling window must have for a learner and those it reads; mostly 0."""
    needed = (LEARNERS.get(name)() for name in needs_of(learner))
    return max([getattr(learner, "least_window", 0), *map(least_window_of, needed)])


def held_sets(weights: Floats) -> list[int]:
    """Sets that have a weight ``[param]``, heaviest first; ties keep the grid's order."""
    return [int(p) for p in np.argsort(-weights, kind="stable") if weights[p] > 0.0]


def heaviest(weights: Floats, members: int) -> Floats:
    """Keep the ``members`` largest weights ``[param]`` and give them what the others held.

    Ties fall to the earlier set, so that equal evidence always yields the same mix.

    Examples
    --------
    >>> heaviest(np.array([0.1, 0.4, 0.3]), 2).round(3).tolist()
    [0.0, 0.457, 0.343]
    """
    if np.count_nonzero(weights) <= members:
        return weights
    keep = np.argsort(-weights, kind="stable")[:members]
    out = np.zeros_like(weights)
    out[keep] = weights[keep] * (weights.sum() / weights[keep].sum())
    return out


LEARNERS: Registry[type[Learner]] = Registry("learner", "ml.learners")
