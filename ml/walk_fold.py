"""One strategy's fold: from its decisions to streams, verdicts and exports.

For: trading every variant of a strategy, asking the gate after every session, and stepping what is
exported. Not for: deciding, which happened before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.engine.books import mix_book
from backtest.market.panel import Panel
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec, policy_hash
from ml.decision import gate, transition
from ml.evidence import rival_sharpes
from ml.export.gate import Record
from ml.export.records import Decision, ParameterSet, Verdict
from ml.trials import (
    Registration,
    policies_known,
    policies_looked_at,
    registrations,
)

Floats = npt.NDArray[np.float64]

LEARNED: dict[str, str | None] = {"regime_aware": None, "static": "static", "experts": "experts"}
"""Variants that a learner decides; None is the policy's own learner."""


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
        Distinct policies ever looked at on this span, ledger and other strategies included.
    registration : Registration
        Of the challenger.
    champion : str
        Policy hash of what is run before any promotion.
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
    registration: Registration
    champion: str

    @property
    def verdict(self) -> Verdict:
        """That promoted, else that of the last session."""
        return self.verdicts[-1]


@dataclass(frozen=True)
class Standing:
    """What the trial ledger says of a challenger.

    Parameters
    ----------
    policies : tuple of int
        Distinct policies looked at by each session from the first decision on.
    registration : Registration
    """

    policies: tuple[int, ...]
    registration: Registration


@dataclass(frozen=True)
class Fold:
    """One strategy's way from proposals to streams, verdicts and exports."""

    panel: Panel
    strategy: str
    spec: WalkSpec
    corpus: Corpus
    proposals: dict[str, list[Decision]]
    held: BookResult

    @property
    def champion(self) -> tuple[str, int]:
        """What is run before any promotion, and its row."""
        return list(self._fixed.items())[-1]

    @property
    def _fixed(self) -> dict[str, int]:
        """Rows of the sets that are run as they are: the default, then the incumbent if given."""
        rows = {"default": self.corpus.default, "incumbent": self.corpus.incumbent}
        return {name: row for name, row in rows.items() if row is not None}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Policy hash by variant."""
        names = (*self.proposals, "regime_aware_single", *self._fixed, "buy_and_hold")
        return {
            name: policy_hash(self.corpus, self.spec, self.strategy, LEARNED.get(name) or name)
            for name in names
        }

    def run(self, standing: Standing, progress: Callable[[int, int], None]) -> StrategyWalk:
        """Trade, judge, step and trade what was exported."""
        progress(0, 3)
        weights = self._weights()
        net, turnover = self._trade(weights)
        net["buy_and_hold"] = self.held.net_return[0]
        turnover["buy_and_hold"] = self.held.turnover[0]
        progress(1, 3)
        exported, verdicts, promoted_at = self._export(net, turnover, standing)
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
            config_hashes=self.hashes,
            policies=standing.policies[-1],
            registration=standing.registration,
            champion=self.hashes[self.champion[0]],
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
        for variant, row in self._fixed.items():
            out[variant] = np.zeros(shape)
            out[variant][train:, row] = 1.0
        return out

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

    def _export(
        self, net: dict[str, Floats], turnover: dict[str, Floats], standing: Standing
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
                known = standing.policies[i - train], standing.registration
                record = self._record(net, turnover, known, slice(train + 1, i + 1))
                verdict = gate(record, self.spec.gate)
                promoted_at = i if verdict.promote else None
            verdicts.append(verdict)
            current = transition(current, decision, verdict, policy=self.spec.policy)
            out.append(current)
        return tuple(out), tuple(verdicts), promoted_at

    def _record(
        self,
        net: dict[str, Floats],
        turnover: dict[str, Floats],
        known: tuple[int, Registration],
        rows: slice,
    ) -> Record:
        seen = {name: series[rows] for name, series in net.items()}
        champion = self.champion[0]
        rivals: dict[str, Floats] = {"static": seen["static"], champion: seen[champion]}
        return Record(
            challenger=seen["regime_aware"],
            turnover=turnover["regime_aware"][rows],
            rivals=rivals,
            champion=champion,
            rival_sharpes=rival_sharpes(seen),
            policies=known[0],
            alpha=known[1].alpha(self.spec.gate.alpha),
            cost=self.spec.cost,
            periods_per_year=self.panel.periods_per_year,
        )


def standings(folds: Mapping[str, Fold], ledger: pl.DataFrame) -> dict[str, Standing]:
    """Count what was looked at and place every challenger in its champion's reign.

    A policy of the ledger counts in the verdicts of the sessions after which it had been looked
    at, so that one that is tried later never changes an earlier verdict. What is looked at between
    two sessions counts from the earlier one; the last session's verdict is being made now, so it
    counts all.
    """
    one = next(iter(folds.values()))
    days = [day.item() for day in one.panel.dates[one.spec.policy.train :]]
    own = {h for fold in folds.values() for name, h in fold.hashes.items() if name != "oracle"}
    known = policies_known(ledger, since=days[0])
    counts = tuple(policies_looked_at(known, own, until) for until in (*days[1:], date.max))
    pairs = {
        name: (fold.hashes["regime_aware"], fold.hashes[fold.champion[0]])
        for name, fold in folds.items()
    }
    places = registrations(ledger, pairs, since=days[0])
    return {name: Standing(counts, places[name]) for name in folds}
