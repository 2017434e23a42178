"""Every learner on one panel: out-of-sample streams, ranking of sets, and what the gate says.

For: the arithmetic that scorecard and board share. Not for: many markets together, or pages.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.engine.books import mix_book
from backtest.market.panel import Panel
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec
from ml.decision import Memo, Regimes, decide, gate, regimes_of
from ml.evidence import rival_sharpes
from ml.export.gate import Record, boundary, paired_difference
from ml.export.records import Decision, Verdict
from ml.history import History
from ml.learner import HORIZON, needs_of
from ml.policy import PolicyConfig
from ml.proof.measures import ranking_accuracy
from ml.trials import Registration

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One learner's record on one strategy, out of sample.

    Parameters
    ----------
    net, turnover : float64, ``[time]``
        From the session after the first decision on.
    ranking : float or None
        Share of pairs of sets with a material gap over the next ``HORIZON`` sessions that the
        learner's scores had in order; None where it scores none.
    """

    net: Floats
    turnover: Floats
    ranking: float | None


@dataclass(frozen=True)
class Contest:
    """What every learner made of one panel.

    Parameters
    ----------
    entries : dict of str to dict of str to Entry
        By strategy, then learner.
    seconds : dict of str to float
        Processor time of each learner's decisions, all sessions and strategies together, without
        the regimes, which all share.
    """

    entries: dict[str, dict[str, Entry]]
    seconds: dict[str, float]


class _Kept:
    """What is kept of every decision."""

    def __init__(
        self,
        corpora: Mapping[str, Corpus],
        policies: Mapping[str, PolicyConfig],
        history: History,
    ):
        shape = (len(policies), history.sessions)
        self.policies, self.history = policies, history
        self.weights = {n: np.zeros((*shape, one.grid.size)) for n, one in corpora.items()}
        self.ranks: dict[tuple[str, str], list[float]] = {}
        self.seconds = dict.fromkeys(policies, 0.0)

    def take(self, t: int, name: str, decided: Mapping[str, Decision], *, memo: Memo) -> None:
        """Keep one learner's decisions at ``t``, and on some sessions how they rank the sets."""
        policy, place = self.policies[name], list(self.policies).index(name)
        judged = (t - policy.train) % HORIZON == 0 and t + HORIZON < self.history.sessions
        for strategy, one in decided.items():
            self.weights[strategy][place, t, : len(one.weights)] = one.weights
            if judged and memo.probabilities is not None:
                scores = memo.selections[(policy, strategy)][1].scores
                today = memo.probabilities[1][-1]
                share = _ranked(scores, today, self.history, strategy=strategy, t=t)
                self.ranks.setdefault((strategy, name), []).extend(share)


def contest(
    panel: Panel,
    history: History,
    corpora: Mapping[str, Corpus],
    spec: WalkSpec,
    *,
    learners: Sequence[str],
    memo: Memo,
    regimes: Regimes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Contest:
    """Let learners decide at every session, and trade what each proposes.

    Parameters
    ----------
    panel : Panel
    history : History
        Of the panel and ``corpora``.
    corpora : dict of str to Corpus
        By strategy.
    spec : WalkSpec
        Its policy's learner is exchanged for each of ``learners``.
    learners : sequence of str
        Names in ``LEARNERS``.
    memo : Memo
        Of this history and this source of regimes.
    regimes : Regimes, optional
        The truth, for an oracle.
    progress : callable, optional
        Told how many sessions are decided, and how many there are.
    """
    policies = {name: spec.policy.with_learner(name) for name in learners}
    # Those that listen to others come last: else they would pay for what these have to work out.
    turns = sorted(policies, key=lambda name: len(needs_of(policies[name].build())))
    kept = _Kept(corpora, policies, history)
    first, stop = spec.policy.train, history.sessions
    source = regimes or regimes_of(history, spec.policy, seed=spec.seed, memo=memo)
    for t in range(first, stop):
        memo.relabelled(source, t)  # before the clock starts: all learners share it
        for name in turns:
            started = time.thread_time()
            decided = decide(t, history, policies[name], seed=spec.seed, memo=memo, regimes=regimes)
            kept.seconds[name] += time.thread_time() - started
            kept.take(t, name, decided, memo=memo)
        if progress is not None:
            progress(t + 1 - first, stop - first)
    traded = {
        name: _traded(panel, name, corpora[name], spec, mixes=mixes)
        for name, mixes in kept.weights.items()
    }
    entries = {
        strategy: {
            name: Entry(net[k], turnover[k], _mean(kept.ranks.get((strategy, name), [])))
            for k, name in enumerate(policies)
        }
        for strategy, (net, turnover) in traded.items()
    }
    return Contest(entries, kept.seconds)


def _traded(
    panel: Panel, strategy: str, swept: Corpus, spec: WalkSpec, *, mixes: Floats
) -> tuple[Floats, Floats]:
    """Net returns and turnover ``[learner, time]`` of mixes ``[learner, time, param]``."""
    part, rows = STRATEGIES.get(strategy), slice(spec.policy.train + 1, None)
    book = mix_book(panel, part, swept.grid, mixes, kind=spec.book, cost=spec.cost)
    return book.net_return[:, rows], book.turnover[:, rows]


def promoted_after(
    name: str,
    net: Mapping[str, Floats],
    turnover: Mapping[str, Floats],
    spec: WalkSpec,
    *,
    learners: Sequence[str],
    together: int,
    policies: int,
    periods_per_year: int,
) -> tuple[int | None, Verdict]:
    """Ask the gate after every session on which the plain t statistics leave it a chance.

    Parameters
    ----------
    name : str
        Challenger, a key of ``net``.
    net, turnover : dict of str to float64, ``[time]``
        Out of sample; with ``static`` and the champion, ``default``.
    spec : WalkSpec
    learners : sequence of str
        Keys of ``net`` that a learner decided: the spread of their Sharpe ratios, the challenger's
        own left out, says how far luck may have carried it.
    together : int
        Challengers that share the gate's alpha.
    policies : int
        How many were ever looked at.
    periods_per_year : int

    Returns
    -------
    sessions : int or None
        Until the first promotion.
    verdict : Verdict
        That promoted, else that of the last session.
    """
    config, champion = spec.gate, "default"
    alpha = Registration(batch=1, together=together).alpha(config.alpha)
    difference = paired_difference(net[name], net["static"], config.half_life)
    limit = boundary(len(net[name]), alpha=alpha, mixture=config.mixture)
    chance = np.minimum(_plain_t(net[name]), _plain_t(difference) / limit * 2.0) >= 1.0

    whole = Record(
        challenger=net[name],
        turnover=turnover[name],
        rivals={"static": net["static"], champion: net[champion]},
        champion=champion,
        rival_sharpes=np.empty(0),
        policies=policies,
        alpha=alpha,
        cost=spec.cost,
        periods_per_year=periods_per_year,
    )
    rivals = {other: net[other] for other in learners if other != name}
    for n in np.flatnonzero(chance[config.first_look - 1 :]) + config.first_look:
        verdict = gate(_until(whole, rivals, int(n)), config)
        if verdict.promote:
            return int(n), verdict
    return None, gate(_until(whole, rivals, len(net[name])), config)


def _until(whole: Record, rivals: Mapping[str, Floats], n: int) -> Record:
    """What had been seen after ``n`` sessions; ``rivals`` are the other learners' streams."""
    return dataclasses.replace(
        whole,
        challenger=whole.challenger[:n],
        turnover=whole.turnover[:n],
        rivals={other: series[:n] for other, series in whole.rivals.items()},
        rival_sharpes=rival_sharpes({k: v[:n] for k, v in rivals.items()}, learned=rivals),
    )


def _ranked(
    scores: Floats, probabilities: Floats, history: History, *, strategy: str, t: int
) -> list[float]:
    """Ranking accuracy of scores ``[state, param]`` at ``t``; empty where there is none."""
    able = np.isfinite(scores).all(axis=0)
    if able.sum() < 2:
        return []
    today = probabilities if len(scores) > 1 else np.ones(1)
    ahead = history.strategies[strategy].returns[able, t + 1 : t + 1 + HORIZON]
    spread = ahead.std(axis=1, ddof=1)
    earned = np.divide(ahead.mean(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
    share = ranking_accuracy(today @ scores[:, able], earned)
    return [] if share is None else [share]


def _mean(shares: Sequence[float]) -> float | None:
    return float(np.mean(shares)) if shares else None


def _plain_t(series: Floats) -> Floats:
    """Mean over its standard error without lags, for every first part of a series; ``[time]``."""
    n = np.arange(1.0, len(series) + 1.0)
    mean = np.cumsum(series) / n
    variance = np.maximum(np.cumsum(series**2) / n - mean**2, 1e-300)
    return np.asarray(mean / np.sqrt(variance / n))
