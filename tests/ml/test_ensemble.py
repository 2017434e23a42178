"""Combiners by hand, and what they do with members that repeat each other."""

import dataclasses

import numpy as np
import pytest

from ml.ensemble.combiner import COMBINERS, Earned, purged_folds, sharpe_of
from ml.learner import HORIZON
from ml.learners.ensemble import StackedEnsemble
from tests.ml.histories import planted_returns, small_grid, spells, view_of

NAMES = COMBINERS.names()


def streams(*sharpes: float, sessions: int = 300, seed: int = 0) -> np.ndarray:
    """Independent streams of exactly these Sharpe ratios over the last 252 sessions."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(len(sharpes), sessions))
    last = noise[:, -252:]
    noise = (noise - last.mean(axis=1, keepdims=True)) / last.std(axis=1, keepdims=True)
    return 0.01 * (noise + np.array(sharpes)[:, None])


def told(members: int, decisions: int = 60, sets: int = 6, *, right: int = 0, seed: int = 1):
    """Proposals of members, and outcomes that follow one of them."""
    random = np.random.default_rng(seed)
    proposals = random.dirichlet(np.full(sets, 0.3), (members, decisions))
    outcomes = 0.2 * proposals[right] + 0.02 * random.normal(size=(decisions, sets))
    return proposals, outcomes


def weights(name: str, given: np.ndarray, *others: np.ndarray, every: int = 5) -> np.ndarray:
    proposals, outcomes = others or told(len(given))
    sessions = every * np.arange(len(outcomes))
    return COMBINERS.get(name)(Earned(given, sessions, proposals, outcomes))


@pytest.mark.parametrize("name", NAMES)
class TestCombiner:
    def test_weights_are_shares(self, name: str):
        found = weights(name, streams(0.1, -0.05, 0.0))
        assert found.shape == (3,)
        assert (found >= 0.0).all()
        assert found.sum() <= 1.0 + 1e-12

    def test_equal_members_get_equal_weights(self, name: str):
        one = streams(0.1)
        proposals, outcomes = told(1)
        found = weights(name, np.repeat(one, 3, axis=0), np.repeat(proposals, 3, axis=0), outcomes)
        np.testing.assert_allclose(found, found[0], atol=1e-9)

    def test_nothing_known_is_even(self, name: str):
        found = weights(name, np.zeros((4, 0)), np.zeros((4, 0, 6)), np.zeros((0, 6)))
        np.testing.assert_allclose(found, 0.25)

    def test_a_single_member_is_all_or_cash(self, name: str):
        found = weights(name, streams(0.2))
        assert 0.5 < found[0] <= 1.0


def test_sharpe_by_hand():
    found = sharpe_of(streams(0.1, -0.2))
    np.testing.assert_allclose(found, [0.1, -0.2])


def test_softmax_by_hand():
    found = weights("softmax", streams(0.06, 0.03))
    raised = np.exp(np.array([0.06, 0.03, 0.0]) / 0.03)
    np.testing.assert_allclose(found, (raised / raised.sum())[:2], rtol=1e-9)


def test_losers_get_nothing_by_sharpe_and_little_by_softmax():
    assert weights("sharpe", streams(-0.1, 0.1)).tolist() == [0.0, 1.0]
    assert weights("softmax", streams(-0.1, 0.1))[0] < 0.01
    assert weights("sharpe", streams(-0.1, -0.2)).sum() == 0.0  # cash


def test_members_that_repeat_each_other_share_one_weight():
    one, other = streams(0.1, 0.1, seed=4)
    found = weights("sharpe", np.stack([one, one, other]))
    assert found[0] == pytest.approx(found[1])
    assert found[0] + found[1] == pytest.approx(found[2], rel=0.2)


def test_stacking_finds_the_member_that_is_right():
    proposals, outcomes = told(3, right=1)
    found = weights("stacked", streams(0.0, 0.0, 0.0), proposals, outcomes)
    assert found[1] > 0.8


def test_stacking_on_noise_stays_near_even():
    random = np.random.default_rng(2)
    proposals, _ = told(3)
    found = weights("stacked", streams(0.0, 0.0, 0.0), proposals, random.normal(size=(60, 6)))
    assert found.max() < 0.8 or found.sum() == 0.0


@pytest.mark.parametrize("every", [1, 5, 7, 40])
def test_a_fold_is_fitted_on_no_session_of_its_own_outcomes(every: int):
    sessions = 3 + every * np.arange(100)
    used = [set(range(s + 1, s + 1 + HORIZON)) for s in sessions]
    for block, away in purged_folds(sessions):
        own = set().union(*(used[k] for k in block))
        clear = [k for k in range(len(sessions)) if not used[k] & own]
        assert away.tolist() == clear


def slow_noise(seed: int, *, members: int = 20, decisions: int = 80, span: int = 60) -> Earned:
    """Members that are all alike right, and whose noise and outcomes change slowly.

    Decisions on every session: outcomes of neighbours share all sessions but one.
    """
    random, sets = np.random.default_rng(seed), 6
    steps = random.normal(size=(decisions + HORIZON, sets))
    outcomes = np.stack([steps[s + 1 : s + 1 + HORIZON].mean(axis=0) for s in range(decisions)])
    raw = random.normal(size=(members, decisions + span, sets)).cumsum(axis=1)
    slow = raw[:, span:] - raw[:, :-span]
    proposals = np.exp(slow / slow.std())
    proposals /= proposals.sum(axis=2, keepdims=True)
    outcomes = 0.1 * outcomes / outcomes.std() + proposals.mean(axis=0)
    return Earned(np.zeros((members, 0)), np.arange(decisions), proposals, outcomes)


def test_outcomes_that_overlap_do_not_choose_the_penalty():
    """Without a purge neighbours betray a block, and members that were lucky there look right."""
    apart = []
    for seed in range(20):
        found = COMBINERS.get("stacked")(slow_noise(seed))
        apart.append(float(((found - 0.05) ** 2).sum() * 20))
    assert np.mean(apart) < 0.7


def test_only_outcomes_that_are_over_are_stacked_on():
    grid, sessions = small_grid(), 200
    returns = planted_returns(grid, spells(sessions))
    random = np.random.default_rng(0)
    proposals = {
        name: random.dirichlet(np.full(grid.size, 0.2), sessions)
        for name in StackedEnsemble().advisers
    }
    view = dataclasses.replace(view_of(grid, returns), proposals=proposals)
    seen = StackedEnsemble().select(view.rows(0, 150))
    changed = dataclasses.replace(view, returns=returns.copy())
    changed.returns[:, 150:] = -5.0
    again = StackedEnsemble().select(changed.rows(0, 150))
    np.testing.assert_array_equal(seen.shares, again.shares)
    last = max(range(0, 150 - HORIZON, 5))
    assert last + HORIZON < 150
