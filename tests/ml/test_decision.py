"""The one decision path: what it may read, when it selects, and what it says."""

import dataclasses
import itertools

import numpy as np
import pytest

from backtest.errors import LookaheadError, NotFittedError
from ml.decision import Memo, decide
from ml.export.records import Decision
from ml.history import History, StrategyHistory
from ml.policy import PolicyConfig
from tests.ml.histories import planted_history, small_grid, true_track

POLICY = PolicyConfig(train=150, step=5, refit=60)
SESSIONS = 400


@pytest.fixture(scope="module")
def history() -> History:
    return planted_history(SESSIONS, strategies=2)


@pytest.fixture(scope="module")
def fold(history: History) -> list[dict[str, Decision]]:
    """Every decision from 150 on, with one memo, as a walk-forward makes them."""
    memo = Memo()
    return [decide(i, history, POLICY, memo=memo) for i in range(POLICY.train, SESSIONS)]


def same(one: Decision, other: Decision) -> bool:
    """Equal in every field, weights to the byte."""
    left, right = vars(one).copy(), vars(other).copy()
    return left.pop("weights").tobytes() == right.pop("weights").tobytes() and left == right


@pytest.mark.parametrize("i", [150, 151, 209, 210, 213, 330, 399])
def test_from_scratch_on_a_cut_history_equals_the_fold(history: History, fold: list, i: int):
    alone = decide(i, history.until(i), POLICY)
    assert alone.keys() == fold[i - POLICY.train].keys()
    for name, decision in alone.items():
        assert same(decision, fold[i - POLICY.train][name])


@pytest.mark.parametrize("i", [150, 237, 300])
def test_what_comes_later_changes_nothing(history: History, fold: list, i: int):
    random = np.random.default_rng(7)
    state = history.state.copy()
    state[i + 1 :] = random.normal(5.0, 3.0, state[i + 1 :].shape)
    strategies = {}
    for name, one in history.strategies.items():
        returns = one.returns.copy()
        returns[:, i + 1 :] = random.normal(0.1, 0.2, returns[:, i + 1 :].shape)
        strategies[name] = StrategyHistory(one.grid, returns)
    other = dataclasses.replace(history, state=state, strategies=strategies)
    memo = Memo()
    for t in (POLICY.train, i):
        for name, decision in decide(t, other, POLICY, memo=memo).items():
            assert same(decision, fold[t - POLICY.train][name])


def test_what_comes_before_does_matter(history: History, fold: list):
    returns = history.strategies["swing_0"].returns.copy()
    returns[:, 100:200] *= -1.0
    grid = history.strategies["swing_0"].grid
    other = dataclasses.replace(history, strategies={"swing_0": StrategyHistory(grid, returns)})
    assert not same(decide(300, other, POLICY)["swing_0"], fold[150]["swing_0"])


def test_sets_are_selected_on_schedule_and_weights_move_daily(fold: list):
    for one in fold:
        decision = one["swing_0"]
        since = decision.session - POLICY.train
        assert decision.selected_at == POLICY.train + since - since % 5
        assert decision.refitted_at == POLICY.train + since - since % 60
        scores = fold[decision.selected_at - POLICY.train]["swing_0"].by_regime
        assert decision.by_regime == scores
    within = [fold[k]["swing_0"].weights for k in (61, 62, 63, 64)]
    assert any(not np.array_equal(a, b) for a, b in itertools.pairwise(within))


def test_a_refit_between_selections_selects_anew():
    policy = PolicyConfig(train=150, step=50, refit=60)
    assert [policy.selected_at(i) for i in (150, 199, 200, 209, 210, 249, 250)] == [
        150,
        150,
        200,
        200,
        210,
        210,
        250,
    ]


def test_the_mix_says_what_the_weights_hold(history: History, fold: list):
    grid = history.strategies["swing_0"].grid
    for one in fold[::37]:
        decision = one["swing_0"]
        weights = [member.weight for member in decision.mix]
        assert weights == sorted(weights, reverse=True)
        assert len(weights) == np.count_nonzero(decision.weights) <= 16
        for member in decision.mix:
            place = grid.index_of(member.parameters)
            assert place is not None
            assert decision.weights[place] == member.weight
        assert decision.parameters == decision.mix[0].parameters
        assert 0.0 <= decision.confidence <= 1.0
        assert decision.parameter_confidence.keys() == grid.columns.keys()
        assert all(0.0 < p < 1.0 for p in decision.parameter_confidence.values())
        assert sum(decision.regime.probabilities.values()) == pytest.approx(1.0)


def test_the_planted_sets_are_found(fold: list):
    """The right direction for the state, most of the time, though the states were never told."""
    right = []
    for one in fold[60:]:
        decision = one["swing_0"]
        if decision.parameters is not None:
            bull = (decision.session // 40) % 2 == 0
            right.append((decision.parameters["direction"] == "momentum") == bull)
    assert len(right) > 100
    assert np.mean(right) > 0.85


def test_the_truth_can_stand_in_for_the_regimes(history: History):
    found = decide(399, history, POLICY, regimes=true_track(SESSIONS))["swing_0"]
    assert found.regime.name == "bear volatile heavy"
    assert found.regime.since == str(history.dates[360])
    assert found.by_regime["bull calm thin"].parameters["direction"] == "momentum"
    assert found.by_regime["bear volatile heavy"].parameters["direction"] == "reversion"
    assert sum(row.sessions for row in found.by_regime.values()) == pytest.approx(
        395.0
    )  # selected at 395


def test_states_that_share_a_name_are_one_regime(history: History):
    track = dataclasses.replace(true_track(SESSIONS), names=("bull calm thin", "bull calm thin"))
    found = decide(399, history, POLICY, regimes=track)["swing_0"]
    assert found.regime.probabilities == {"bull calm thin": 1.0}
    assert found.regime.since == str(history.dates[0])
    assert list(found.by_regime) == ["bull calm thin"]
    assert found.by_regime["bull calm thin"].sessions == pytest.approx(395.0)  # selected at 395


def test_a_state_never_seen_hides_no_set(history: History):
    """No session belongs to the third state: its own name has no evidence, the others stand."""
    track = dataclasses.replace(true_track(SESSIONS), names=("bull", "bear", "bull"))
    returns = history.strategies["swing_0"].returns.copy()
    returns[3] = 0.0  # a dead set scores -inf in every state
    grid = small_grid()
    other = dataclasses.replace(history, strategies={"one": StrategyHistory(grid, returns)})
    rows = decide(399, other, POLICY, regimes=track)["one"].by_regime
    assert rows["bull"].parameters is not None
    assert np.isfinite(rows["bull"].score)


def test_a_strategy_that_never_trades_is_cash(history: History):
    grid = small_grid()
    dead = StrategyHistory(grid, np.zeros((grid.size, SESSIONS)))
    other = dataclasses.replace(history, strategies={"dead": dead})
    found = decide(399, other, POLICY)["dead"]
    assert found.mix == ()
    assert found.parameters is None
    assert not found.weights.any()
    assert all(row.parameters is None and row.score is None for row in found.by_regime.values())
    assert found.confidence == 0.5
    assert set(found.parameter_confidence.values()) == {0.5}


@pytest.mark.parametrize("learner", ["static", "experts"])
def test_other_learners_take_the_same_path(history: History, learner: str):
    policy, memo = POLICY.with_learner(learner), Memo()
    whole = decide(303, history, policy, memo=memo)["swing_0"]
    assert same(whole, decide(303, history.until(303), policy)["swing_0"])
    assert list(whole.by_regime) == ["always"]


@pytest.mark.parametrize("learner", ["regime_table", "static", "experts"])
def test_a_rolling_window_reads_only_its_last_sessions(history: History, learner: str):
    policy = PolicyConfig(train=150, window="rolling", learner=learner)
    returns = history.strategies["swing_0"].returns.copy()
    returns[:, :100] = 0.3  # long before any window that ends at 300
    grid = history.strategies["swing_0"].grid
    other = dataclasses.replace(history, strategies={"swing_0": StrategyHistory(grid, returns)})
    one, two = decide(300, history, policy)["swing_0"], decide(300, other, policy)["swing_0"]
    assert one.weights.tobytes() == two.weights.tobytes()
    anchored = PolicyConfig(train=150, learner=learner)
    assert not same(
        decide(300, history, anchored)["swing_0"], decide(300, other, anchored)["swing_0"]
    )


def test_one_memo_serves_learners_but_not_other_regimes(history: History):
    memo = Memo()
    decide(200, history, POLICY, memo=memo)
    decide(200, history, POLICY.with_learner("static"), memo=memo)
    with pytest.raises(ValueError, match="memo belongs"):
        decide(200, history, POLICY, memo=memo, regimes=true_track(SESSIONS))
    with pytest.raises(ValueError, match="memo belongs"):
        decide(200, history, PolicyConfig(train=100), memo=memo)


def test_before_the_first_decision(history: History):
    with pytest.raises(NotFittedError, match=r"E_NOT_FITTED: .*train = 150"):
        decide(149, history, POLICY)


def test_history_refuses_the_future(history: History):
    seen = history.until(200)
    assert seen.sessions == 201
    assert seen.state.shape[0] == seen.strategies["swing_0"].returns.shape[1] == 201
    for ask in (
        lambda: seen.until(201),
        lambda: seen.column("swing_0", 201),
        lambda: decide(201, seen, POLICY),
        lambda: seen.checked(-1),
    ):
        with pytest.raises(LookaheadError, match="E_LOOKAHEAD"):
            ask()
    assert seen.column("swing_0", 200).tolist() == history.column("swing_0", 200).tolist()


def test_the_hash_names_what_defines_a_policy():
    assert POLICY.hash(cost=0.0005) == PolicyConfig(train=150, step=5, refit=60).hash(cost=0.0005)
    others = [
        POLICY.hash(cost=0.001),
        POLICY.with_learner("static").hash(cost=0.0005),
        POLICY.model_copy(update={"temperature": 0.03}).hash(cost=0.0005),
        POLICY.model_copy(update={"refit": 61}).hash(cost=0.0005),
    ]
    assert len({POLICY.hash(cost=0.0005), *others}) == 5
