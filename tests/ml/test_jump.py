"""The jump model: dynamic programming by brute force, costs by hand, planted states."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.seeds import generator
from ml.market_state import STATE_COLUMNS
from ml.regime_track import state_accuracy
from ml.regimes.jump import JumpModel, cheapest_path, forward_cost, losses, penalty_of, settle
from tests.ml.test_mixture import planted

ROWS, STATES = planted(seed=3)
FIT = JumpModel().fit(ROWS, STATE_COLUMNS, previous=None, seed=0)


def cost_of(loss: np.ndarray, path: tuple[int, ...], penalty: float) -> float:
    jumps = sum(a != b for a, b in pairwise(path))
    return float(sum(loss[t, s] for t, s in enumerate(path)) + penalty * jumps)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), states=st.integers(1, 3), penalty=st.floats(0.0, 3.0))
def test_the_cheapest_path_is_that_of_all_paths(seed: int, states: int, penalty: float) -> None:
    loss = generator(seed, "brute force").random((6, states))
    every = {path: cost_of(loss, path, penalty) for path in product(range(states), repeat=6)}
    path, cost = cheapest_path(loss, penalty)
    assert cost == pytest.approx(min(every.values()))
    assert cost_of(loss, tuple(path), penalty) == pytest.approx(cost)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0.0, 3.0))
def test_forward_costs_are_those_of_the_cheapest_path_that_ends_there(
    seed: int, penalty: float
) -> None:
    loss = generator(seed, "ends").random((5, 3))
    ends = [
        min(cost_of(loss, (*path, last), penalty) for path in product(range(3), repeat=4))
        for last in range(3)
    ]
    found = forward_cost(loss, penalty)[-1]
    np.testing.assert_allclose(found, np.array(ends) - min(ends), atol=1e-12)


def test_forward_cost_by_hand() -> None:
    loss = np.array([[0.0, 3.0], [2.0, 0.0]])
    np.testing.assert_allclose(forward_cost(loss, 1.0), [[0.0, 3.0], [1.0, 0.0]])


def test_losses_by_hand() -> None:
    rows = np.array([[1.0, 2.0], [np.nan, 0.0]])
    found = losses(rows, np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([1.0, 0.5]))
    np.testing.assert_allclose(found, [[0.5 + 1.0, 1.0], [0.0, 0.0]])


def test_turns_never_raise_the_cost() -> None:
    label = generator(4, "first").integers(0, 3, len(ROWS))
    reached = [
        settle(ROWS, label, states=3, evidence=np.ones(5), penalty=4.9, rounds=rounds)[2]
        for rounds in range(1, 12)
    ]
    assert (np.diff(reached) <= 1e-9).all()


def test_finds_the_planted_states() -> None:
    later, truth = planted(seed=4)
    assert len(FIT.centres) == 3
    assert state_accuracy(FIT.filter(later).argmax(axis=1), truth) > 0.93


def test_a_dearer_jump_is_made_less_often() -> None:
    def switches(stay: float) -> int:
        noisy = ROWS + 2.0 * generator(6, "noise").standard_normal(ROWS.shape)
        fit = JumpModel(stay=stay).fit(noisy, STATE_COLUMNS, previous=None, seed=0)
        return int(np.count_nonzero(np.diff(fit.filter(noisy).argmax(axis=1))))

    assert penalty_of(3, 0.99) > penalty_of(3, 0.7)
    assert switches(0.99) < switches(0.7)


def test_units_of_a_column_change_nothing() -> None:
    scaled = ROWS * np.array([10.0, 0.01, 1.0, 3.0, 7.0]) + 5.0
    other = JumpModel().fit(scaled, STATE_COLUMNS, previous=None, seed=0)
    np.testing.assert_allclose(other.filter(scaled), FIT.filter(ROWS), atol=1e-6)


def test_a_row_with_a_nan_moves_no_cost_but_the_price_of_a_jump() -> None:
    holed = ROWS.copy()
    holed[500, 1] = np.nan
    found = FIT.filter(holed)
    np.testing.assert_array_equal(found[:500], FIT.filter(ROWS)[:500])
    assert found[500].argmax() == found[499].argmax()
    assert found[500].max() <= found[499].max() + 1e-12
