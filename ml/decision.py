"""The one decision path: ``decide``, ``gate``, ``transition``.

For: three pure functions that the walk-forward backtest and the daily export fold over sessions;
there is no second path. Not for: running the fold (``walkforward``) or the formulas behind the
gate and the step (``export``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.confidence import Calibration, Confidence
from ml.export import gate as gating
from ml.export.gate import GateConfig, Record
from ml.export.records import (
    Decision,
    ParameterSet,
    Regime,
    RegimeRow,
    Verdict,
)
from ml.export.transition import bounded_step
from ml.history import History
from ml.learner import Learner, LearnerView, Market, needs_of
from ml.policy import PolicyConfig
from ml.regime import REGIMES, RegimeFit, by_name
from ml.regime_track import RegimeTrack, track

Floats = npt.NDArray[np.float64]


class Regimes(Protocol):
    """Where a decision's regime probabilities come from."""

    def relabel(self, i: int) -> Floats:
        """Filter all history up to session ``i`` by what is in force at ``i``."""
        ...

    def names_at(self, i: int) -> tuple[str, ...]:
        """Names of the states in force at ``i``; ``[state]``."""
        ...


@dataclass(frozen=True)
class TruthTrack:
    """The true state of a synthetic market, for the oracle that proofs compare with.

    Parameters
    ----------
    states : int64, ``[time]``
    names : tuple of str, ``[state]``
    """

    states: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def relabel(self, i: int) -> Floats:
        """Certainty of the true state up to session ``i``; ``[i + 1, state]``."""
        return np.eye(len(self.names))[self.states[: i + 1]]

    def names_at(self, i: int) -> tuple[str, ...]:
        """Names of the states."""
        return self.names


@dataclass
class Proposed:
    """Weights that a policy proposed, one row per session; grows, and never rewrites a row.

    Parameters
    ----------
    rows : float64, ``[time, param]``
        Zero before the first decision; read up to ``known`` only.
    certainty : float64, ``[time]``
        Probability of the likeliest state at each of these closes.
    known : int
    """

    rows: Floats
    certainty: Floats
    known: int

    def add(self, weights: Floats, certainty: float) -> None:
        """Write the next row."""
        if self.known == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
            self.certainty = np.concatenate([self.certainty, np.zeros_like(self.certainty)])
        self.rows[self.known] = weights
        self.certainty[self.known] = certainty
        self.known += 1


@dataclass
class Memo:
    """What earlier decisions of one fold computed; a decision without it comes out the same.

    One memo serves one history (and its cuts) and one source of regimes, under any learners.

    Parameters
    ----------
    fits : dict of int to RegimeFit
        By the last session each has seen.
    selections : dict
        The last selection by policy and strategy: its session, what the learner keeps, and its
        table.
    probabilities : tuple of int and array, optional
        The last relabelled history.
    proposals : dict of Proposed
        By policy and strategy: weights at every session, as far as a later decision asked.
    calibrations : dict of Calibration
        By policy and strategy: how far confidence has learned from these proposals.
    source : tuple, optional
        What the regimes come from, once the first decision was made.
    """

    fits: dict[int, RegimeFit] = field(default_factory=dict)
    selections: dict[tuple[PolicyConfig, str], tuple[int, Any, dict[str, RegimeRow]]] = field(
        default_factory=dict
    )
    probabilities: tuple[int, Floats] | None = None
    proposals: dict[tuple[PolicyConfig, str], Proposed] = field(default_factory=dict)
    calibrations: dict[tuple[PolicyConfig, str], Calibration] = field(default_factory=dict)
    source: tuple[Any, ...] | None = None

    def claim(self, policy: PolicyConfig, seed: int, regimes: Regimes | None) -> None:
        """Refuse a second source of regimes: its probabilities would be taken for the first's."""
        known = None if regimes is None else id(regimes)
        source = (policy.regime_model, policy.train, policy.refit, seed, known)
        if self.source not in (None, source):
            raise ValueError(f"this memo belongs to {self.source}, not to {source}")
        self.source = source

    def relabelled(self, source: Regimes, i: int) -> Floats:
        """Filter all history up to session ``i`` by what is in force at ``i``."""
        if self.probabilities is None or self.probabilities[0] != i:
            self.probabilities = (i, source.relabel(i))
        return self.probabilities[1]


def regimes_of(history: History, policy: PolicyConfig, *, seed: int, memo: Memo) -> RegimeTrack:
    """Lay the policy's regime schedule over a history."""
    return track(
        history.state,
        history.columns,
        REGIMES.get(policy.regime_model),
        train=policy.train,
        refit=policy.refit,
        seed=seed,
        dates=history.dates,
        fits=memo.fits,
    )


def decide(
    as_of: int,
    history: History,
    policy: PolicyConfig,
    *,
    seed: int = 0,
    memo: Memo | None = None,
    regimes: Regimes | None = None,
) -> dict[str, Decision]:
    """Propose a mix for every strategy after the close of session ``as_of``.

    Parameters
    ----------
    as_of : int
        Index on the history's axis.
    history : History
        May be longer; only what was known at ``as_of`` is read.
    policy : PolicyConfig
    seed : int
    memo : Memo, optional
        Shared by the decisions of one fold.
    regimes : Regimes, optional
        The truth, for an oracle; the policy's own regime model otherwise.

    Returns
    -------
    dict of str to Decision

    Raises
    ------
    LookaheadError
        The history ends before ``as_of``.
    NotFittedError
        ``as_of`` lies before the policy's first decision.
    """
    memo = Memo() if memo is None else memo
    memo.claim(policy, seed, regimes)
    seen = history.until(as_of)
    policy.selected_at(as_of)  # refuses a session before the first decision
    source: Regimes = regimes or regimes_of(seen, policy, seed=seed, memo=memo)
    now = _Now(seen, policy, memo, source)
    regime = _regime(seen, now.probabilities, source.names_at(as_of))
    return {name: _decide_one(name, now, regime) for name in seen.strategies}


def selected(
    as_of: int, history: History, policy: PolicyConfig, *, seed: int, memo: Memo
) -> dict[str, Any]:
    """What the learner keeps of every strategy at ``as_of``, without deciding; as :func:`decide`.

    Returns
    -------
    dict of str to Selection
    """
    memo.claim(policy, seed, None)
    seen = history.until(as_of)
    now = _Now(seen, policy, memo, regimes_of(seen, policy, seed=seed, memo=memo))
    return {name: now.selection(name, policy.build())[0] for name in seen.strategies}


def gate(evidence: Record, config: GateConfig) -> Verdict:
    """Promote or hold, from everything up to one session."""
    table = gating.criteria(evidence, config)
    first = next(iter(evidence.rivals.values()))
    return Verdict(
        promote=all(line.passed for line in table),
        criteria=table,
        observations=len(evidence.challenger),
        smallest_gain=gating.smallest_gain(evidence, first, config),
        champion=evidence.champion,
    )


def transition(
    previous: ParameterSet, decision: Decision, verdict: Verdict, *, policy: PolicyConfig
) -> ParameterSet:
    """Say what is exported next: a promoted, confident proposal in bounded steps, else what was."""
    if not verdict.promote and previous.champion != "regime_aware":
        return ParameterSet(previous.strategy, previous.champion, previous.weights, "hold")
    if decision.confidence <= policy.least_confidence:
        return ParameterSet(
            previous.strategy,
            previous.champion,
            previous.weights,
            "hold",
            unsure=f"confidence {decision.confidence:.3f} is not above {policy.least_confidence:g}",
        )
    target = np.zeros_like(previous.weights)
    target[: len(decision.weights)] = decision.weights
    weights = bounded_step(
        previous.weights, target, max_step=policy.max_step, members=policy.members
    )
    return ParameterSet(previous.strategy, "regime_aware", weights, "update")


@dataclass(frozen=True)
class _Now:
    """One session as every strategy sees it."""

    history: History
    policy: PolicyConfig
    memo: Memo
    source: Regimes

    @property
    def session(self) -> int:
        return self.history.sessions - 1

    @property
    def probabilities(self) -> Floats:
        return self.memo.relabelled(self.source, self.session)

    def view(self, strategy: str, i: int, *, needs: tuple[str, ...]) -> LearnerView:
        """Cut what a learner may read at session ``i``."""
        one = self.history.strategies[strategy]
        turnover = np.full_like(one.returns, np.nan) if one.turnover is None else one.turnover
        proposals = {name: self.proposed(strategy, i, learner=name) for name in needs}
        known = self.probabilities if i == self.session else self.source.relabel(i)
        whole = LearnerView(
            one.grid,
            one.returns[:, : i + 1],
            known,
            self.source.names_at(i),
            market=Market(self.history.dates, self.history.state, self.history.columns, turnover),
            proposals=proposals,
        )
        return whole.rows(self.policy.first_row(i), i + 1)

    def selection(self, strategy: str, learner: Learner) -> tuple[Any, dict[str, RegimeRow]]:
        """Find what the learner keeps from the last selection session, and its table in words."""
        at, key = self.policy.selected_at(self.session), (self.policy, strategy)
        known = self.memo.selections.get(key)
        if known is None or known[0] != at:
            view = self.view(strategy, at, needs=needs_of(learner))
            before = known[1] if known is not None and known[0] < at else None
            selection = learner.select(view, before=before)
            known = at, selection, _rows(selection, view.grid, view.regimes)
            self.memo.selections[key] = known
        return known[1], known[2]

    def weights(self, strategy: str) -> Floats:
        """Mix of this session; ``[param]``."""
        learner = self.policy.build()
        selection = self.selection(strategy, learner)[0]
        return learner.weigh(selection, self.view(strategy, self.session, needs=needs_of(learner)))

    def proposed(self, strategy: str, i: int, *, learner: str) -> Floats:
        """What ``learner`` had proposed at every close up to ``i``; ``[i + 1, param]``."""
        return self.made(strategy, i, self.policy.with_learner(learner)).rows[: i + 1]

    def confidence(self, strategy: str, made: Proposed) -> Confidence:
        """How often proposals like this session's kept their word."""
        one, key = self.history.strategies[strategy], (self.policy, strategy)
        if key not in self.memo.calibrations:
            self.memo.calibrations[key] = Calibration(one.grid, self.policy.train)
        return self.memo.calibrations[key].at(
            self.session, one.returns, made.rows, certainty=made.certainty
        )

    def made(self, strategy: str, i: int, policy: PolicyConfig) -> Proposed:
        """Go through the sessions up to ``i`` that no earlier decision has gone through."""
        key = (policy, strategy)
        if key not in self.memo.proposals:
            sets, room = self.history.strategies[strategy].grid.size, 2 * policy.train
            self.memo.proposals[key] = Proposed(
                np.zeros((room, sets)), np.zeros(room), policy.train
            )
        made = self.memo.proposals[key]
        for s in range(made.known, i + 1):
            then = _Now(self.history.until(s), policy, self.memo, self.source)
            made.add(then.weights(strategy), float(then.probabilities[-1].max()))
        return made


def _decide_one(strategy: str, now: _Now, regime: Regime) -> Decision:
    policy = now.policy
    made = now.made(strategy, now.session, policy)
    table = now.selection(strategy, policy.build())[1]
    said = now.confidence(strategy, made)
    return Decision(
        strategy=strategy,
        session=now.session,
        date=str(now.history.dates[-1]),
        grid=now.history.strategies[strategy].grid,
        weights=made.rows[now.session].copy(),
        regime=regime,
        by_regime=table,
        confidence=said.overall,
        parameter_confidence=said.parameters,
        selected_at=policy.selected_at(now.session),
        refitted_at=policy.refitted_at(now.session),
    )


def _regime(history: History, probabilities: Floats, names: tuple[str, ...]) -> Regime:
    """Name the likeliest regime; states that share a name are added up."""
    distinct, summed = by_name(probabilities, names)
    leading = summed.argmax(axis=1)
    changes = np.flatnonzero(leading != leading[-1])
    since = int(changes[-1]) + 1 if changes.size else 0
    return Regime(
        name=distinct[leading[-1]],
        probabilities={name: float(p) for name, p in zip(distinct, summed[-1], strict=True)},
        since=str(history.dates[since]),
    )


def _rows(selection: Any, grid: ParamGrid, names: tuple[str, ...]) -> dict[str, RegimeRow]:
    """Best set per regime name, with states of one name weighed by their evidence."""
    scores, sessions = selection.scores, selection.sessions
    if len(scores) != len(names):
        names = ("always",) * len(scores)
    out = {}
    for name in dict.fromkeys(names):
        rows = [k for k, one in enumerate(names) if one == name]
        mass = sessions[rows]
        share = mass / mass.sum() if mass.sum() > 0 else np.full(len(rows), 1.0 / len(rows))
        eligible = np.isfinite(scores[rows]).all(axis=0)
        score = np.where(eligible, share @ np.where(eligible, scores[rows], 0.0), -np.inf)
        best = int(np.argmax(score))
        known = bool(eligible[best])
        out[name] = RegimeRow(
            parameters=grid.row(best) if known else None,
            score=float(score[best]) if known else None,
            sessions=float(mass.sum()),
        )
    return out
