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

from backtest.evidence.sharpe import sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, WorldName, generate, weekdays
from ml.corpus import Corpus, WalkSpec, corpus, history_of
from ml.decision import Memo, TruthTrack
from ml.history import History
from ml.policy import PolicyConfig
from ml.proof.contest import contest, promoted_after
from ml.proof.measures import detection, supervised_accuracy
from ml.regime_track import state_accuracy
from ml.walkforward import WalkForward, walk_forward

Floats = npt.NDArray[np.float64]

STRATEGY = "rsi_swing"
BASELINES = ("argmax_static", "recent", "weighted", "volatility_targeted", "directions")
"""Learners walked beside those that every walk-forward has."""
BOARD = ("regime_aware", "experts", *BASELINES)
"""Learners that could ask to be promoted over ``static`` and the champion."""


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
    net, turnover, ranking = _streams(panel, swept, history, walk)
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
        ranking=ranking,
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
) -> tuple[dict[str, Floats], dict[str, Floats], float | None]:
    """Net returns and turnover of every policy, baselines included, and the proposal's ranking."""
    learner, memo = walk.spec.policy.learner, Memo(dict(walk.regimes.fits))
    entries = contest(
        panel,
        history,
        {STRATEGY: swept},
        walk.spec,
        learners=(learner, *BASELINES),
        memo=memo,
    ).entries[STRATEGY]
    ranking, given = entries.pop(learner).ranking, walk.streams(STRATEGY)
    net = given.net | {name: one.net for name, one in entries.items()}
    turnover = given.turnover | {name: one.turnover for name, one in entries.items()}
    return net, turnover, ranking


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
    """Sessions until the gate would have promoted one learner of the whole board."""
    return promoted_after(
        name,
        net,
        turnover,
        walk.spec,
        learners=("static", *BOARD),
        together=len(BOARD),
        policies=walk.strategies[STRATEGY].policies + len(BASELINES),
        periods_per_year=walk.periods_per_year,
    )[0]


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


def _crossed(walk: WalkForward) -> int | None:
    """Sessions until the paired test against ``static`` crossed its boundary by itself."""
    first = walk.spec.gate.first_look
    for n, verdict in enumerate(walk.strategies[STRATEGY].verdicts):
        passed = {line.name: line.passed for line in verdict.criteria}
        if n >= first and passed["paired_static"]:
            return n
    return None
