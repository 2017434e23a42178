"""A teacher's walk, and the student of it: what a learner proposed at every close, distilled.

For: ``weathervane distil`` and the assets, which both walk as the walk-forward does. Not for: what
a proposal earns for the gate (``walkforward``), or fitting the student (``distill``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import NotFittedError
from backtest.params import ParamGrid
from ml.decision import Memo, decide
from ml.distill import Agreement, Student, agreement, distil, earned, held, rows_of, size_of
from ml.ensemble.disagreement import disagreement
from ml.history import History
from ml.learner import held_sets, needs_of
from ml.learners.ensemble import EnsembleSelection
from ml.learners.student import Student as Pupil
from ml.policy import PolicyConfig
from ml.regime import RegimeFit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Teaching:
    """What a learner proposed for one strategy at every close, as it was then.

    Parameters
    ----------
    learner : str
    start : int
        Session of the first decision.
    proposals : float64, ``[time, param]``
        Zero before it.
    advisers : tuple of str
        Members of an ensemble; empty where the learner is none.
    shares : float64, ``[time, adviser]``
        Weights of the members in force; zero before the first decision.
    disagreement : float64, ``[time]``
        As of :mod:`ml.ensemble.disagreement`, of each close's proposals; zero as above.
    bytes : int
        Of all that the learner and its members keep for the next proposal; see
        :func:`ml.distill.size_of`.
    seconds : float
        Processor time of one close, all strategies, refits included.
    """

    learner: str
    start: int
    proposals: Floats
    advisers: tuple[str, ...]
    shares: Floats
    disagreement: Floats
    bytes: int
    seconds: float

    def members(self, dates: npt.NDArray[np.datetime64]) -> pl.DataFrame:
        """One row per close from the first decision on.

        Returns
        -------
        polars.DataFrame
            ``date``, the weight of each member, ``cash`` and ``disagreement``.
        """
        rows = slice(self.start, len(self.proposals))
        return pl.DataFrame(
            {
                "date": pl.Series(dates[rows]).cast(pl.Date),
                **{name: self.shares[rows, k] for k, name in enumerate(self.advisers)},
                "cash": np.clip(1.0 - self.shares[rows].sum(axis=1), 0.0, 1.0),
                "disagreement": self.disagreement[rows],
            }
        )

    def today(self, grid: ParamGrid) -> dict[str, Any]:
        """What is said after the last close, as plain values.

        Returns
        -------
        dict
            ``mix`` (``parameters`` and ``weight`` of its sets, heaviest first), ``cash``,
            ``members`` (the weight of each) and ``disagreement``, None where there are none.
        """
        weights = self.proposals[-1]
        held = held_sets(weights)
        return {
            "mix": [{"parameters": grid.row(p), "weight": float(weights[p])} for p in held],
            "cash": float(max(1.0 - weights.sum(), 0.0)),
            "members": dict(zip(self.advisers, self.shares[-1].tolist(), strict=True)),
            "disagreement": float(self.disagreement[-1]) if self.advisers else None,
        }


def taught(
    history: History,
    policy: PolicyConfig,
    *,
    seed: int = 0,
    fits: Mapping[int, RegimeFit] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Teaching]:
    """Let a policy's learner decide at every close, by strategy.

    Parameters
    ----------
    history : History
        Longer than the policy's ``train``.
    policy : PolicyConfig
    seed : int
    fits : mapping of int to RegimeFit, optional
        Of the same policy, state and seed, where they were made before.
    progress : callable, optional
        Told how many closes are decided, and how many there are.
    """
    memo, learner, first = Memo(dict(fits or {})), policy.build(), policy.train
    shares: dict[str, list[Floats]] = {name: [] for name in history.strategies}
    started = time.thread_time()
    for t in range(first, history.sessions):
        decide(t, history, policy, seed=seed, memo=memo)
        for name, known in shares.items():
            selection = memo.selections[policy, name][1]
            if isinstance(selection, EnsembleSelection):
                known.append(selection.shares)
        if progress is not None:
            progress(t + 1 - first, history.sessions - first)
    seconds = (time.thread_time() - started) / max(history.sessions - first, 1)
    out = {}
    for name, known in shares.items():
        advisers = needs_of(learner) if known else ()
        weights = np.zeros((history.sessions, len(advisers)))
        apart = np.zeros(history.sessions)
        if known:
            weights[first:] = known
            said = [_rows(memo, policy.with_learner(one), name, history) for one in advisers]
            apart[first:] = disagreement(np.stack(said, axis=1), weights)[first:]
        out[name] = Teaching(
            learner=policy.learner,
            start=first,
            proposals=_rows(memo, policy, name, history),
            advisers=advisers,
            shares=weights,
            disagreement=apart,
            bytes=sum(size_of(one[1]) for key, one in memo.selections.items() if key[1] == name),
            seconds=seconds,
        )
    return out


def _rows(memo: Memo, policy: PolicyConfig, strategy: str, history: History) -> Floats:
    """What a policy proposed at every close; ``[time, param]``."""
    return memo.proposals[policy, strategy].rows[: history.sessions]


@dataclass(frozen=True)
class Distillation:
    """Students along a history, and how they do where they were not fitted.

    Parameters
    ----------
    student : Student
        The last, fitted on the latest proposals.
    fits : tuple of int
        First session after those of each fit; the first of them is the first judged.
    agreement : Agreement
        Of all students together, each until the next fit.
    earned : dict of str to float64, ``[session]``
        Net returns of ``teacher`` and ``student`` in the sessions after those judged.
    """

    student: Student
    fits: tuple[int, ...]
    agreement: Agreement
    earned: dict[str, Floats]

    def streams(self, dates: npt.NDArray[np.datetime64]) -> pl.DataFrame:
        """``date`` and what ``teacher`` and ``student`` earned on it, where it was judged."""
        days = dates[self.fits[0] + 1 :][: self.agreement.sessions]
        return pl.DataFrame({"date": pl.Series(days).cast(pl.Date), **self.earned})


def require_teaching(sessions: int, train: int) -> None:
    """Refuse a history in which no student could be judged, before its teacher walks it.

    Raises
    ------
    NotFittedError
        ``E_TOO_SHORT``.
    """
    first = _first_fit(train, Pupil())
    if sessions < first + 2:
        raise NotFittedError(
            f"{sessions} sessions where a student and its teacher need {first + 2}",
            where=f"the teacher proposes from session {train} on",
            fix="give more history, or a smaller --train",
            code="E_TOO_SHORT",
        )


def _first_fit(start: int, pupil: Pupil) -> int:
    """First session after those of the first fit, where proposals begin at ``start``."""
    return -(-(start + pupil.least) // pupil.refit) * pupil.refit


def distilled(
    state: Floats, returns: Floats, proposals: Floats, *, seed: int, cost: float
) -> Distillation:
    """Fit students along a teacher's proposals, each judged until the next, as the learner does.

    Parameters
    ----------
    state : float64, ``[time, feature]``
        Of the market.
    returns : float64, ``[param, time]``
        Net return of every set.
    proposals : float64, ``[time, param]``
        Of the teacher; those before the first that holds something are left out.
    seed : int
    cost : float
        Per side, decimal, of what changes in a mix.

    Raises
    ------
    NotFittedError
        ``E_TOO_SHORT``: too few proposals.
    """
    pupil, last = Pupil(seed=seed), len(proposals) - 1  # nothing is known to follow the last
    start = int(proposals.any(axis=1).argmax()) if proposals.any() else last
    first = _first_fit(start, pupil)
    fits = range(first, last, pupil.refit)
    if not fits:
        raise NotFittedError(
            f"{last - start} proposals where a student needs {first + 1 - start}",
            where="distillation",
            fix="give more history, or a smaller train",
            code="E_TOO_SHORT",
        )
    rows, said = rows_of(state), np.zeros_like(proposals)
    for stop in fits:
        begin = max(start, stop - pupil.window)
        student = distil(rows[begin:stop], proposals[begin:stop], seed=seed)
        until = min(stop + pupil.refit, last)
        said[stop:until] = held(student, rows[stop:until], pupil.members)
    judged, after = slice(first, last), returns[:, first + 1 :].T
    told = {"teacher": proposals[judged], "student": said[judged]}
    return Distillation(
        student,
        tuple(fits),
        agreement(**told, returns=after, cost=cost, seed=seed),
        {name: earned(one, after, cost) for name, one in told.items()},
    )


def comparison(made: Distillation, teacher: int) -> dict[str, Any]:
    """Plain values of a distillation: agreement, and sizes beside the teacher's ``bytes``."""
    size = size_of(made.student)
    return {
        **vars(made.agreement),
        "bytes": size,
        "teacher_bytes": teacher,
        "compression": teacher / size,
    }
