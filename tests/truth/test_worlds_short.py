"""Whether the whole path finds what was planted, and nothing where nothing was.

The short form runs small, short worlds, pooled over fixed seeds, because a few years of sixty
symbols say little one by one. The slow form runs worlds of the size that claims are made on.
"""

from functools import cache

import numpy as np
import pytest

from ml.proof.card import SHORT, Card, Terms, synthetic_card
from ml.proof.scorecard import capture, mean_sharpe

FULL = Terms()


@cache
def card(world: str, seed: int, terms: Terms) -> Card:
    return synthetic_card(world, seed, terms)


def cards(world: str, seeds: range, terms: Terms = SHORT) -> list[Card]:
    return [card(world, seed, terms) for seed in seeds]


def promoted(found: list[Card]) -> int:
    return sum(one.promoted_after is not None for one in found)


def accuracy(found: list[Card]) -> float:
    return float(np.mean([one.accuracy for one in found]))


def test_the_planted_effect_is_there_and_is_found():
    found = cards("clear", range(1, 5))
    static, aware = mean_sharpe(found, "static"), mean_sharpe(found, "regime_aware")
    assert mean_sharpe(found, "oracle") > static + 0.6
    assert aware > max(static + 0.3, 0.5)
    assert mean_sharpe(found, "ideal") > mean_sharpe(found, "oracle")
    assert np.mean([one.ranking for one in found]) > 0.6


def test_nothing_is_found_where_nothing_is():
    found = cards("null", range(1, 21))
    assert promoted(found) <= 2
    assert abs(mean_sharpe(found, "regime_aware")) < 0.6
    assert abs(np.mean([one.ranking for one in found]) - 0.5) < 0.08
    assert mean_sharpe(found, "hindsight") > 0.8  # and yet a grid search would be proud


def test_one_effect_in_all_regimes_is_no_reason_to_be_regime_aware():
    found = card("constant", 1, SHORT)
    assert found.sharpe["static"] > 1.0  # there is something to earn, and static earns it
    assert found.sharpe["regime_aware"] - found.sharpe["static"] < 0.5
    assert found.promoted_after is None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_clear_worlds():
    found = cards("clear", range(101, 106), FULL)
    assert sum(one.sharpe["regime_aware"] > one.sharpe["static"] for one in found) >= 4
    assert promoted(found) >= 4
    assert accuracy(found) >= 0.90
    assert capture(found) >= 0.75


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_murky_worlds():
    found = cards("murky", range(101, 106), FULL)
    assert accuracy(found) >= 0.80
    assert capture(found) >= 0.60


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_null_worlds_at_zero_cost():
    found = cards("null", range(201, 221), FULL)
    assert promoted(found) <= 2
    assert abs(mean_sharpe(found, "regime_aware")) <= 0.2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_constant_worlds():
    assert promoted(cards("constant", range(101, 106), FULL)) == 0
