"""The bandit against closed forms, the learner of learners against a loop by hand."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from ml.decision import Memo, decide
from ml.learner import LearnerView
from ml.learners.bandit import Bandit
from ml.learners.cash import Cash
from ml.learners.meta import ADVISERS, Meta
from ml.policy import PolicyConfig
from tests.ml.histories import planted_history, small_grid, view_of

GRID = small_grid()
POLICY = PolicyConfig(learner="meta", train=120, step=5, refit=60)


def two_sets(first: float, second: float, sessions: int = 201) -> LearnerView:
    """Two sets that move, with these means in deviations; the others never do."""
    random = np.random.default_rng(0)
    returns = np.zeros((GRID.size, sessions))
    for row, mean in ((0, first), (1, second)):
        noise = random.standard_normal(sessions - 1)
        returns[row, 1:] = 0.01 * ((noise - noise.mean()) / noise.std() + mean)
    return view_of(GRID, returns)


def test_cash_holds_nothing():
    view = two_sets(0.1, 0.2)
    assert not Cash().weigh(Cash().select(view), view).any()


def test_a_set_is_drawn_as_often_as_it_is_likely_the_best():
    """One set against cash: the share is the posterior probability of a mean above 0."""
    view = two_sets(0.05, -9.0)
    bandit = Bandit(prior=0.1, draws=40_000)
    shares = bandit.weigh(bandit.select(view), view)
    mean, deviation = 0.05 * 200 / 300, 1 / np.sqrt(300)  # 200 sessions, prior worth 100
    expected = norm.cdf(mean / deviation)
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert shares[0] == pytest.approx(expected, abs=4 * error)
    assert shares[1:].sum() == 0.0


def test_two_equal_sets_share_alike_and_cash_has_the_rest():
    view = two_sets(0.05, 0.05)
    bandit = Bandit(prior=0.1, draws=40_000)
    shares = bandit.weigh(bandit.select(view), view)
    both_below = norm.cdf(-0.05 * 200 / 300 * np.sqrt(300)) ** 2
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    assert shares.sum() == pytest.approx(1.0 - both_below, abs=0.01)


def test_the_regime_decides_which_set_is_drawn():
    """Set 0 earns in one regime, set 1 in the other."""
    states = (np.arange(400) // 20) % 2
    returns = np.zeros((GRID.size, 400))
    random = np.random.default_rng(1)
    for row in (0, 1):
        edge = np.where(states[:-1] == row, 0.01, -0.01)
        returns[row, 1:] = edge + 0.01 * random.standard_normal(399)
    view = view_of(GRID, returns, np.eye(2)[states])
    bandit = Bandit()
    selection = bandit.select(view)
    for k in (0, 1):
        today = dataclasses.replace(view, probabilities=np.eye(2)[np.full(400, k)])
        assert bandit.weigh(selection, today).argmax() == k


def by_hand(view: LearnerView, learner: Meta) -> np.ndarray:
    """Weights of advisers and cash, one session and one adviser at a time."""
    count = len(learner.advisers)
    weights, variance = [1.0 / (count + 1)] * (count + 1), [0.0] * count
    decay = 0.5 ** (1.0 / learner.half_life)
    for t in range(1, view.sessions):
        for k, name in enumerate(learner.advisers):
            r = float(view.proposals[name][t - 1] @ view.returns[:, t])
            if variance[k] > 1e-16:
                gain = min(max(r / variance[k] ** 0.5, -6.0), 6.0)
                weights[k] *= float(np.exp(learner.rate * gain))
                variance[k] = decay * variance[k] + (1.0 - decay) * r * r
            elif r != 0.0:
                variance[k] = r * r
        total = sum(weights)
        weights = [(1 - learner.share) * w / total + learner.share / (count + 1) for w in weights]
    return np.array(weights)


def proposing(view: LearnerView, seed: int = 0) -> LearnerView:
    random = np.random.default_rng(seed)
    mixes = {name: random.dirichlet(np.ones(GRID.size), view.sessions) for name in ADVISERS}
    return dataclasses.replace(view, proposals=mixes)


def test_advisers_are_weighed_as_by_hand():
    view = proposing(two_sets(0.1, -0.1))
    learner = Meta()
    known = learner.select(view).known
    assert known.weights == pytest.approx(by_hand(view, learner), rel=1e-9)
    mixed = known.weights[:-1] @ np.stack([view.proposals[n][-1] for n in ADVISERS])
    assert learner.weigh(learner.select(view), view) == pytest.approx(mixed, rel=1e-9)


def test_the_adviser_that_earns_is_followed():
    view = proposing(two_sets(1.0, -1.0))
    for name in ADVISERS:
        view.proposals[name][:] = np.eye(GRID.size)[1]
    view.proposals["weighted"][:] = np.eye(GRID.size)[0]
    learner = Meta()
    known = learner.select(view).known
    assert ADVISERS[int(known.weights[:-1].argmax())] == "weighted"
    assert known.weights.max() > 0.9


def test_what_advisers_proposed_is_what_they_had_decided():
    """Weights that ``meta`` mixes at 200 are those of decisions made on their own, that day."""
    history = planted_history(220)
    memo = Memo()
    decide(200, history, POLICY, memo=memo)
    for name in ("regime_table", "experts"):
        policy = POLICY.with_learner(name)
        made = memo.proposals[(policy, "swing_0")]
        for s in (120, 179, 180, 181, 200):
            alone = decide(s, history, policy)["swing_0"].weights
            np.testing.assert_array_equal(made.rows[s], alone)
        assert not made.rows[:120].any()


def test_a_memo_changes_nothing_in_whatever_order_it_is_asked():
    history = planted_history(220)
    memo = Memo()
    for s in (150, 149, 210, 121, 185):
        kept = decide(s, history, POLICY, memo=memo)["swing_0"]
        alone = decide(s, history.until(s), POLICY)["swing_0"]
        np.testing.assert_array_equal(kept.weights, alone.weights)
        assert kept.confidence == alone.confidence
