"""The walk-forward: ``decide``, ``gate`` and ``transition`` folded over every session.

For: the whole evidence on one panel, and the state of the fold at any session, which is what the
daily export writes. Not for: a second decision path, files, or pictures.

Weights decided at the close of ``t`` are traded at the open of ``t + 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.engine.books import mix_book
from backtest.errors import DataError
from backtest.market.panel import Panel
from backtest.portfolio.book import MIN_MEMBERS
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec, corpus, history_of
from ml.decision import Memo, Regimes, decide, regimes_of
from ml.evidence import Streams
from ml.export.records import Decision
from ml.history import History
from ml.policy import PolicyConfig
from ml.regime import RegimeFit
from ml.regime_track import RegimeTrack
from ml.trials import trial_frame
from ml.walk_fold import LEARNED, Fold, StrategyWalk, standings

Floats = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WalkForward:
    """Everything that one walk-forward found.

    Parameters
    ----------
    dates : datetime64[D], ``[time]``
    start : int
        Session of the first decision; returns are out of sample from ``start + 1`` on.
    periods_per_year : int
    spec : WalkSpec
    strategies : dict of str to StrategyWalk
    regimes : RegimeTrack
    """

    dates: npt.NDArray[np.datetime64]
    start: int
    periods_per_year: int
    spec: WalkSpec
    strategies: dict[str, StrategyWalk]
    regimes: RegimeTrack

    def streams(self, strategy: str) -> Streams:
        """Out-of-sample streams of one strategy."""
        walk = self.strategies[strategy]
        rows = slice(self.start + 1, None)
        return Streams(
            {name: series[rows] for name, series in walk.net.items()},
            {name: series[rows] for name, series in walk.turnover.items()},
            walk.policies,
            walk.corpus.candidates,
        )

    def row_of(self, session: int) -> int:
        """Position of a session's decision in each strategy's tuples."""
        if not self.start <= session < len(self.dates):
            raise DataError(
                f"no decision at session {session}",
                where=f"decisions run from {self.dates[self.start]} to {self.dates[-1]}",
                fix="ask for one of them",
            )
        return session - self.start


def walk_forward(
    panel: Panel,
    strategies: Sequence[str],
    spec: WalkSpec,
    *,
    state: tuple[Floats, tuple[str, ...]] | None = None,
    corpora: Mapping[str, Corpus] | None = None,
    fits: Mapping[int, RegimeFit] | None = None,
    ledger: pl.DataFrame | None = None,
    truth: Regimes | None = None,
    progress: Progress | None = None,
) -> WalkForward:
    """Fold the decision path over a panel.

    Parameters
    ----------
    panel : Panel
    strategies : sequence of str
        Names in ``STRATEGIES``; their challengers are registered together.
    spec : WalkSpec
    state : pair of array ``[time, feature]`` and names, optional
        Market state on the panel's axis; computed from the panel by default.
    corpora : mapping of str to Corpus, optional
        From :func:`corpus`, where they were swept before.
    fits : mapping of int to RegimeFit, optional
        Of the same policy, state and seed, where they were made before.
    ledger : polars.DataFrame, optional
        Trials of this universe that were looked at before; none by default.
    truth : Regimes, optional
        True states; adds the variant ``oracle``.
    progress : callable, optional
        Told a stage, how many steps are done and how many there are.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``: the panel ends before anything could be earned out of sample.
    """
    require_history(len(panel.dates), spec.policy)
    report = progress or _silent
    if corpora is None:
        corpora = {
            name: corpus(panel, name, spec, progress=_stage(report, f"sweep {name}"))
            for name in strategies
        }
    history = history_of(panel, {name: corpora[name] for name in strategies}, state=state)
    proposals, regimes = _proposals(history, spec, Memo(dict(fits or {})), truth, report)
    held = buy_and_hold(panel, spec)
    folds = {}
    for name in strategies:
        given = {variant: [d[name] for d in fold] for variant, fold in proposals.items()}
        folds[name] = Fold(panel, name, spec, corpora[name], given, held)
    places = standings(folds, trial_frame([]) if ledger is None else ledger)
    walks = {n: one.run(places[n], _stage(report, f"walk {n}")) for n, one in folds.items()}
    return WalkForward(panel.dates, spec.policy.train, panel.periods_per_year, spec, walks, regimes)


def require_history(
    sessions: int,
    policy: PolicyConfig,
    *,
    fix: str = "give more history or a smaller --train (run: --set policy.train=N)",
) -> None:
    """Refuse a panel that ends before anything could be earned out of sample.

    ``fix`` says what can be done about it there.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``.
    """
    if sessions < (needed := policy.train + 2):
        raise DataError(
            f"{sessions} sessions where a walk-forward needs {needed}",
            where=f"train = {policy.train}",
            fix=fix,
            code="E_TOO_SHORT",
        )


def breadth_note(panel: Panel) -> str | None:
    """Say that no book can ever hold anything, where that is so: all results will be zero."""
    most = int((panel.tradable & panel.member).sum(axis=0).max(initial=0))
    if most >= MIN_MEMBERS:
        return None
    return (
        f"at most {most} symbol{'' if most == 1 else 's'} can be traded at a close where a book "
        f"needs {MIN_MEMBERS}: every book stays flat, and nothing is learned from it; "
        "give more symbols"
    )


def _proposals(
    history: History, spec: WalkSpec, memo: Memo, truth: Regimes | None, report: Progress
) -> tuple[dict[str, list[dict[str, Decision]]], RegimeTrack]:
    """Every learned variant's decision at every session; each list starts at ``train``."""
    regimes = regimes_of(history, spec.policy, seed=spec.seed, memo=memo)
    policies = {
        name: spec.policy.with_learner(learner or spec.policy.learner)
        for name, learner in LEARNED.items()
    }
    folds: dict[str, list[dict[str, Decision]]] = {name: [] for name in policies}
    oracle = Memo()
    if truth is not None:
        folds["oracle"] = []
    first, stop = spec.policy.train, history.sessions
    for i in range(first, stop):
        for name, policy in policies.items():
            folds[name].append(decide(i, history, policy, seed=spec.seed, memo=memo))
        if truth is not None:
            folds["oracle"].append(
                decide(i, history, spec.policy, seed=spec.seed, memo=oracle, regimes=truth)
            )
        report("decide", i + 1 - first, stop - first)
    return folds, regimes


def buy_and_hold(panel: Panel, spec: WalkSpec) -> BookResult:
    """Long-only, equal weight, from the first decision on."""
    part = STRATEGIES.get("buy_and_hold")
    weights = np.zeros((1, len(panel.dates), 1))
    weights[0, spec.policy.train :] = 1.0
    return mix_book(panel, part, part.candidates(), weights, kind="long-only", cost=spec.cost)


def _stage(report: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: report(name, done, total)


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""
