"""Combiners by hand, and what they do with members that repeat each other."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from backtest.errors import UnknownNameError
from ml.decision import Memo, decide
from ml.ensemble.combiner import COMBINERS, Earned, purged_folds, ridge, sharpe_of
from ml.ensemble.disagreement import disagreement, spread
from ml.learner import HORIZON
from ml.learners.ensemble import (
    MEMBERS,
    EarnedEnsemble,
    Ensemble,
    SharpeEnsemble,
    SoftmaxEnsemble,
    StackedEnsemble,
)
from ml.policy import PolicyConfig
from tests.ml.histories import planted_history, planted_returns, small_grid, spells, view_of

NAMES = COMBINERS.names()
LEARNERS = (SoftmaxEnsemble, SharpeEnsemble, StackedEnsemble)
WEIGHED = [name for name in NAMES if name != "earned"]  # rules without a member that stands


def streams(*sharpes: float, sessions: int = 300, seed: int = 0) -> np.ndarray:
    """Independent streams of exactly these Sharpe ratios over the last 252 sessions."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(len(sharpes), sessions))
    last = noise[:, -252:]
    noise = (noise - last.mean(axis=1, keepdims=True)) / last.std(axis=1, keepdims=True)
    return 0.01 * (noise + np.array(sharpes)[:, None])


def apart(*sharpes: float) -> np.ndarray:
    """Streams of exactly these Sharpe ratios over 252 sessions, without any correlation."""
    noise = np.random.default_rng(3).normal(size=(252, len(sharpes)))
    noise = np.linalg.qr(noise - noise.mean(axis=0))[0].T * np.sqrt(252.0)
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

    def test_a_single_member_is_all_or_cash(self, name: str):
        found = weights(name, streams(0.2))
        assert 0.5 < found[0] <= 1.0


@pytest.mark.parametrize("name", WEIGHED)
class TestWithoutAStandingMember:
    def test_equal_members_get_equal_weights(self, name: str):
        one = streams(0.1)
        proposals, outcomes = told(1)
        found = weights(name, np.repeat(one, 3, axis=0), np.repeat(proposals, 3, axis=0), outcomes)
        np.testing.assert_allclose(found, found[0], atol=1e-9)

    def test_nothing_known_is_even(self, name: str):
        found = weights(name, np.zeros((4, 0)), np.zeros((4, 0, 6)), np.zeros((0, 6)))
        np.testing.assert_allclose(found, 0.25)


class TestEarned:
    def asked(self, given: np.ndarray, *, standing: int = 0) -> list[float]:
        proposals, outcomes = told(len(given))
        known = Earned(given, 5 * np.arange(60), proposals, outcomes, standing)
        return COMBINERS.get("earned")(known).tolist()

    def test_the_standing_member_has_all_until_another_is_clearly_above(self):
        # Uncorrelated streams of deviation 1: the difference has deviation sqrt(2), and 252 of
        # them a standard error of .0891 (ddof 1), so .17 is 1.9 of them and .19 is 2.1.
        assert self.asked(apart(0.0, 0.17)) == [1.0, 0.0]
        assert self.asked(apart(0.0, 0.19)) == [0.5, 0.5]
        assert self.asked(apart(0.19, 0.0), standing=1) == [0.5, 0.5]

    def test_all_that_are_clear_share_a_half(self):
        assert self.asked(apart(0.0, 0.3, 0.1, 0.25)) == [0.5, 0.25, 0.0, 0.25]

    def test_a_stream_is_judged_by_its_ratio_and_not_by_its_size(self):
        given = apart(0.0, 0.19)
        assert self.asked(given * np.array([[1.0], [0.001]])) == [0.5, 0.5]
        assert self.asked(given * np.array([[1000.0], [1.0]])) == [0.5, 0.5]

    def test_less_than_a_year_decides_nothing(self):
        assert self.asked(apart(0.0, 0.5)[:, :251]) == [1.0, 0.0]

    def test_who_repeats_the_standing_member_or_stands_still_gets_nothing(self):
        one = apart(0.3)
        assert self.asked(np.concatenate([one, one, np.zeros_like(one)])) == [1.0, 0.0, 0.0]


def test_the_ratio_by_hand():
    found = sharpe_of(streams(0.1, -0.2))
    np.testing.assert_allclose(found, [0.1, -0.2])


def test_softmax_by_hand():
    found = weights("softmax", streams(0.06, 0.03))
    raised = np.exp(np.array([0.06, 0.03, 0.0]) / 0.03)
    np.testing.assert_allclose(found, (raised / raised.sum())[:2], rtol=1e-9)


def test_sharpe_by_hand():
    """Uncorrelated members by their ratios; held as far as the mix's own ratio is above zero."""
    given = apart(0.06, 0.03)
    found = weights("sharpe", given)
    mix = np.array([2.0, 1.0]) / 3.0
    ratio = (mix @ [0.06, 0.03]) / np.sqrt(mix @ mix)
    assert found == pytest.approx(mix * norm.cdf(ratio * np.sqrt(252.0)))
    assert found[0] == pytest.approx(2.0 * found[1])


def test_losers_get_nothing_by_sharpe_and_little_by_softmax():
    found = weights("sharpe", streams(-0.1, 0.1))
    assert found == pytest.approx([0.0, norm.cdf(0.1 * np.sqrt(252.0))])
    assert weights("softmax", streams(-0.1, 0.1))[0] < 0.01
    assert weights("sharpe", streams(-0.1, -0.2)).sum() == 0.0  # cash
    assert weights("softmax", streams(-0.1, -0.2)).sum() < 0.05


def test_members_that_repeat_each_other_share_one_weight():
    one, other = apart(0.1, 0.1)
    found = weights("sharpe", np.stack([one, one, other]))
    assert found[0] == pytest.approx(found[1])
    assert found[0] + found[1] == pytest.approx(found[2])
    twice = weights("softmax", np.stack([one, one, other]))  # has no eye for it
    assert twice[0] == pytest.approx(twice[2])


def test_a_member_that_repeats_a_loser_loses_nothing():
    one, other = apart(0.1, 0.1)
    found = weights("sharpe", np.stack([one - 0.002, one, other]))  # alike, and a loss
    assert found[0] == 0.0
    assert found[1] == pytest.approx(found[2])


@pytest.mark.parametrize("name", WEIGHED)
def test_a_mix_that_lost_is_mostly_cash(name: str):
    proposals, outcomes = told(2)
    assert weights(name, apart(-0.1, -0.08), proposals, outcomes).sum() < 0.1
    before = apart(-0.1, -0.08)[:, :62]  # too short to be judged
    if name != "stacked":
        assert weights(name, before).tolist() == [0.5, 0.5]


def test_what_stacking_holds_is_judged_like_any_other_mix():
    proposals, outcomes = told(2)
    good = weights("stacked", apart(0.1, 0.1), proposals, outcomes)
    bad = weights("stacked", apart(-0.1, -0.1), proposals, outcomes)
    unknown = weights("stacked", np.zeros((2, 10)), proposals, outcomes)
    assert good / good.sum() == pytest.approx(bad / bad.sum())
    assert bad.sum() < 0.1 < 0.9 < good.sum() < 1.0
    assert unknown.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("stream", [0.0, 0.001])
def test_a_member_that_stood_still_counts_as_cash(stream: float):
    """Nothing held, or a return without deviation, whose ratio is undefined."""
    given = np.stack([streams(0.1)[0], np.full(300, stream)])
    assert sharpe_of(given).tolist() == pytest.approx([0.1, 0.0])
    assert weights("sharpe", given)[1] == 0.0
    found = weights("softmax", given)
    assert found[1] == pytest.approx(1.0 - found.sum())  # as much as cash itself


def test_disagreement_by_hand():
    """Two of three members agree; the third holds half of what it has in another set."""
    said = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
    shares = np.array([0.25, 0.25, 0.25])  # a quarter is cash, of which nobody speaks
    found = spread(said, shares)
    assert found == pytest.approx([4.0 / 9.0, 2.0 / 9.0, 2.0 / 9.0])
    assert disagreement(said, shares) == pytest.approx(4.0 / 9.0)
    assert disagreement(said, np.zeros(3)) == pytest.approx(4.0 / 9.0)  # all alike
    assert disagreement(said, np.array([0.5, 0.2, 0.0])) == pytest.approx(0.0)
    over_time = disagreement(np.stack([said, said[[0, 0, 0]]]), np.stack([shares, shares]))
    assert over_time == pytest.approx([4.0 / 9.0, 0.0])


def test_stacking_finds_the_member_that_is_right():
    proposals, outcomes = told(3, right=1)
    found = weights("stacked", streams(0.1, 0.1, 0.1), proposals, outcomes)
    assert found[1] > 0.8


def test_stacking_on_noise_stays_near_even():
    random = np.random.default_rng(2)
    proposals, _ = told(3)
    found = weights("stacked", streams(0.0, 0.0, 0.0), proposals, random.normal(size=(60, 6)))
    assert found.max() < 0.8 or found.sum() == 0.0


def bound(seed: int, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of alike members, two of them wrong; then half the gradient at them, and rows.

    The penalised square is written out here anew, as the docstring of ``ridge`` says it.
    """
    random = np.random.default_rng(seed)
    common = random.normal(size=(40, 6))
    x = common + 0.4 * random.normal(size=(5, 40, 6))
    y = np.tensordot([0.5, 0.3, 0.1, -0.4, -0.2], x, axes=1) + 0.1 * random.normal(size=(40, 6))
    found, rows, target = ridge(x, y, penalty), x.reshape(5, -1).T, y.ravel()
    level = max(float(target @ rows.sum(axis=1)) / float((rows.sum(axis=1) ** 2).sum()), 0.0)
    pull = penalty * float((rows**2).sum()) / 5.0
    return found, rows.T @ (rows @ found - target) + pull * (found - level), rows


@pytest.mark.parametrize("penalty", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_regression_with_binding_bounds_is_the_least_penalised_square(seed: int, penalty: float):
    """Karush, Kuhn, Tucker: uphill where a coefficient is 0, level where it is not."""
    found, gradient, rows = bound(seed, penalty)
    gradient = gradient / float((rows**2).sum())
    assert (found >= 0.0).all()
    assert (gradient[found == 0.0] >= 0.0).all()
    np.testing.assert_allclose(gradient[found > 0.0], 0.0, atol=1e-12)
    if penalty < 1.0:
        assert 0 < np.count_nonzero(found == 0.0) < 5, "bounds bind, or nothing is shown"


def test_where_no_block_can_be_predicted_the_pull_is_the_strongest():
    """Ten decisions in ten sessions: all outcomes overlap, so no penalty is better than another."""
    proposals, outcomes = told(3, decisions=10)
    found = weights("stacked", np.zeros((3, 0)), proposals, outcomes, every=1)
    ranked = [ridge(*centred(proposals, outcomes), penalty) for penalty in (10.0, 0.01)]
    np.testing.assert_allclose(found, ranked[0] / ranked[0].sum())
    assert not np.allclose(found, ranked[1] / ranked[1].sum(), atol=0.05)


def centred(proposals: np.ndarray, outcomes: np.ndarray) -> list[np.ndarray]:
    """Both less their mean over the sets."""
    return [one - one.mean(axis=-1, keepdims=True) for one in (proposals, outcomes)]


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


def test_outcomes_that_overlap_do_not_choose_the_penalty(monkeypatch: pytest.MonkeyPatch):
    """Without a purge neighbours betray a block, and members that were lucky there look right."""

    def unpurged(sessions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        every = np.arange(len(sessions))
        return [(block, np.setdiff1d(every, block)) for block in np.array_split(every, 5)]

    def uneven() -> float:
        found = [COMBINERS.get("stacked")(slow_noise(seed)) for seed in range(60)]
        return float(np.mean([((one - 0.05) ** 2).sum() * 20 for one in found]))

    purged = uneven()
    monkeypatch.setattr("ml.ensemble.combiner.purged_folds", unpurged)
    assert purged < 0.7 < 0.9 < uneven()


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda one: one().name)
class TestNoLookAhead:
    """What a selection reads lies before it, and what members said is what they said then."""

    def test_returns_after_the_decision_change_nothing(self, learner: type[Ensemble]):
        view = advised(200)
        changed = dataclasses.replace(view, returns=view.returns.copy())
        changed.returns[:, 150:] = -5.0
        seen = learner().select(view.rows(0, 150))
        again = learner().select(changed.rows(0, 150))
        np.testing.assert_array_equal(seen.shares, again.shares)
        changed.returns[:, 149] = np.linspace(-5.0, 5.0, len(changed.returns))
        late = learner().select(changed.rows(0, 150))  # the last close's own return is known
        assert not np.array_equal(seen.shares, late.shares)

    def test_a_proposal_earns_the_session_after_its_own(self, learner: type[Ensemble]):
        """A member that holds the best set of the session just over has earned nothing by that."""
        view = advised(400)
        hindsight = np.eye(view.grid.size)[view.returns.argmax(axis=0)]
        for shift, least, most in ((0, 0.0, 0.6), (-1, 0.9, 1.0)):
            given = {**view.proposals, "experts": np.roll(hindsight, shift, axis=0)}
            found = learner().select(dataclasses.replace(view, proposals=given)).shares
            if learner is not StackedEnsemble:  # which looks thirty sessions ahead
                assert least <= found[0] <= most

    def test_disagreement_is_that_of_the_last_proposals(self, learner: type[Ensemble]):
        view = advised(200)
        found = learner().select(view)
        last = np.stack([view.proposals[name][-1] for name in MEMBERS])
        assert found.disagreement == pytest.approx(float(disagreement(last, found.shares)))
        assert found.spread == pytest.approx(spread(last, found.shares)[:-1])
        one = {name: view.proposals["experts"] for name in MEMBERS}
        alike = learner().select(dataclasses.replace(view, proposals=one))
        assert alike.disagreement == pytest.approx(0.0, abs=1e-12)


def test_the_standing_member_is_one_of_the_advisers():
    with pytest.raises(UnknownNameError, match=r"'regime_tabel' is no adviser of ensemble_earned"):
        EarnedEnsemble(standing="regime_tabel")
    with pytest.raises(UnknownNameError, match=r"'regime_table' .*known: experts, online"):
        EarnedEnsemble(advisers=("experts", "online"))
    view = advised(300)  # a year is over, but nothing in it is clear
    found = EarnedEnsemble(advisers=("experts", "online"), standing="online").select(view)
    assert found.shares.tolist() == [0.0, 1.0]


def advised(sessions: int):
    """A view of noise, with random proposals of every member."""
    grid, random = small_grid(), np.random.default_rng(0)
    returns = planted_returns(grid, spells(sessions), edge=0.0)
    proposals = {name: random.dirichlet(np.full(grid.size, 0.2), sessions) for name in MEMBERS}
    return dataclasses.replace(view_of(grid, returns), proposals=proposals)


def test_members_proposals_are_those_that_they_decided_at_each_close():
    """Read late and all at once, they are what each decided by itself with nothing later known."""
    history = planted_history(270)
    policy = PolicyConfig(learner="ensemble", regime_model="rules", train=240, refit=20)
    memo = Memo()
    decide(269, history, policy, memo=memo)
    for name in ("experts", "regime_table"):
        made, own = memo.proposals[policy.with_learner(name), "swing_0"], Memo()
        for t in range(240, 270):
            then = decide(t, history.until(t), policy.with_learner(name), memo=own)["swing_0"]
            assert made.rows[t].tobytes() == then.weights.tobytes()
