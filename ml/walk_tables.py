"""A finished walk-forward as frames and as the evidence document.

For: what lands in ``decisions.parquet, returns.parquet, regimes.parquet, trials.parquet`` and
``evidence.json``, and in the store. Not for: folding, or writing files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from backtest.evidence.sharpe import sharpe_ratio
from ml.evidence import (
    Evidence,
    StrategyEvidence,
    Streams,
    Terms,
    all_paired,
    claim,
    criterion_lines,
    strategy_evidence,
    tested,
    variant_evidence,
)
from ml.export.records import Decision, ParameterSet
from ml.overfitting import best_of_grid
from ml.robustness.record import WalkRecord
from ml.robustness.tables import Findings, findings_of
from ml.trials import Trial, config_hash, trial_frame
from ml.walk_fold import StrategyWalk
from ml.walkforward import WalkForward

EVIDENCE_VERSION = 1


def decisions_frame(walk: WalkForward) -> pl.DataFrame:
    """Proposals by session.

    Returns
    -------
    polars.DataFrame
        ``date, strategy, parameters, mix, by_regime`` (canonical JSON; ``parameters`` is null
        where the mix is all cash), ``confidence``, ``action`` (of what was exported),
        ``parameter_confidence`` (JSON), sorted by strategy then date.
    """
    rows = []
    for name in sorted(walk.strategies):
        one = walk.strategies[name]
        for decision, exported in zip(one.decisions, one.exported, strict=True):
            rows.append(_decision_row(decision, exported))
    schema = {
        "date": pl.String,
        "strategy": pl.String,
        "parameters": pl.String,
        "mix": pl.String,
        "by_regime": pl.String,
        "confidence": pl.Float64,
        "action": pl.String,
        "parameter_confidence": pl.String,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.col("date").str.to_date())


def returns_frame(walk: WalkForward) -> pl.DataFrame:
    """Out-of-sample streams.

    Returns
    -------
    polars.DataFrame
        ``date, strategy, variant, net_return, turnover``; the strategy ``all`` weighs the
        strategies equally. Sorted by strategy, variant, date.
    """
    dates = pl.Series(walk.dates[walk.start + 1 :]).cast(pl.Date)
    parts = []
    for name in sorted([*walk.strategies, "all"]):
        streams = together(walk) if name == "all" else walk.streams(name)
        parts += [
            pl.DataFrame(
                {
                    "date": dates,
                    "strategy": name,
                    "variant": variant,
                    "net_return": streams.net[variant],
                    "turnover": streams.turnover[variant],
                }
            )
            for variant in sorted(streams.net)
        ]
    return pl.concat(parts)


def regimes_frame(walk: WalkForward) -> pl.DataFrame:
    """Published regime rows, one per session of the panel; null before the first fit."""
    return walk.regimes.published()


def trials_frame(walk: WalkForward) -> pl.DataFrame:
    """Trials that this walk adds to the ledger; columns of ``ml.trials.TRIAL_COLUMNS``.

    A candidate is scored on all sessions, a policy on the out-of-sample ones.
    """
    trials: list[Trial] = []
    for name in sorted(walk.strategies):
        one = walk.strategies[name]
        trials += _candidate_trials(walk, name, one)
        trials += _policy_trials(walk, name, one)
    return trial_frame(trials)


def together(walk: WalkForward) -> Streams:
    """Equal weight of all strategies, by variant; a variant that only some have is left out."""
    every = [walk.streams(name) for name in walk.strategies]
    shared = [v for v in every[0].net if all(v in one.net for one in every)]
    return Streams(
        {v: np.mean([one.net[v] for one in every], axis=0) for v in shared},
        {v: np.mean([one.turnover[v] for one in every], axis=0) for v in shared},
        max(one.policies for one in every),
        sum(one.candidates for one in every),
    )


def records_of(walk: WalkForward) -> dict[str, WalkRecord]:
    """Take what the robustness of each strategy is computed from."""
    out = {}
    for name, one in walk.strategies.items():
        streams = walk.streams(name)
        out[name] = WalkRecord(
            dates=walk.dates,
            start=walk.start,
            periods_per_year=walk.periods_per_year,
            cost=walk.spec.cost,
            policy=walk.spec.policy,
            corpus=one.corpus,
            decisions=one.decisions,
            net=streams.net,
            turnover=streams.turnover,
        )
    return out


def evidence_of(walk: WalkForward, *, findings: Mapping[str, Findings] | None = None) -> Evidence:
    """Put everything that a walk showed into one document.

    Parameters
    ----------
    walk : WalkForward
    findings : mapping of str to Findings, optional
        Robustness of each strategy, where it was computed before.
    """
    spec = walk.spec
    robust = findings_of(records_of(walk)) if findings is None else findings
    alphas = {n: w.registration.alpha(spec.gate.alpha) for n, w in walk.strategies.items()}
    terms = Terms(
        walk.periods_per_year, spec.cost, spec.seed, spec.gate, min(alphas.values())
    )  # of all strategies together: as strict as the strictest
    parts = {
        name: _part(walk, name, dataclasses.replace(terms, alpha=alphas[name]), robust[name])
        for name in walk.strategies
    }
    lines = [
        line for name, one in walk.strategies.items() for line in criterion_lines(name, one.verdict)
    ]
    whole = together(walk)
    paired = all_paired(whole, terms)
    test = tested(whole, terms)
    known = [p.best_of_grid.pbo for p in parts.values() if p.best_of_grid.pbo is not None]
    pbo = max(known, default=None)
    reasons = {} if pbo is not None else {"pbo": "no strategy has two candidates that trade"}
    if test.reason:
        reasons |= dict.fromkeys(("spa_p_value", "superior", "confidence_set"), test.reason)
    return Evidence(
        schema_version=EVIDENCE_VERSION,
        first=walk.dates[walk.start + 1].item(),
        last=walk.dates[-1].item(),
        sessions=len(walk.dates) - walk.start - 1,
        periods_per_year=walk.periods_per_year,
        book=spec.book,
        cost_bps=round(spec.cost * 1e4, 9),
        seed=spec.seed,
        synthetic=spec.synthetic,
        promoted=any(part.promoted for part in parts.values()),
        criteria=lines,
        claim=claim(whole, terms),
        variants={name: variant_evidence(name, whole, terms) for name in whole.net},
        paired=paired,
        strategies=parts,
        pbo=pbo,
        spa_p_value=test.spa_p_value,
        superior=None if test.superior is None else sorted(test.superior),
        confidence_set=None if test.confidence_set is None else sorted(test.confidence_set),
        reasons=reasons,
    )


def _part(walk: WalkForward, name: str, terms: Terms, found: Findings) -> StrategyEvidence:
    """Section of one strategy."""
    one = walk.strategies[name]
    return strategy_evidence(
        walk.streams(name),
        terms,
        verdict=one.verdict,
        promoted_at=None if one.promoted_at is None else walk.dates[one.promoted_at].item(),
        batch=one.registration.batch,
        grid=best_of_grid(
            one.corpus.book.net_return[: one.corpus.candidates],
            periods_per_year=walk.periods_per_year,
            seed=walk.spec.seed,
        ),
        robustness=found.summary,
    )


def _decision_row(decision: Decision, exported: ParameterSet) -> tuple[Any, ...]:
    return (
        decision.date,
        decision.strategy,
        None if decision.parameters is None else _json(decision.parameters),
        _json([vars(member) for member in decision.mix]),
        _json({name: vars(row) for name, row in decision.by_regime.items()}),
        decision.confidence,
        exported.action,
        _json(decision.parameter_confidence),
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _candidate_trials(walk: WalkForward, name: str, one: StrategyWalk) -> Iterable[Trial]:
    spec = walk.spec
    for p in range(one.corpus.candidates):
        yield Trial(
            kind="candidate",
            strategy=name,
            config_hash=config_hash(
                {"parameters": one.corpus.grid.row(p), "book": spec.book, "cost": spec.cost}
            ),
            span_start=walk.dates[0].item(),
            span_end=walk.dates[-1].item(),
            sharpe=sharpe_ratio(one.corpus.book.net_return[p]),
            observations=len(walk.dates),
        )


def _policy_trials(walk: WalkForward, name: str, one: StrategyWalk) -> Iterable[Trial]:
    net = walk.streams(name).net
    for variant, known in sorted(one.config_hashes.items()):
        if variant == "oracle":
            continue
        yield Trial(
            kind="policy",
            strategy=name,
            config_hash=known,
            span_start=walk.dates[walk.start + 1].item(),
            span_end=walk.dates[-1].item(),
            sharpe=sharpe_ratio(net[variant]),
            observations=len(walk.dates) - walk.start - 1,
            champion=one.champion if variant == "regime_aware" else None,
        )
