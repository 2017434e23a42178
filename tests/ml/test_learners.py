"""Learners against numbers worked out by hand and against slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.learner import heaviest
from ml.learners.experts import Experts
from ml.learners.regime_table import RegimeTable
from ml.learners.static import Static
from ml.neighbourhood import neighbour_average
from ml.score_table import ScoreTable
from tests.ml.histories import planted_returns, small_grid, spells, view_of

# Two sets of different direction: neither is the other's neighbour.
PAIR = small_grid(periods=(14,), widths=(20.0,))
PLAIN = ScoreTable(shrinkage=0.0, smoothing=0.0)


def alternating(mean: float, deviation: float, sessions: int) -> np.ndarray:
    """Returns with exactly this mean and (n) deviation over an even number of sessions."""
    return mean + deviation * np.where(np.arange(sessions) % 2 == 0, 1.0, -1.0)


def padded(*rows: np.ndarray) -> np.ndarray:
    """Returns with the first session empty, as a sweep gives them; ``[param, time]``."""
    return np.stack([np.concatenate([[0.0], row]) for row in rows])


def test_the_heaviest_keep_the_invested_sum():
    weights = np.array([0.1, 0.3, 0.05, 0.3])
    kept = heaviest(weights, 2)
    assert kept.tolist() == pytest.approx([0.0, 0.375, 0.0, 0.375])
    assert heaviest(weights, 4) is weights


def test_equal_weights_fall_to_the_earlier_set():
    assert np.flatnonzero(heaviest(np.full(6, 0.1), 2)).tolist() == [0, 1]


def test_scores_are_sharpe_per_session():
    returns = padded(alternating(0.002, 0.01, 60), alternating(-0.001, 0.01, 60))
    selection = PLAIN.select(view_of(PAIR, returns))
    assert selection.scores == pytest.approx(np.array([[0.2, -0.1]]))
    assert selection.sessions.tolist() == [60.0]


def test_softmax_shares_with_cash():
    returns = padded(alternating(0.0002, 0.01, 60), alternating(-0.0002, 0.01, 60))
    table = ScoreTable(temperature=0.02, shrinkage=0.0, smoothing=0.0)
    shares = table.select(view_of(PAIR, returns)).shares
    total = math.exp(1.0) + math.exp(-1.0) + 1.0  # scores .02 and -.02 over .02, and cash
    assert shares == pytest.approx(np.array([[math.exp(1.0), math.exp(-1.0)]]) / total)


def test_a_return_belongs_to_the_state_filtered_the_day_before():
    """Set 0 earns on the sessions after state 0; attributed to the same day it would be mixed."""
    sessions = 81
    states = np.arange(sessions) % 2
    probabilities = np.eye(2)[states]
    gain = np.zeros(sessions)
    noise = np.where(np.arange(sessions - 1) % 4 < 2, 0.001, -0.001)
    gain[1:] = np.where(states[:-1] == 0, 0.01, -0.01) + noise
    selection = PLAIN.select(view_of(PAIR, np.stack([gain, -gain]), probabilities))
    assert selection.scores == pytest.approx(np.array([[10.0, -10.0], [-10.0, 10.0]]))
    assert selection.sessions.tolist() == [40.0, 40.0]


def test_scores_shrink_to_the_overall_score():
    states = np.repeat([0, 1], 40)
    probabilities = np.eye(2)[np.append(states, 1)]
    first = np.concatenate([alternating(0.002, 0.01, 40), alternating(-0.002, 0.01, 40)])
    returns = padded(first, -first)
    own = PLAIN.select(view_of(PAIR, returns, probabilities)).scores
    assert own == pytest.approx(np.array([[0.2, -0.2], [-0.2, 0.2]]))
    # 40 sessions each, shrinkage 60: trust .4; the overall mean is 0
    halfway = ScoreTable(shrinkage=60.0, smoothing=0.0)
    assert halfway.select(view_of(PAIR, returns, probabilities)).scores == pytest.approx(0.4 * own)


def test_soft_probabilities_weigh_returns():
    probabilities = np.tile([0.75, 0.25], (61, 1))
    returns = padded(alternating(0.002, 0.01, 60), alternating(0.001, 0.01, 60))
    selection = PLAIN.select(view_of(PAIR, returns, probabilities))
    assert selection.sessions == pytest.approx([45.0, 15.0])
    assert selection.scores == pytest.approx(np.array([[0.2, 0.1], [0.2, 0.1]]))


def test_neighbours_are_one_step_away_in_one_number():
    grid = small_grid(periods=(5, 14, 28), widths=(10.0,))
    matrix = neighbour_average(grid)
    assert [row["period"] for row in grid.rows()] == [5, 14, 28, 5, 14, 28]
    expected = [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]
    assert matrix[:3, :3].tolist() == expected
    assert matrix[3:, 3:].tolist() == expected
    assert not matrix[:3, 3:].any()  # another direction is no neighbour


def test_a_set_without_neighbours_is_its_own():
    assert neighbour_average(PAIR).tolist() == np.eye(2).tolist()


def test_smoothing_prefers_a_plateau_to_a_peak():
    grid = small_grid(periods=(3, 5, 8, 14, 20, 28), widths=(10.0,)).take(np.arange(6))
    means = [0.0, 0.0012, 0.001, 0.0012, -0.002, 0.0016]
    returns = padded(*(alternating(m, 0.01, 60) for m in means))
    alone = ScoreTable(shrinkage=0.0, smoothing=0.0).select(view_of(grid, returns)).scores[0]
    smooth = ScoreTable(shrinkage=0.0, smoothing=0.5).select(view_of(grid, returns)).scores[0]
    assert int(alone.argmax()) == 5
    assert int(smooth.argmax()) == 2
    assert smooth[2] == pytest.approx(0.5 * 0.1 + 0.5 * 0.12)


def test_a_set_with_few_active_sessions_gets_nothing():
    rare = np.zeros(100)
    rare[:19] = 0.05 + alternating(0.0, 0.001, 19)
    returns = padded(rare, alternating(0.001, 0.01, 100))
    selection = PLAIN.select(view_of(PAIR, returns))
    assert np.isneginf(selection.scores[0, 0])
    assert selection.shares[0, 0] == 0.0 < selection.shares[0, 1]
    returns[0, 20] = 0.05
    assert np.isfinite(PLAIN.select(view_of(PAIR, returns)).scores).all()


def test_nothing_eligible_is_all_cash():
    selection = PLAIN.select(view_of(PAIR, np.zeros((2, 100))))
    assert selection.shares.tolist() == [[0.0, 0.0]]
    assert not PLAIN.weigh(selection, view_of(PAIR, np.zeros((2, 100)))).any()


def test_cash_wins_where_every_set_loses():
    returns = padded(alternating(-0.002, 0.01, 60), alternating(-0.003, 0.01, 60))
    shares = ScoreTable(temperature=0.02, smoothing=0.0).select(view_of(PAIR, returns)).shares
    assert shares.sum() < 0.001


def test_static_is_the_table_with_one_regime():
    grid, states = small_grid(), spells(300)
    returns = planted_returns(grid, states)
    soft = np.random.default_rng(0).dirichlet([1.0, 1.0], 300)
    table = ScoreTable()
    static, blind = Static(table), view_of(grid, returns)
    seen = view_of(grid, returns, soft)
    weights = static.weigh(static.select(seen), seen)
    twin = RegimeTable(table)
    assert np.array_equal(weights, twin.weigh(twin.select(blind), blind))


def test_the_table_finds_the_planted_sets_and_static_cannot():
    grid, states = small_grid(), spells(600)
    returns = planted_returns(grid, states)
    momentum = grid["direction"] == "momentum"
    table, static, right, blind = RegimeTable(), Static(), [], []
    for today in (0, 1):
        probabilities = np.eye(2)[states]
        probabilities[-1] = np.eye(2)[today]
        view = view_of(grid, returns, probabilities)
        weights = table.weigh(table.select(view), view)
        right.append(weights[momentum if today == 0 else ~momentum].sum())
        blind.append(static.weigh(static.select(view), view))
    assert min(right) > 0.95
    assert np.array_equal(*blind)


def slow_fixed_share(returns: np.ndarray, rate: float, share: float, half_life: float):
    """Fixed share in plain Python, cash last."""
    sets, sessions = returns.shape
    decay = 0.5 ** (1.0 / half_life)
    weights, variance = [1.0 / (sets + 1)] * (sets + 1), [0.0] * sets
    for t in range(sessions):
        for p in range(sets):
            r = float(returns[p, t])
            if variance[p] > 0.0:
                gain = max(-6.0, min(6.0, r / math.sqrt(variance[p])))
                weights[p] *= math.exp(rate * gain)
                variance[p] = decay * variance[p] + (1.0 - decay) * r * r
            elif r != 0.0:
                variance[p] = r * r
        total = sum(weights)
        weights = [(1.0 - share) * w / total + share / (sets + 1) for w in weights]
    return weights


def test_experts_against_the_slow_twin():
    grid = small_grid()
    returns = planted_returns(grid, spells(150))
    learner = Experts()
    view = view_of(grid, returns)
    slow = slow_fixed_share(returns, learner.rate, learner.share, learner.half_life)
    assert learner.weigh(learner.select(view), view) == pytest.approx(slow[:-1], rel=1e-12)


def test_experts_by_hand():
    # Variance becomes .0001 on the first session; on the second set 0 gains one deviation.
    returns = np.array([[0.01, 0.01], [0.01, -0.01]])
    up, down = math.exp(0.1), math.exp(-0.1)
    view = view_of(PAIR, returns)
    weights = Experts(share=0.0).weigh(Experts(share=0.0).select(view), view)
    assert weights == pytest.approx(np.array([up, down]) / (up + down + 1.0))


def test_experts_go_on_from_the_selection():
    grid = small_grid()
    returns = planted_returns(grid, spells(200))
    learner = Experts()
    whole = view_of(grid, returns)
    early = learner.select(view_of(grid, returns[:, :190]))
    late = learner.weigh(learner.select(whole), whole)
    assert learner.weigh(early, whole) == pytest.approx(late, rel=1e-12)
    # a rolling window that has moved on between selection and today
    rolled = learner.select(view_of(grid, returns[:, 10:190], first=10))
    today = view_of(grid, returns[:, 20:], first=20)
    expected = learner.select(view_of(grid, returns[:, 10:], first=10))
    assert learner.weigh(rolled, today) == pytest.approx(
        heaviest(expected.known.weights[:-1], 16), rel=1e-12
    )


def test_experts_follow_a_switch():
    grid, states = small_grid(), np.repeat([0, 1], 200)
    returns = planted_returns(grid, states)
    momentum = grid["direction"] == "momentum"
    learner = Experts()
    before, after = view_of(grid, returns[:, :200]), view_of(grid, returns)
    first = learner.weigh(learner.select(before), before)
    second = learner.weigh(learner.select(after), after)
    assert first[momentum].sum() > 0.8
    assert second[momentum].sum() < 0.2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10.0))
def test_the_unit_of_returns_does_not_matter(seed: int, scale: float):
    grid = small_grid()
    returns = planted_returns(grid, spells(80), seed=seed)
    for learner in (RegimeTable(), Static(), Experts()):
        small, large = view_of(grid, returns), view_of(grid, returns * scale)
        assert learner.weigh(learner.select(small), small) == pytest.approx(
            learner.weigh(learner.select(large), large), rel=1e-6
        )
