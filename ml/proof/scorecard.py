"""Many cards together: what was found where there was something, and where there was nothing.

For: the goals that a release must reach, promotion rates with their intervals, and Sharpe ratios
of all policies by world. Not for: walking markets (``card``) or the page (``scorecard_page``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from backtest.market.synthetic import WORLD_NAMES
from ml.proof.card import BASELINES, Card
from ml.proof.leaks import Finding
from ml.proof.traps import Caught, faults

SIMPLE = ("cash", "static", "experts", *BASELINES)
"""Policies without regimes; the best of them is what a regime-aware one must beat."""
LONG = dict.fromkeys(WORLD_NAMES, 10) | {"null": 200, "constant": 40}
"""Seeds of the long form by world."""
MATERIAL = 0.3
"""Sharpe ratio that the true state must add before a share of it is worth stating."""


@dataclass(frozen=True)
class Rate:
    """So many of so many, with the exact 95 % interval of Clopper and Pearson."""

    count: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class Goal:
    """A promise, what was measured, and whether it is kept.

    Parameters
    ----------
    world, name : str
    value : float or None
        None where it is undefined.
    limit : float
    better : str
        ``above`` or ``below``; the limit itself is enough.
    seeds, least : int
        How many were walked, and from how many on the goal is judged at all.
    """

    world: str
    name: str
    value: float | None
    limit: float
    better: Literal["above", "below"]
    seeds: int
    least: int

    @property
    def status(self) -> Literal["met", "missed", "not judged"]:
        """Whether the promise is kept; too few seeds say nothing."""
        if self.seeds < self.least:
            return "not judged"
        if self.value is None:
            return "missed"
        kept = self.value >= self.limit if self.better == "above" else self.value <= self.limit
        return "met" if kept else "missed"


def rate(events: Iterable[bool]) -> Rate:
    """Count and bound a share.

    Examples
    --------
    >>> rate([False] * 20).high.__round__(3)
    0.168
    """
    happened = list(events)
    if not happened:
        return Rate(0, 0, 0.0, 1.0)
    bounds = stats.binomtest(sum(happened), len(happened)).proportion_ci(method="exact")
    return Rate(sum(happened), len(happened), float(bounds.low), float(bounds.high))


def by_world(cards: Iterable[Card]) -> dict[str, list[Card]]:
    """Group cards by world, known worlds first, each sorted by seed."""
    out: dict[str, list[Card]] = {}
    for card in sorted(cards, key=lambda one: one.seed):
        out.setdefault(card.world, []).append(card)
    known = [name for name in WORLD_NAMES if name in out]
    return {name: out[name] for name in (*known, *sorted(set(out) - set(known)))}


def sharpes(cards: Sequence[Card], policy: str) -> npt.NDArray[np.float64]:
    """Annual Sharpe ratio of a policy on every card that knows it; one that never moved is cash."""
    return np.array([card.sharpe[policy] or 0.0 for card in cards if policy in card.sharpe])


def mean_sharpe(cards: Sequence[Card], policy: str) -> float | None:
    """Mean annual Sharpe ratio of a policy; None where no card knows it."""
    known = sharpes(cards, policy)
    return float(known.mean()) if known.size else None


def capture(cards: Sequence[Card]) -> float | None:
    """Part of what the true state adds to ``static`` that ``regime_aware`` captured, pooled.

    None where the true state adds less than ``MATERIAL`` a year.
    """
    static, reached, most = (
        mean_sharpe(cards, name) for name in ("static", "regime_aware", "oracle")
    )
    if static is None or reached is None or most is None or most - static < MATERIAL:
        return None
    return (reached - static) / (most - static)


def best_simple(cards: Sequence[Card]) -> str:
    """Name of the policy without regimes that earned most on average."""
    return max(SIMPLE, key=lambda name: mean_sharpe(cards, name) or 0.0)


def advantage(cards: Sequence[Card], rival: str) -> tuple[float, float | None]:
    """Mean gain in annual Sharpe ratio over ``rival`` by seed, and its t statistic over seeds."""
    gains = sharpes(cards, "regime_aware") - sharpes(cards, rival)
    if len(gains) < 2 or gains.std(ddof=1) == 0.0:
        return float(gains.mean()), None
    return float(gains.mean()), float(gains.mean() / gains.std(ddof=1) * np.sqrt(len(gains)))


def goals(cards: Iterable[Card]) -> list[Goal]:
    """Judge every promise about a world of which there are cards.

    Cards under other terms than those of the promises are shown where there are no others, and
    never judged.
    """
    groups, out = by_world(cards), []
    for world, promises in _PROMISES.items():
        every = groups.get(world, [])
        judged = [card for card in every if card.full]
        if every:
            out += [
                Goal(world, name, measure(judged or every), limit, better, len(judged), least)
                for name, measure, limit, better, least in promises
            ]
    return out


def leak_goals(findings: Sequence[Finding], caught: Sequence[Caught]) -> list[Goal]:
    """Judge that no part sees the future, and that the detectors of leaks are awake."""
    parts = {(one.kind, one.name) for one in findings}
    guilty = {(one.kind, one.name) for one in findings if one.guilty}
    wrong = faults(caught)
    return [
        Goal("leaks", "parts that see the future", float(len(guilty)), 0.0, "below", len(parts), 1),
        Goal("leaks", "leaks missed or twins accused", float(len(wrong)), 0.0, "below", 1, 1),
    ]


def _accuracy(cards: Sequence[Card]) -> float:
    return float(np.mean([card.accuracy for card in cards]))


def _captured_half(cards: Sequence[Card]) -> float:
    """Share of seeds that captured at least half; one with nothing to capture did not."""
    shares = [capture([card]) for card in cards]
    return float(np.mean([share is not None and share >= 0.5 for share in shares]))


def _promoted(cards: Sequence[Card]) -> float:
    return float(np.mean([card.promoted_after is not None for card in cards]))


def _luck(cards: Sequence[Card]) -> float | None:
    mean = mean_sharpe(cards, "regime_aware")
    return None if mean is None else abs(mean)


def _board(cards: Sequence[Card]) -> float:
    """Share of markets on which any learner of the board was promoted."""
    return float(np.mean([any(n is not None for n in card.board.values()) for card in cards]))


def _no_gain(cards: Sequence[Card]) -> float | None:
    """Chance of such a gain over the best policy without regimes if there were none."""
    t = advantage(cards, best_simple(cards))[1]
    return None if t is None else float(stats.t.sf(t, len(cards) - 1))


_Promise = tuple[
    str, Callable[[Sequence[Card]], float | None], float, Literal["above", "below"], int
]
_PROMISES: Mapping[str, tuple[_Promise, ...]] = {
    "clear": (
        ("mean state accuracy", _accuracy, 0.90, "above", 5),
        ("pooled capture", capture, 0.75, "above", 5),
        ("share of seeds with capture of at least .5", _captured_half, 0.90, "above", 10),
        ("share promoted", _promoted, 0.80, "above", 5),
        ("p-value of the gain over the best simple policy", _no_gain, 0.025, "below", 5),
    ),
    "murky": (
        ("mean state accuracy", _accuracy, 0.80, "above", 5),
        ("pooled capture", capture, 0.60, "above", 5),
        ("p-value of the gain over the best simple policy", _no_gain, 0.025, "below", 5),
    ),
    "null": (
        ("share promoted", _promoted, 0.05, "below", 20),
        ("share with any learner promoted", _board, 0.05, "below", 20),
        ("absolute mean Sharpe ratio", _luck, 0.10, "below", 100),
    ),
    "constant": (("share promoted", _promoted, 0.05, "below", 10),),
}
