"""A student that learns a teacher's mixes, and how far it falls short."""

import numpy as np
import pytest

from backtest.errors import NotFittedError
from ml.distill import agreement, distil, rows_of
from ml.train import TrainConfig

CONFIG = TrainConfig(epochs=60, batch=64, rate=0.01, patience=60)
SESSIONS, SETS = 700, 8


def market(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State, a teacher that follows its sign, and returns that reward the teacher."""
    random = np.random.default_rng(seed)
    trend = np.sign(np.sin(np.arange(SESSIONS) / 25.0))
    noise = random.normal(size=(2, SESSIONS))
    state = np.column_stack([trend + 0.3 * noise[0], noise[1]])
    up = np.linspace(0.3, 0.0, SETS)
    teacher = np.where(trend[:, None] > 0, up, up[::-1])
    teacher = 0.9 * teacher / teacher.sum(axis=1, keepdims=True)
    returns = 0.01 * random.normal(size=(SESSIONS, SETS)) + 0.01 * teacher
    return state, teacher, returns


STATE, TEACHER, RETURNS = market()
ROWS = rows_of(STATE)
STUDENT = distil(ROWS[:500], TEACHER[:500], seed=1, config=CONFIG)


def test_it_agrees_with_its_teacher_where_it_was_not_taught():
    found = agreement(STUDENT, ROWS[500:], TEACHER[500:], RETURNS[500:])
    assert found.sessions == 200
    assert found.rank > 0.8
    assert found.heaviest > 0.85
    assert found.bytes < 8_000
    assert 0.0 < found.seconds < 1.0


def test_a_student_that_is_its_teacher_has_no_regret():
    own = STUDENT.mixes(ROWS[500:])
    found = agreement(STUDENT, ROWS[500:], own, RETURNS[500:])
    assert found.rank == pytest.approx(1.0)
    assert found.heaviest == 1.0
    assert found.regret == 0.0


def test_a_teacher_that_is_right_leaves_a_regret_to_one_that_is_not():
    wrong = distil(ROWS[:500], TEACHER[:500, ::-1], seed=1, config=CONFIG)
    found = agreement(wrong, ROWS[500:], TEACHER[500:], RETURNS[500:])
    assert found.regret > 0.0
    assert found.rank < 0.0


def test_the_same_seed_gives_the_same_bytes():
    again = distil(ROWS[:500], TEACHER[:500], seed=1, config=CONFIG)
    assert again.to_bytes() == STUDENT.to_bytes()


def test_weights_leave_room_for_cash():
    assert STUDENT.mixes(ROWS).sum(axis=1).max() <= 1.0 + 1e-6
    assert STUDENT.mixes(ROWS[500:]).sum(axis=1).mean() == pytest.approx(0.9, abs=0.05)


def test_rows_look_back_only_and_skip_what_is_unknown():
    holed = STATE.copy()
    holed[100:110, 0] = np.nan
    found = rows_of(holed)
    np.testing.assert_array_equal(found[:100], ROWS[:100])
    assert np.isfinite(found[100:110, 2:]).all()
    np.testing.assert_array_equal(rows_of(STATE[:300]), ROWS[:300])


def test_too_few_proposals_are_one_line():
    with pytest.raises(NotFittedError, match=r"E_TOO_SHORT: 100 proposals where .* needs 126"):
        distil(ROWS[:100], TEACHER[:100], seed=0, config=CONFIG)
