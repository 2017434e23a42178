"""Whether the whole path finds what was planted, and nothing where nothing was.

The short form runs small, short worlds, pooled over fixed seeds, because a few years of sixty
symbols say little one by one. The slow form runs worlds of the size that claims are made on.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ml.corpus import WalkSpec
from ml.policy import PolicyConfig
from ml.walkforward import walk_forward
from tests.ml.panels import annual_sharpe, small_world

SHORT = PolicyConfig(train=400, step=10, refit=200)
FULL = PolicyConfig()


@dataclass(frozen=True)
class Outcome:
    """Annual out-of-sample Sharpe ratios by variant, and whether the gate promoted."""

    sharpe: dict[str, float]
    promoted: bool
    accuracy: float

    @property
    def gain(self) -> float:
        return self.sharpe["regime_aware"] - self.sharpe["static"]


def accuracy(best: np.ndarray, truth: np.ndarray) -> float:
    """Share of sessions in the right state under the best one-to-one naming of states."""
    size = int(max(best.max(), truth.max())) + 1
    both = np.zeros((size, size))
    np.add.at(both, (best, truth), 1)
    rows, columns = linear_sum_assignment(both, maximize=True)
    return float(both[rows, columns].sum() / len(truth))


@cache
def outcome(world: str, seed: int, *, cost: float = 0.0005, full: bool = False) -> Outcome:
    policy, symbols, sessions = (FULL, 100, 3024) if full else (SHORT, 60, 1000)
    panel, truth = small_world(world, symbols=symbols, sessions=sessions, seed=seed)
    walk = walk_forward(panel, ["rsi_swing"], WalkSpec(policy=policy, cost=cost), truth=truth)
    states = walk.regimes.published()["state"].to_numpy()[walk.start :].astype(int)
    return Outcome(
        {name: annual_sharpe(net) for name, net in walk.streams("rsi_swing").net.items()},
        walk.strategies["rsi_swing"].promoted_at is not None,
        accuracy(states, truth.states[walk.start :]),
    )


def outcomes(world: str, seeds: range, *, cost: float = 0.0005, full: bool = False):
    return [outcome(world, seed, cost=cost, full=full) for seed in seeds]


def mean(values) -> float:
    return float(np.mean(list(values)))


def capture(found: list[Outcome]) -> float:
    """Share of what the true state would have added that the filtered one added, pooled."""
    return mean(o.gain for o in found) / mean(
        o.sharpe["oracle"] - o.sharpe["static"] for o in found
    )


def test_the_planted_effect_is_there_and_is_found():
    found = outcomes("clear", range(1, 5))
    assert mean(o.sharpe["oracle"] for o in found) > mean(o.sharpe["static"] for o in found) + 0.6
    assert mean(o.gain for o in found) > 0.3
    assert mean(o.sharpe["regime_aware"] for o in found) > 0.5


def test_nothing_is_found_where_nothing_is():
    found = outcomes("null", range(1, 3), cost=0.0)
    assert not any(o.promoted for o in found)
    assert abs(mean(o.sharpe["regime_aware"] for o in found)) < 0.8


def test_one_effect_in_all_regimes_is_no_reason_to_be_regime_aware():
    found = outcome("constant", 1)
    assert found.sharpe["static"] > 1.0  # there is something to earn, and static earns it
    assert found.gain < 0.5
    assert not found.promoted


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_clear_worlds():
    found = outcomes("clear", range(101, 106), full=True)
    assert sum(o.gain > 0.0 for o in found) >= 4
    assert sum(o.promoted for o in found) >= 4
    assert mean(o.accuracy for o in found) >= 0.90
    assert capture(found) >= 0.75


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_murky_worlds():
    found = outcomes("murky", range(101, 106), full=True)
    assert mean(o.accuracy for o in found) >= 0.80
    assert capture(found) >= 0.60


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_null_worlds_at_zero_cost():
    found = outcomes("null", range(201, 221), cost=0.0, full=True)
    assert sum(o.promoted for o in found) <= 2
    assert abs(mean(o.sharpe["regime_aware"] for o in found)) <= 0.2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_constant_worlds():
    found = outcomes("constant", range(101, 106), full=True)
    assert sum(o.promoted for o in found) == 0
