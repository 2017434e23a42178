"""The evidence of a walk-forward as one document: every variant, every criterion, every count.

For: the schema of ``evidence.json`` and the numbers in it. Not for: deciding, or drawing them.
A value that does not exist is null, with its reason beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from backtest import seeds
from backtest.evidence.robustness import sharpe_interval
from backtest.evidence.sharpe import (
    deflated_sharpe,
    luck_variance,
    moments,
    probabilistic_sharpe,
    sharpe_ratio,
)
from backtest.evidence.superiority import Superiority, superiority
from backtest.metric import compound, deviation, drawdown
from ml.export.gate import (
    GateConfig,
    boundary,
    cost_break_even_bps,
    hac_t,
    paired_difference,
    smallest_gain_over,
)
from ml.export.records import Verdict
from ml.overfitting import BestOfGrid
from ml.robustness.summary import Robustness

Floats = npt.NDArray[np.float64]

LEARNED_VARIANTS = ("regime_aware", "static", "experts")
SIBLINGS = {"regime_aware_single": "regime_aware"}
"""Variants that follow another one's decisions in part: its success is theirs."""

SIMPLE = ("static", "experts")
"""The best of these and cash is what a policy must beat before it may be called regime-aware."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VariantEvidence(_Model):
    """One stream of out-of-sample returns; ratios are annual, magnitudes decimal."""

    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    psr: float | None
    dsr: float | None
    trials: int
    total_return: float
    volatility: float
    max_drawdown: float
    turnover: float
    cost_break_even_bps: float | None
    reasons: dict[str, str]


class PairedEvidence(_Model):
    """The challenger against one rival on the last session: t, limit, what could be seen."""

    t: float | None
    limit: float
    sharpe_gain: float | None
    smallest_gain: float | None


class CriterionLine(_Model):
    """One line of the gate's table."""

    strategy: str
    criterion: str
    value: float | None
    limit: float
    better: str
    passed: bool
    reason: str


class StrategyEvidence(_Model):
    """What one strategy's walk-forward showed."""

    promoted: bool
    promoted_at: date | None
    champion: str
    reason: str
    observations: int
    smallest_gain: float | None
    candidates: int
    policies: int
    batch: int
    alpha: float
    variants: dict[str, VariantEvidence]
    paired: dict[str, PairedEvidence]
    best_of_grid: BestOfGrid
    robustness: Robustness | None = None


class Claim(_Model):
    """Whether "regime-aware" may be claimed: a win over the best simple policy or cash."""

    holds: bool
    rival: str | None
    t: float | None
    limit: float | None
    reason: str


class Evidence(_Model):
    """The content of ``evidence.json``; ``variants`` are those of all strategies together.

    ``pbo`` is the largest of the strategies' (``best_of_grid``). ``spa_p_value`` belongs to "no
    policy beats ``static``"; ``superior`` names those that do, family-wise at 5 %, and
    ``confidence_set`` those that cannot be told from the best. All are diagnostics of one look.
    """

    schema_version: int
    first: date
    last: date
    sessions: int
    periods_per_year: int
    book: str
    cost_bps: float
    seed: int
    synthetic: bool
    promoted: bool
    criteria: list[CriterionLine]
    claim: Claim
    variants: dict[str, VariantEvidence]
    paired: dict[str, PairedEvidence]
    strategies: dict[str, StrategyEvidence]
    pbo: float | None
    spa_p_value: float | None
    superior: list[str] | None
    confidence_set: list[str] | None
    reasons: dict[str, str]


@dataclass(frozen=True)
class Streams:
    """Out-of-sample streams of one strategy by variant; arrays ``[time]``."""

    net: dict[str, Floats]
    turnover: dict[str, Floats]
    policies: int
    candidates: int


@dataclass(frozen=True)
class Terms:
    """What the numbers are computed under."""

    periods_per_year: int
    cost: float
    seed: int
    gate: GateConfig
    alpha: float


def variant_evidence(name: str, streams: Streams, terms: Terms) -> VariantEvidence:
    """Numbers of one stream; every stream of a run is resampled by the same random numbers."""
    net, traded = streams.net[name], streams.turnover[name]
    reasons: dict[str, str] = {}
    given = moments(net)
    periods = terms.periods_per_year
    psr = dsr = sharpe = None
    if given is None:
        for key in ("sharpe", "sharpe_interval", "psr", "dsr"):
            reasons[key] = "fewer than 3 sessions or no variance"
    else:
        sharpe = given.sharpe * float(np.sqrt(periods))
        psr = probabilistic_sharpe(given)
        variance = luck_variance(rival_sharpes(streams.net, name), given.observations)
        dsr = deflated_sharpe(given, trials=streams.policies, variance=variance)
    interval = None
    if given is not None:
        seed = seeds.integer(terms.seed, "interval")
        interval = sharpe_interval(net, periods_per_year=periods, seed=seed)
        if interval is None:
            reasons["sharpe_interval"] = "fewer than 30 sessions"
    even = cost_break_even_bps(net, traded, terms.cost)
    if even is None:
        reasons["cost_break_even_bps"] = "nothing was traded"
    return VariantEvidence(
        sharpe=sharpe,
        sharpe_interval=interval,
        psr=psr,
        dsr=dsr,
        trials=streams.policies,
        total_return=compound(net),
        volatility=deviation(net) * float(np.sqrt(periods)) if len(net) > 1 else 0.0,
        max_drawdown=drawdown(net),
        turnover=float(traded.mean()) * periods if len(traded) else 0.0,
        cost_break_even_bps=even,
        reasons=reasons,
    )


def rival_sharpes(
    net: Mapping[str, Floats],
    challenger: str = "regime_aware",
    *,
    learned: Collection[str] = LEARNED_VARIANTS,
) -> Floats:
    """Sharpe ratio per session of the other policies that learned from data; losses count as 0.

    Their dispersion measures how far luck alone may spread policies. What is no ticket in that
    lottery is left out: fixed rules (the defaults, an incumbent, buy and hold), and the
    challenger with its single-set sibling, because its own success must not raise its own bar; a
    policy that loses money is as little a rival for "best" as one that does nothing. All of them
    still count in the number of policies. ``learned`` names those that learned; a walk's own three
    by default.
    """
    ratios, own = [], SIBLINGS.get(challenger, challenger)
    for name in learned:
        ratio = sharpe_ratio(net[name]) if name in net and name != own else None
        if ratio is not None:
            ratios.append(max(ratio, 0.0))
    return np.asarray(ratios)


def paired_evidence(challenger: Floats, rival: Floats, terms: Terms) -> PairedEvidence:
    """Challenger against one rival over the whole span."""
    n, gate = len(challenger), terms.gate
    limit = boundary(max(n, 1), alpha=terms.alpha, mixture=gate.mixture)
    first, second = sharpe_ratio(challenger), sharpe_ratio(rival)
    gain = None
    if first is not None:
        gain = (first - (second or 0.0)) * float(np.sqrt(terms.periods_per_year))
    return PairedEvidence(
        t=hac_t(paired_difference(challenger, rival, gate.half_life), gate.lags),
        limit=limit,
        sharpe_gain=gain,
        smallest_gain=smallest_gain_over(
            challenger, rival, limit=limit, periods_per_year=terms.periods_per_year
        ),
    )


def all_paired(streams: Streams, terms: Terms) -> dict[str, PairedEvidence]:
    """The regime-aware variant against every other policy."""
    skip = ("regime_aware", "exported", "oracle")
    return {
        name: paired_evidence(streams.net["regime_aware"], returns, terms)
        for name, returns in streams.net.items()
        if name not in skip
    }


def tested(streams: Streams, terms: Terms) -> Superiority:
    """Test every policy against the soft static choice, all of them counted."""
    skip = ("exported", "oracle", *SIBLINGS)
    given = {name: net for name, net in streams.net.items() if name not in skip}
    return superiority("static", given, seed=seeds.integer(terms.seed, "superiority"))


def claim(streams: Streams, terms: Terms) -> Claim:
    """Whether the regime-aware variant beat the best of the simple policies and of cash."""
    challenger = streams.net["regime_aware"]
    rivals = {name: streams.net[name] for name in SIMPLE} | {"cash": np.zeros(len(challenger))}
    # A stream that never moved is cash.
    rival = max(rivals, key=lambda name: sharpe_ratio(rivals[name]) or 0.0)
    line = paired_evidence(challenger, rivals[rival], terms)
    holds = line.t is not None and line.t >= line.limit
    verb = "beat" if holds else "did not beat"
    reason = f"regime_aware {verb} {rival}, the best simple policy, under the boundary"
    return Claim(holds=holds, rival=rival, t=line.t, limit=line.limit, reason=reason)


def criterion_lines(strategy: str, verdict: Verdict) -> list[CriterionLine]:
    """The gate's table of one strategy."""
    return [
        CriterionLine(
            strategy=strategy,
            criterion=line.name,
            value=line.value,
            limit=line.limit,
            better=line.better,
            passed=line.passed,
            reason=line.reason,
        )
        for line in verdict.criteria
    ]


def strategy_evidence(
    streams: Streams,
    terms: Terms,
    *,
    verdict: Verdict,
    promoted_at: date | None,
    batch: int,
    grid: BestOfGrid,
    robustness: Robustness,
) -> StrategyEvidence:
    """Everything about one strategy.

    ``batch`` is the one that its challenger came in, ``grid`` what its best set in hindsight says,
    ``robustness`` how far the walk can be trusted.
    """
    return StrategyEvidence(
        promoted=promoted_at is not None,
        promoted_at=promoted_at,
        champion="regime_aware" if promoted_at is not None else verdict.champion,
        reason=verdict.reason,
        observations=verdict.observations,
        smallest_gain=verdict.smallest_gain,
        candidates=streams.candidates,
        policies=streams.policies,
        batch=batch,
        alpha=terms.alpha,
        variants={variant: variant_evidence(variant, streams, terms) for variant in streams.net},
        paired=all_paired(streams, terms),
        best_of_grid=grid,
        robustness=robustness,
    )


def evidence_schema() -> dict[str, Any]:
    """JSON Schema of ``evidence.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Evidence.model_json_schema(),
    }
