"""Cards of small markets, and what many of them say together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from backtest.market.synthetic import WORLD_NAMES
from ml.learner import LEARNERS
from ml.policy import PolicyConfig
from ml.proof import scorecard_page
from ml.proof.card import BASELINES, BOARD, Card, Terms, synthetic_card
from ml.proof.scorecard import (
    LONG,
    SIMPLE,
    Goal,
    advantage,
    best_simple,
    by_world,
    capture,
    goals,
    rate,
)

TINY = Terms(symbols=15, sessions=420, policy=PolicyConfig(train=250, step=10, refit=100))
POLICIES = ("regime_aware", "oracle", "hindsight", *SIMPLE)


def card(world: str = "clear", seed: int = 1, **changes: object) -> Card:
    """A made-up card of a full-size market."""
    sharpe = dict.fromkeys(scorecard_page.POLICIES, 0.0) | {
        "regime_aware": 2.0,
        "static": 0.5,
        "experts": 1.0,
        "oracle": 2.5,
    }
    return replace(
        Card(
            world=world,
            seed=seed,
            symbols=100,
            sessions=3024,
            out_of_sample=2267,
            sets=140,
            accuracy=0.95,
            supervised_accuracy=0.97,
            delays=(2, 4, 9),
            missed=1,
            ranking=0.7,
            sharpe=sharpe,
            turnover=dict.fromkeys(sharpe, 10.0),
            promoted_after=600,
            crossed_after=400,
            alpha=0.03,
            named=5,
            board=dict.fromkeys(BOARD, None),
            full=True,
        ),
        **changes,
    )


def with_sharpe(seed: int, **sharpe: float) -> Card:
    one = card(seed=seed)
    return replace(one, sharpe=one.sharpe | sharpe)


@pytest.fixture(scope="module")
def tiny() -> Card:
    return synthetic_card("structural-break", 4, TINY)


def test_a_card_holds_every_policy_and_comes_back_from_its_file(tiny: Card):
    assert set(scorecard_page.POLICIES) == set(tiny.sharpe)
    assert set(BASELINES) <= set(tiny.turnover)
    assert (tiny.symbols, tiny.sessions, tiny.out_of_sample) == (15, 420, 169)
    assert Card.of(json.loads(json.dumps(tiny.plain(), allow_nan=False))) == tiny


def test_the_same_market_gives_the_same_card(tiny: Card):
    assert synthetic_card("structural-break", 4, TINY) == tiny


def test_every_simple_learner_is_on_the_card():
    """Those with something to learn from regimes or from each other are on the board."""
    named = {"cash", "regime_table", "static", "experts", *BASELINES}
    learned = {"bandit", "meta", "neural", "online", "predictor", "student"}
    assert set(LEARNERS.names()) - named == {
        *learned,
        *("ensemble", "ensemble_earned", "ensemble_sharpe", "ensemble_stacked"),
    }


def test_null_worlds_cost_nothing_and_others_do():
    assert TINY.cost_in("null") == 0.0
    assert {TINY.cost_in(w) for w in WORLD_NAMES if w != "null"} == {0.0005}


def test_capture_is_pooled_over_seeds_and_undefined_where_nothing_is_to_capture():
    assert capture([card()]) == pytest.approx(0.75)
    pair = [card(), with_sharpe(2, regime_aware=0.5, oracle=3.5)]
    assert capture(pair) == pytest.approx((1.25 - 0.5) / (3.0 - 0.5))
    assert capture([with_sharpe(1, oracle=0.7)]) is None


def test_rates_carry_the_exact_interval():
    found = rate([True, False, False, False])
    assert (found.count, found.of) == (1, 4)
    assert stats.binom.sf(0, 4, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(1, 4, found.high) == pytest.approx(0.025)
    assert rate([]).high == 1.0


def test_the_best_simple_policy_is_the_rival():
    cards = [card(seed=k) for k in (1, 2)]
    assert best_simple(cards) == "experts"
    assert advantage(cards, "experts") == (1.0, None)
    gain, t = advantage([card(), with_sharpe(2, regime_aware=3.0)], "experts")
    assert gain == 1.5
    assert t == pytest.approx(1.5 / np.std([1.0, 2.0], ddof=1) * np.sqrt(2))


def test_goals_are_met_missed_or_not_judged():
    cards = [replace(card(seed=k), accuracy=0.8 + 0.01 * k) for k in range(5)]
    found = {goal.name: goal for goal in goals(cards)}
    assert found["mean state accuracy"].value == pytest.approx(0.82)
    assert found["mean state accuracy"].status == "missed"
    assert found["pooled capture"].status == "met"
    assert found["share of seeds with capture of at least .5"].status == "not judged"
    gain = "p-value of the gain over the best simple policy"
    assert found[gain].status == "missed"  # equal gains have no spread: undefined
    varied = [with_sharpe(k, regime_aware=2.0 + 0.1 * k) for k in range(5)]
    assert {goal.name: goal for goal in goals(varied)}[gain].status == "met"


def test_losing_less_than_the_others_is_no_win():
    losing = dict.fromkeys(SIMPLE, -1.0) | {"cash": 0.0}
    cards = [with_sharpe(k, **losing, regime_aware=-0.4 - 0.01 * k) for k in range(5)]
    assert best_simple(cards) == "cash"
    found = {goal.name: goal for goal in goals(cards)}
    assert found["p-value of the gain over the best simple policy"].status == "missed"


def test_any_learner_promoted_counts_against_the_null():
    one = card("null", board=dict.fromkeys(BOARD, None) | {"recent": 300}, promoted_after=None)
    found = {g.name: g.value for g in goals([one, card("null", 2, promoted_after=None)])}
    assert found["share with any learner promoted"] == 0.5
    assert found["share promoted"] == 0.0


def test_a_promise_of_nothing_fails_on_one_promotion_too_many():
    def nulls(promoted: int) -> list[Card]:
        after = [300 if k < promoted else None for k in range(200)]
        return [card("null", k, promoted_after=after[k]) for k in range(200)]

    cards = nulls(11)
    found = {goal.name: goal for goal in goals(cards)}
    assert found["share promoted"].value == pytest.approx(0.055)
    assert found["share promoted"].status == "missed"
    assert found["absolute mean Sharpe ratio"].status == "missed"
    assert {g.name: g.status for g in goals(nulls(10))}["share promoted"] == "met"


def test_small_markets_judge_nothing():
    small = [replace(card(seed=k), full=False) for k in range(20)]
    assert {goal.status for goal in goals(small)} == {"not judged"}
    large = [replace(card(seed=k), accuracy=0.5) for k in range(30, 35)]
    mixed = {goal.name: goal for goal in goals([*small, *large])}
    assert mixed["mean state accuracy"].value == 0.5
    assert mixed["mean state accuracy"].status == "missed"


def test_a_limit_reached_exactly_is_enough():
    assert Goal("w", "g", 0.05, 0.05, "below", 20, 20).status == "met"
    assert Goal("w", "g", 0.05, 0.05, "above", 20, 20).status == "met"


def test_worlds_come_in_their_own_order_and_strangers_last():
    groups = by_world([card("files b"), card("null"), card("clear", 2), card("clear", 1)])
    assert list(groups) == ["clear", "null", "files b"]
    assert [one.seed for one in groups["clear"]] == [1, 2]


def test_the_long_form_asks_for_enough_seeds_to_judge_every_goal():
    for world, seeds in LONG.items():
        cards = [card(world, k) for k in range(seeds)]
        assert "not judged" not in {goal.status for goal in goals(cards)}


def test_the_page_is_the_same_bytes_and_says_synthetic(tiny: Card):
    files = scorecard_page.scorecard_files([tiny, card()], TINY)
    assert files == scorecard_page.scorecard_files([tiny, card()], TINY)
    assert set(files) == {"scorecard.md", "scorecard.html", "scorecard.png"}
    text = files["scorecard.md"].decode()
    assert "SYNTHETIC" in text
    assert "structural-break" in text
    values = scorecard_page.scorecard_values([tiny, card()])
    json.dumps(values, allow_nan=False)
    assert values["worlds"]["clear"]["promoted"]["count"] == 1
