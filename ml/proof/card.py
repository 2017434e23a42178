"""One market with a known truth, walked, and everything that a scorecard asks of it.

For: a card per market: accuracy, detection, Sharpe ratios of every policy and of the simple ones
that must not be mistaken for regime awareness, promotion, ranking. Not for: many markets together
(``scorecard``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.books import mix_book
from backtest.evidence.sharpe import sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, WorldName, generate, weekdays
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec, corpus, history_of
from ml.decision import Memo, TruthTrack, decide, gate
from ml.evidence import rival_sharpes
from ml.export.gate import Record, boundary, paired_difference
from ml.history import History
from ml.policy import PolicyConfig
from ml.proof.measures import detection, ranking_accuracy, supervised_accuracy
from ml.regime_track import state_accuracy
from ml.trials import Registration
from ml.walkforward import WalkForward, walk_forward

Floats = npt.NDArray[np.float64]

STRATEGY = "rsi_swing"
BASELINES = ("argmax_static", "recent", "weighted", "volatility_targeted", "directions")
"""Learners walked beside those that every walk-forward has."""
BOARD = ("regime_aware", "experts", *BASELINES)
"""Learners that could ask to be promoted over ``static`` and the champion."""
HORIZON = 30
"""Sessions over which scores are compared with what the sets then earned."""


@dataclass(frozen=True)
class Terms:
    """Of which size the markets are, and how they are walked.

    Parameters
    ----------
    symbols, sessions : int
    cost : float
        Per side, decimal; markets of the world ``null`` cost nothing, so that a loss to costs
        does not pass for the absence of luck.
    policy : PolicyConfig
    """

    symbols: int = 100
    sessions: int = 3024
    cost: float = 0.0005
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def cost_in(self, world: str) -> float:
        """Cost per side in a world, decimal."""
        return 0.0 if world == "null" else self.cost


SHORT = Terms(symbols=60, sessions=1000, policy=PolicyConfig(train=400, step=10, refit=200))
"""Markets that take a second or two, and say little one by one."""


@dataclass(frozen=True)
class Card:
    """What one market showed, out of sample.

    Parameters
    ----------
    world : str
    seed : int
    symbols, sessions, out_of_sample, sets : int
        Size of the market, sessions that count, candidate sets.
    accuracy, supervised_accuracy : float
        Share of sessions in the right state; see :func:`ml.proof.measures.supervised_accuracy`.
    delays : tuple of int
        Sessions until each change of state was named.
    missed, named : int
        Changes that never were, and changes of the state that was named.
    ranking : float or None
        Of the regime table's scores against the next ``HORIZON`` sessions, material gaps.
    sharpe : dict of str to float or None
        Annual, net, by policy; ``cash`` is 0, ``hindsight`` the best single set, and ``ideal``,
        where the planted means are known, a book on the mean of the very next return, before
        costs.
    turnover : dict of str to float
        A year, by policy.
    promoted_after : int or None
        Out-of-sample sessions up to the promotion.
    crossed_after : int or None
        The same for the paired test against ``static`` alone, without the other criteria.
    alpha : float
    board : dict of str to int or None
        The same as ``promoted_after`` for every learner, had all been registered together and
        every policy on this card been counted.
    full : bool
        Whether the terms are those that goals are judged under.
    """

    world: str
    seed: int
    symbols: int
    sessions: int
    out_of_sample: int
    sets: int
    accuracy: float
    supervised_accuracy: float | None
    delays: tuple[int, ...]
    missed: int
    named: int
    ranking: float | None
    sharpe: dict[str, float | None]
    turnover: dict[str, float]
    promoted_after: int | None
    crossed_after: int | None
    alpha: float
    board: dict[str, int | None]
    full: bool

    def plain(self) -> dict[str, Any]:
        """Plain values, as they stand in a file."""
        return dataclasses.asdict(self) | {"delays": list(self.delays)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Card:
        """Read a card back from its plain values."""
        return cls(**{**values, "delays": tuple(values["delays"])})


def synthetic_card(world: WorldName, seed: int, terms: Terms) -> Card:
    """Make one synthetic market and walk it."""
    config = WorldConfig(
        world=world, symbols=terms.symbols, seed=seed, break_session=terms.sessions // 2
    )
    made = generate(config, weekdays(terms.sessions))
    truth, panel = TruthTrack(made.states, STATES), Panel.from_frame(made.bars)
    card = market_card(panel, truth, terms, world=world, seed=seed)
    means = made.truth["conditional_mean"].to_numpy().reshape(panel.close.shape)
    ideal = _ideal(panel.close, means)[terms.policy.train + 1 :]
    sharpe = card.sharpe | {"ideal": _annual(ideal, panel.periods_per_year)}
    return dataclasses.replace(card, sharpe=sharpe)


def market_card(panel: Panel, truth: TruthTrack, terms: Terms, *, world: str, seed: int) -> Card:
    """Walk one market whose true states are known.

    Parameters
    ----------
    panel : Panel
    truth : TruthTrack
        On the panel's axis of time.
    terms : Terms
    world : str
        Heading under which it is counted.
    seed : int
        Of the market; the walk's own seed is always 0.
    """
    spec = WalkSpec(policy=terms.policy, cost=terms.cost_in(world), synthetic=True)
    swept = corpus(panel, STRATEGY, spec, progress=None)
    history = history_of(panel, {STRATEGY: swept})
    walk = walk_forward(
        panel,
        [STRATEGY],
        spec,
        state=(history.state, history.columns),
        corpora={STRATEGY: swept},
        truth=truth,
    )
    one, counted = walk.strategies[STRATEGY], slice(walk.start, None)
    planted = truth.states[counted]
    found = walk.regimes.published()["state"].to_numpy()[counted].astype(np.int64)
    seen = detection(found, planted)
    net, turnover = _streams(panel, swept, history, walk)
    years = (len(panel.dates) - walk.start - 1) / walk.periods_per_year
    return Card(
        world=world,
        seed=seed,
        symbols=len(panel.symbols),
        sessions=len(panel.dates),
        out_of_sample=len(panel.dates) - walk.start - 1,
        sets=swept.candidates,
        accuracy=state_accuracy(found, planted),
        supervised_accuracy=supervised_accuracy(
            history.state, history.columns, truth.states, start=walk.start
        ),
        delays=seen.delays,
        missed=seen.missed,
        named=seen.named,
        ranking=_ranking(history, walk),
        sharpe=_sharpes(net, swept, walk),
        turnover={name: float(one.sum()) / years for name, one in sorted(turnover.items())},
        promoted_after=None if one.promoted_at is None else one.promoted_at - walk.start,
        crossed_after=_crossed(walk),
        alpha=one.registration.alpha(spec.gate.alpha),
        board={name: _promoted(name, net, turnover, walk) for name in BOARD},
        full=terms == Terms(),
    )


def _streams(
    panel: Panel, swept: Corpus, history: History, walk: WalkForward
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Out-of-sample net returns and turnover of every policy, baselines included."""
    spec, start = walk.spec, walk.start
    memo = Memo(dict(walk.regimes.fits))
    policies = [spec.policy.with_learner(name) for name in BASELINES]
    weights = np.zeros((len(policies), len(panel.dates), swept.grid.size))
    for t in range(start, len(panel.dates)):
        for k, policy in enumerate(policies):
            mix = decide(t, history, policy, seed=spec.seed, memo=memo)[STRATEGY].weights
            weights[k, t, : swept.candidates] = mix
    part = STRATEGIES.get(STRATEGY)
    book = mix_book(panel, part, swept.grid, weights, kind=spec.book, cost=spec.cost)
    given, rows = walk.streams(STRATEGY), slice(start + 1, None)
    net = given.net | dict(zip(BASELINES, book.net_return[:, rows], strict=True))
    traded = given.turnover | dict(zip(BASELINES, book.turnover[:, rows], strict=True))
    return net, traded


def _sharpes(net: dict[str, Floats], swept: Corpus, walk: WalkForward) -> dict[str, float | None]:
    """Annual Sharpe ratio of every policy, of cash, and of the best set in hindsight."""
    periods = walk.periods_per_year
    sharpe = {name: _annual(one, periods) for name, one in sorted(net.items())}
    sets = swept.book.net_return[: swept.candidates, walk.start + 1 :]
    known = [s for one in sets if (s := _annual(one, periods)) is not None]
    return sharpe | {"cash": 0.0, "hindsight": max(known, default=None)}


def _promoted(
    name: str, net: dict[str, Floats], turnover: dict[str, Floats], walk: WalkForward
) -> int | None:
    """Sessions until the gate would have promoted one learner of the whole board.

    The gate is asked after every session on which the plain t statistics, which cost nothing,
    leave it a chance.
    """
    one, spec = walk.strategies[STRATEGY], walk.spec
    config, champion = spec.gate, "default"  # no incumbent is handed in here
    alpha = Registration(batch=1, together=len(BOARD)).alpha(config.alpha)
    difference = paired_difference(net[name], net["static"], config.half_life)
    limit = boundary(len(net[name]), alpha=alpha, mixture=config.mixture)
    chance = np.minimum(_plain_t(net[name]), _plain_t(difference) / limit * 2.0) >= 1.0
    for n in np.flatnonzero(chance[config.first_look - 1 :]) + config.first_look:
        seen = {other: series[:n] for other, series in net.items() if other != "oracle"}
        record = Record(
            challenger=seen[name],
            turnover=turnover[name][:n],
            rivals={"static": seen["static"], champion: seen[champion]},
            champion=champion,
            rival_sharpes=rival_sharpes(seen, name),
            policies=one.policies + len(BASELINES),
            alpha=alpha,
            cost=spec.cost,
            periods_per_year=walk.periods_per_year,
        )
        if gate(record, config).promote:
            return int(n)
    return None


def _plain_t(series: Floats) -> Floats:
    """Mean over its standard error without lags, for every first part of a series; ``[time]``."""
    n = np.arange(1.0, len(series) + 1.0)
    mean = np.cumsum(series) / n
    variance = np.maximum(np.cumsum(series**2) / n - mean**2, 1e-300)
    return np.asarray(mean / np.sqrt(variance / n))


def _ideal(close: Floats, means: Floats) -> Floats:
    """Return of a dollar-neutral book weighted by each session's planted means; ``[time]``.

    Parameters
    ----------
    close, means : float64, ``[symbol, time]``
    """
    excess = means - means.mean(axis=0)
    gross = np.abs(excess).sum(axis=0)
    weights = np.divide(excess, gross, out=np.zeros_like(excess), where=gross > 0.0)
    out = np.zeros(close.shape[1])
    out[1:] = (weights[:, 1:] * (close[:, 1:] / close[:, :-1] - 1.0)).sum(axis=0)
    return out


def _annual(returns: Floats, periods: int) -> float | None:
    ratio = sharpe_ratio(returns)
    return None if ratio is None else ratio * math.sqrt(periods)


def _ranking(history: History, walk: WalkForward) -> float | None:
    """Mean ranking accuracy of the policy's scores, every ``HORIZON`` sessions."""
    spec, memo = walk.spec, Memo(dict(walk.regimes.fits))
    returns, shares = history.strategies[STRATEGY].returns, []
    for t in range(walk.start, history.sessions - HORIZON, HORIZON):
        decide(t, history, spec.policy, seed=spec.seed, memo=memo)
        scores = memo.selections[(spec.policy, STRATEGY)][1].scores
        able = np.isfinite(scores).all(axis=0)
        if memo.probabilities is None or able.sum() < 2:
            continue
        today = memo.probabilities[1][-1] if len(scores) > 1 else np.ones(1)
        now = today @ scores[:, able]
        ahead = returns[able, t + 1 : t + 1 + HORIZON]
        spread = ahead.std(axis=1, ddof=1)
        earned = np.divide(ahead.mean(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
        share = ranking_accuracy(now, earned)
        if share is not None:
            shares.append(share)
    return float(np.mean(shares)) if shares else None


def _crossed(walk: WalkForward) -> int | None:
    """Sessions until the paired test against ``static`` crossed its boundary by itself."""
    first = walk.spec.gate.first_look
    for n, verdict in enumerate(walk.strategies[STRATEGY].verdicts):
        passed = {line.name: line.passed for line in verdict.criteria}
        if n >= first and passed["paired_static"]:
            return n
    return None
