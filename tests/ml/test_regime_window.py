"""What regime models share: columns that are read, and the order of states."""

import numpy as np

from ml.regime_window import NumberPrior, kept_order


def test_the_prior_of_the_number_by_hand() -> None:
    prior = NumberPrior(expected=3, away=20.0, change=10.0)
    assert prior.worth(3, 100.0, 8.0, None) == 100.0 - 24.0
    assert prior.worth(2, 100.0, 8.0, None) == 100.0 - 16.0 - 20.0
    assert prior.worth(5, 100.0, 8.0, 5) == 100.0 - 40.0 - 40.0
    assert prior.worth(4, 100.0, 8.0, 3) == 100.0 - 32.0 - 20.0 - 10.0


def held(*states: int, of: int) -> np.ndarray:
    return np.eye(of)[list(states)]


def test_states_keep_their_index() -> None:
    before, now = held(0, 0, 1, 1, 2, 2, of=3), held(2, 2, 0, 0, 1, 1, of=3)
    assert kept_order(before, now) == [2, 0, 1]


def test_a_new_state_comes_last() -> None:
    before, now = held(0, 0, 0, 1, 1, of=2), held(1, 1, 2, 0, 0, of=3)
    assert kept_order(before, now) == [1, 0, 2]


def test_where_a_state_is_given_up_the_others_move_up() -> None:
    before, now = held(0, 1, 1, 2, 2, of=3), held(1, 1, 1, 0, 0, of=2)
    assert kept_order(before, now) == [1, 0]
