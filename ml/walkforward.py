"""The walk-forward: ``decide``, ``gate`` and ``transition`` folded over every session.

For: the whole evidence on one panel, and the state of the fold at any session, which is what the
daily export writes. Not for: a second decision path, files, or pictures.

Candidates are swept once over all history (the sweep is causal), and each decision reads only
the columns before its own close. Weights decided at the close of ``t`` are traded at the open of
``t + 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.engine.sweep import mix_book, sweep_book
from backtest.errors import DataError, ParameterError
from backtest.market.panel import Panel
from backtest.params import ParamGrid, default_set
from backtest.portfolio.book import BookKind
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.decision import Memo, Regimes, decide, gate, regimes_of, transition
from ml.evidence import Streams, trial_sharpes
from ml.export.gate import GateConfig, Record
from ml.export.records import Decision, ParameterSet, Verdict
from ml.history import History, StrategyHistory
from ml.market_state import market_state, state_matrix
from ml.policy import PolicyConfig
from ml.regime import RegimeFit
from ml.regime_track import RegimeTrack
from ml.trials import config_hash, merged, policies_looked_at

Floats = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]

LEARNED = {"regime_aware": None, "static": "static", "experts": "experts"}
"""Variants that a learner decides; None is the policy's own learner."""


@dataclass(frozen=True)
class WalkSpec:
    """What a walk-forward is told.

    Parameters
    ----------
    policy : PolicyConfig
    gate : GateConfig
    book : BookKind
    cost : float
        Per side, decimal of traded notional.
    incumbent : dict of str to dict
        Per strategy, the parameters that a user runs today.
    seed : int
    universe : str
        Name behind the trials' keys.
    synthetic : bool
        Whether the market is made up; carried into every result.
    """

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    book: BookKind = "dollar-neutral"
    cost: float = 0.0005
    incumbent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    universe: str = "panel"
    synthetic: bool = False


@dataclass(frozen=True)
class Corpus:
    """Every set of one strategy that a walk needs, and what each earned.

    Parameters
    ----------
    grid : ParamGrid
        Candidates first, then the default and the incumbent where they are not candidates.
    candidates : int
    default, incumbent : int
        Rows of these sets; ``incumbent`` is None where none was given.
    book : BookResult
        One stream per set.
    """

    grid: ParamGrid
    candidates: int
    default: int
    incumbent: int | None
    book: BookResult


@dataclass(frozen=True)
class StrategyWalk:
    """One strategy's fold.

    Parameters
    ----------
    corpus : Corpus
    decisions : tuple of Decision
        One per session from ``start`` on.
    exported : tuple of ParameterSet
        What was run after each of these sessions.
    net, turnover : dict of str to float64, ``[time]``
        By variant, on the panel's whole axis; 0 before the first fill.
    verdicts : tuple of Verdict
        In force at each of these sessions: after a promotion, the one that promoted.
    promoted_at : int or None
        Session of the promotion.
    config_hashes : dict of str to str
        Policy hash by variant.
    policies : int
        Distinct policies ever looked at on this span, ledger included.
    """

    corpus: Corpus
    decisions: tuple[Decision, ...]
    exported: tuple[ParameterSet, ...]
    net: dict[str, Floats]
    turnover: dict[str, Floats]
    verdicts: tuple[Verdict, ...]
    promoted_at: int | None
    config_hashes: dict[str, str]
    policies: int

    @property
    def verdict(self) -> Verdict:
        """That promoted, else that of the last session."""
        return self.verdicts[-1]


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
    needed = spec.policy.train + 2
    if len(panel.dates) < needed:
        raise DataError(
            f"{len(panel.dates)} sessions where a walk-forward needs {needed}",
            where=f"train = {spec.policy.train}",
            fix="give more history or a smaller --train",
            code="E_TOO_SHORT",
        )
    report = progress or _silent
    if corpora is None:
        corpora = {
            name: corpus(panel, name, spec, progress=_stage(report, f"sweep {name}"))
            for name in strategies
        }
    history = history_of(panel, {name: corpora[name] for name in strategies}, state=state)
    proposals, regimes = _proposals(history, spec, Memo(dict(fits or {})), truth, report)
    held = _buy_and_hold(panel, spec)
    walks = {}
    for name in strategies:
        given = {variant: [d[name] for d in fold] for variant, fold in proposals.items()}
        fold = _Fold(panel, name, spec, corpora[name], given, held, len(strategies), ledger)
        walks[name] = fold.run(_stage(report, f"walk {name}"))
    return WalkForward(panel.dates, spec.policy.train, panel.periods_per_year, spec, walks, regimes)


def corpus(
    panel: Panel, strategy: str, spec: WalkSpec, *, progress: Callable[[int, int], None] | None
) -> Corpus:
    """Sweep a strategy's candidates, its defaults and the incumbent over all history."""
    part = STRATEGIES.get(strategy)
    grid = part.candidates()
    rows = grid.rows() if grid.columns else [{}]
    candidates = len(rows)

    def place(values: dict[str, Any]) -> int:
        if values not in rows:
            rows.append(values)
        return rows.index(values)

    default = place(default_set(part.params))
    incumbent = None
    if strategy in spec.incumbent:
        incumbent = place(part.params.parse(spec.incumbent[strategy]).model_dump())
    full = ParamGrid.of(part.params, rows)
    book = sweep_book(panel, part, full, kind=spec.book, cost=spec.cost, progress=progress)
    return Corpus(full, candidates, default, incumbent, book)


def incumbents_of(given: Any, strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read an incumbent: parameters by strategy, or plain parameters of the only strategy.

    Raises
    ------
    ParameterError
        It is not an object, or names no strategy of this run.
    """
    if not isinstance(given, dict):
        raise ParameterError(
            f"the incumbent is a {type(given).__name__}", fix="give an object of parameters"
        )
    if given and all(isinstance(value, dict) for value in given.values()):
        for name in given:
            STRATEGIES.get(name)
        chosen = {name: given[name] for name in strategies if name in given}
        if not chosen:
            raise ParameterError(
                f"the incumbent names {', '.join(given)}",
                fix=f"name one of {', '.join(strategies)}",
            )
        return chosen
    if len(strategies) != 1:
        raise ParameterError(
            "the incumbent does not say which strategy it is for",
            fix="write {strategy: {parameter: value}}",
        )
    return {strategies[0]: dict(given)}


def history_of(
    panel: Panel,
    corpora: Mapping[str, Corpus],
    *,
    state: tuple[Floats, tuple[str, ...]] | None = None,
) -> History:
    """Put candidate returns and market state on the panel's axis."""
    values, columns = state or state_matrix(market_state(panel.frame().lazy()))
    return History(
        dates=panel.dates,
        strategies={
            name: StrategyHistory(
                one.grid.take(np.arange(one.candidates)), one.book.net_return[: one.candidates]
            )
            for name, one in corpora.items()
        },
        state=values,
        columns=columns,
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


@dataclass(frozen=True)
class _Fold:
    """One strategy's way from proposals to streams, verdicts and exports."""

    panel: Panel
    strategy: str
    spec: WalkSpec
    corpus: Corpus
    proposals: dict[str, list[Decision]]
    held: BookResult
    challengers: int
    ledger: pl.DataFrame | None

    @property
    def champion(self) -> tuple[str, int]:
        """What is run before any promotion, and its row."""
        if self.corpus.incumbent is not None:
            return "incumbent", self.corpus.incumbent
        return "default", self.corpus.default

    def run(self, progress: Callable[[int, int], None]) -> StrategyWalk:
        progress(0, 3)
        weights = self._weights()
        net, turnover = self._trade(weights)
        net["buy_and_hold"] = self.held.net_return[0]
        turnover["buy_and_hold"] = self.held.turnover[0]
        progress(1, 3)
        hashes = {name: self._hash(name) for name in net}
        policies = self._policies(hashes)
        exported, verdicts, promoted_at = self._export(net, turnover, policies)
        progress(2, 3)
        run = np.zeros_like(weights["regime_aware"])
        run[self.spec.policy.train :] = [one.weights for one in exported]
        more_net, more_turnover = self._trade({"exported": run})
        progress(3, 3)
        return StrategyWalk(
            corpus=self.corpus,
            decisions=tuple(self.proposals["regime_aware"]),
            exported=exported,
            net=net | more_net,
            turnover=turnover | more_turnover,
            verdicts=verdicts,
            promoted_at=promoted_at,
            config_hashes=hashes,
            policies=policies,
        )

    def _weights(self) -> dict[str, Floats]:
        """Weights decided at each close by variant; ``[time, param]``."""
        train, shape = self.spec.policy.train, (len(self.panel.dates), self.corpus.grid.size)
        out = {}
        for variant, decisions in self.proposals.items():
            weights = np.zeros(shape)
            weights[train:, : self.corpus.candidates] = [d.weights for d in decisions]
            out[variant] = weights
        single = np.zeros(shape)
        mixed = out["regime_aware"]
        rows = np.flatnonzero(mixed.any(axis=1))
        single[rows, mixed[rows].argmax(axis=1)] = mixed[rows].sum(axis=1)
        out["regime_aware_single"] = single
        for variant, row in (("default", self.corpus.default), self._incumbent()):
            if row is not None:
                out[variant] = np.zeros(shape)
                out[variant][train:, row] = 1.0
        return out

    def _incumbent(self) -> tuple[str, int | None]:
        return "incumbent", self.corpus.incumbent

    def _trade(self, weights: dict[str, Floats]) -> tuple[dict[str, Floats], dict[str, Floats]]:
        done = mix_book(
            self.panel,
            STRATEGIES.get(self.strategy),
            self.corpus.grid,
            np.stack(list(weights.values())),
            kind=self.spec.book,
            cost=self.spec.cost,
        )
        return (
            dict(zip(weights, done.net_return, strict=True)),
            dict(zip(weights, done.turnover, strict=True)),
        )

    def _hash(self, variant: str) -> str:
        spec, grid = self.spec, self.corpus.grid
        context = {
            "strategy": self.strategy,
            "book": spec.book,
            "cost": spec.cost,
            "seed": spec.seed,
            "single": variant == "regime_aware_single",
            "candidates": config_hash({"rows": grid.rows()[: self.corpus.candidates]}),
        }
        if variant in ("default", "incumbent", "buy_and_hold"):
            row = dict(zip(*self._fixed(variant), strict=True)) if variant != "buy_and_hold" else {}
            return config_hash({"fixed": variant, "parameters": row, **context})
        learner = LEARNED.get(variant) or spec.policy.learner
        return spec.policy.with_learner(learner).hash(oracle=variant == "oracle", **context)

    def _fixed(self, variant: str) -> tuple[list[str], list[Any]]:
        row = self.corpus.default if variant == "default" else self.corpus.incumbent
        values = self.corpus.grid.row(int(row or 0))
        return list(values), list(values.values())

    def _policies(self, hashes: dict[str, str]) -> int:
        """Distinct policies looked at on this span: the ledger's and these."""
        span = (
            self.panel.dates[self.spec.policy.train + 1].item(),
            self.panel.dates[-1].item(),
        )
        ours = {h for name, h in hashes.items() if name != "oracle"}
        if self.ledger is None:
            return len(ours)
        rows = [
            {
                "kind": "policy",
                "strategy": self.strategy,
                "config_hash": one,
                "span_start": span[0],
                "span_end": span[1],
                "sharpe": None,
                "observations": 0,
            }
            for one in sorted(ours)
        ]
        every = merged(self.ledger, pl.DataFrame(rows, schema=self.ledger.schema))
        return policies_looked_at(every, self.strategy, span)

    def _export(
        self, net: dict[str, Floats], turnover: dict[str, Floats], policies: int
    ) -> tuple[tuple[ParameterSet, ...], tuple[Verdict, ...], int | None]:
        """Fold gate and transition over the proposals."""
        train = self.spec.policy.train
        name, row = self.champion
        weights = np.zeros(self.corpus.grid.size)
        weights[row] = 1.0
        current = ParameterSet(self.strategy, name, weights, "hold")
        out: list[ParameterSet] = []
        verdicts: list[Verdict] = []
        promoted_at = None
        for decision in self.proposals["regime_aware"]:
            i = decision.session
            if promoted_at is None:
                record = self._record(net, turnover, policies, slice(train + 1, i + 1))
                verdict = gate(record, self.spec.gate)
                promoted_at = i if verdict.promote else None
            verdicts.append(verdict)
            current = transition(current, decision, verdict, policy=self.spec.policy)
            out.append(current)
        return tuple(out), tuple(verdicts), promoted_at

    def _record(
        self, net: dict[str, Floats], turnover: dict[str, Floats], policies: int, rows: slice
    ) -> Record:
        seen = {name: series[rows] for name, series in net.items()}
        champion = self.champion[0]
        rivals = {name: seen[name] for name in ("static", "incumbent") if name in seen}
        return Record(
            challenger=seen["regime_aware"],
            turnover=turnover["regime_aware"][rows],
            rivals=rivals,
            champion=champion,
            champion_returns=seen[champion],
            trial_sharpes=trial_sharpes(seen),
            policies=policies,
            challengers=self.challengers,
            cost=self.spec.cost,
            periods_per_year=self.panel.periods_per_year,
        )


def _buy_and_hold(panel: Panel, spec: WalkSpec) -> BookResult:
    """Long-only, equal weight, from the first decision on."""
    part = STRATEGIES.get("buy_and_hold")
    weights = np.zeros((1, len(panel.dates), 1))
    weights[0, spec.policy.train :] = 1.0
    return mix_book(panel, part, part.candidates(), weights, kind="long-only", cost=spec.cost)


def _stage(report: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: report(name, done, total)


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""
