"""A student that learns a teacher's mixes, and how far it falls short."""

from pathlib import Path

import numpy as np
import pytest

from backtest.errors import NotFittedError
from ml.distill import Student, agreement, distil, held, rows_of, size_of
from ml.online.model import OnlineModel
from ml.score_table import TableSelection
from ml.train import TrainConfig
from ml.weights import CONFIG as CONFIG_FILE
from ml.weights import WEIGHTS, read_weights, write_weights
from tests.ml.histories import small_grid

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
SAID = held(STUDENT, ROWS[500:])


def test_it_agrees_with_its_teacher_where_it_was_not_taught():
    found = agreement(TEACHER[500:], SAID, RETURNS[500:])
    assert found.sessions == 200
    assert found.rank > 0.8
    assert found.heaviest > 0.85
    assert size_of(STUDENT) < 8_000
    assert found.regret == found.teacher_sharpe - found.student_sharpe
    assert found.regret < found.regret_bound < 0.3


def test_a_student_that_is_its_teacher_has_no_regret():
    found = agreement(SAID, SAID, RETURNS[500:])
    assert found.rank == pytest.approx(1.0)
    assert found.heaviest == 1.0
    assert found.overlap == pytest.approx(1.0)
    assert found.regret == found.regret_bound == 0.0


def test_a_teacher_that_is_right_leaves_a_regret_to_one_that_is_not():
    wrong = distil(ROWS[:500], TEACHER[:500, ::-1], seed=1, config=CONFIG)
    found = agreement(TEACHER[500:], held(wrong, ROWS[500:]), RETURNS[500:])
    assert found.regret_bound > found.regret > 0.0
    assert found.rank < 0.0


def test_what_changing_the_mix_costs_counts():
    random = np.random.default_rng(5)
    restless = random.dirichlet(np.full(SETS, 0.1), 200)
    free, paid = (agreement(restless, SAID, RETURNS[500:], cost=cost) for cost in (0.0, 0.001))
    assert paid.teacher_sharpe < free.teacher_sharpe
    net = (restless * RETURNS[500:]).sum(axis=1)
    net[1:] -= 0.001 * np.abs(np.diff(restless, axis=0)).sum(axis=1)
    assert paid.teacher_sharpe == pytest.approx(net.mean() / net.std())


def test_a_teacher_that_held_nothing_leaves_nothing_to_agree_on():
    found = agreement(np.zeros((200, SETS)), SAID, RETURNS[500:])
    assert (found.rank, found.heaviest, found.regret_bound) == (None, None, None)
    assert found.teacher_sharpe == 0.0
    cash = 1.0 - SAID.sum(axis=1)
    assert found.overlap == pytest.approx(cash.mean())


def test_a_student_holds_no_more_sets_than_its_teacher():
    few = held(STUDENT, ROWS[500:], 3)
    assert (np.count_nonzero(few, axis=1) == 3).all()
    assert few.sum(axis=1) == pytest.approx(STUDENT.mixes(ROWS[500:]).sum(axis=1))
    assert (few.argmax(axis=1) == SAID.argmax(axis=1)).all()


def test_the_size_of_what_is_kept():
    table = TableSelection(np.zeros((2, 5)), np.zeros(2), np.zeros((2, 5)))
    assert size_of(table) == 8 * 22
    assert size_of({"a": (table, "four"), "b": [3, None, object()]}) == 8 * 22 + 4
    layers = 6 * 32 + 32 + 32 * (SETS + 1) + SETS + 1  # three averages of two columns
    assert size_of(STUDENT) == 4 * layers + 8 * 2 * 6


GRID = small_grid(periods=(5, 14), widths=(10.0, 20.0))
COLUMNS = ("trend", "noise")


def test_a_student_comes_back_bit_for_bit(tmp_path: Path):
    STUDENT.save(tmp_path, columns=COLUMNS, grid=GRID)
    again = Student.load(tmp_path, columns=COLUMNS, grid=GRID)
    assert again.mixes(ROWS).tobytes() == STUDENT.mixes(ROWS).tobytes()
    again.save(tmp_path / "again", columns=COLUMNS, grid=GRID)
    for name in (WEIGHTS, CONFIG_FILE):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_altered_file_is_refused(tmp_path: Path):
    STUDENT.save(tmp_path, columns=COLUMNS, grid=GRID)
    content = bytearray((tmp_path / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(NotFittedError, match="E_WEIGHTS"):
        Student.load(tmp_path, columns=COLUMNS, grid=GRID)


def test_the_folder_of_another_model_is_refused_with_its_name(tmp_path: Path):
    OnlineModel(GRID, COLUMNS).save(tmp_path / "online")
    with pytest.raises(NotFittedError, match=r"^E_SCHEMA: the folder holds no student, online,"):
        Student.load(tmp_path / "online", columns=COLUMNS, grid=GRID)
    STUDENT.save(tmp_path / "student", columns=COLUMNS, grid=GRID)
    with pytest.raises(NotFittedError, match=r"^E_SCHEMA: .*holds no online model, student,"):
        OnlineModel.load(tmp_path / "student", GRID)
    arrays, told = read_weights(tmp_path / "student")
    del told["model"]
    write_weights(tmp_path / "student", arrays, told)
    with pytest.raises(NotFittedError, match=r"^E_SCHEMA: the folder holds no student, of no name"):
        Student.load(tmp_path / "student", columns=COLUMNS, grid=GRID)


@pytest.mark.parametrize(
    ("columns", "grid", "word"),
    [
        (("trend",), GRID, "2 columns"),
        (("noise", "trend"), GRID, "2 columns"),
        (COLUMNS, small_grid(periods=(5, 14), widths=(10.0, 25.0)), "8 sets"),
    ],
)
def test_another_schema_is_refused(tmp_path: Path, columns: tuple[str, ...], grid, word: str):
    STUDENT.save(tmp_path, columns=COLUMNS, grid=GRID)
    with pytest.raises(NotFittedError, match=f"E_SCHEMA: the student was taught on {word}"):
        Student.load(tmp_path, columns=columns, grid=grid)


def test_the_same_seed_gives_the_same_bytes():
    again = distil(ROWS[:500], TEACHER[:500], seed=1, config=CONFIG)
    for name, array in STUDENT.arrays().items():
        assert again.arrays()[name].tobytes() == array.tobytes()


def test_weights_leave_room_for_cash():
    assert STUDENT.mixes(ROWS).sum(axis=1).max() <= 1.0 + 1e-6
    assert STUDENT.mixes(ROWS[500:]).sum(axis=1).mean() == pytest.approx(0.9, abs=0.05)


def test_rows_look_back_only_and_skip_what_is_unknown():
    holed = STATE.copy()
    holed[100:110, 0] = np.nan
    found = rows_of(holed)
    np.testing.assert_array_equal(found[:100], ROWS[:100])
    assert np.isfinite(found[100:110]).all()
    np.testing.assert_array_equal(rows_of(STATE[:300]), ROWS[:300])


def test_too_few_proposals_are_one_line():
    with pytest.raises(NotFittedError, match=r"E_TOO_SHORT: 100 proposals where .* needs 126"):
        distil(ROWS[:100], TEACHER[:100], seed=0, config=CONFIG)
