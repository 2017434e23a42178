"""A teacher's walk is the decision path's, and its student is judged where it was not fitted."""

import numpy as np
import pytest

from backtest.errors import NotFittedError
from ml.decision import Memo, decide
from ml.distill import distil, rows_of, size_of
from ml.ensemble.disagreement import disagreement
from ml.policy import PolicyConfig
from ml.teaching import comparison, distilled, taught
from tests.ml.histories import planted_history

TRAIN = 240
POLICY = PolicyConfig(learner="ensemble", regime_model="rules", train=TRAIN, refit=20)


@pytest.fixture(scope="module")
def walked():
    history = planted_history(280, strategies=2)
    told: list[tuple[int, int]] = []
    return history, taught(history, POLICY, progress=lambda *at: told.append(at)), told


def test_proposals_and_members_are_those_of_each_close(walked):
    history, found, told = walked
    assert told == [(k, 40) for k in range(1, 41)]
    memo = Memo()
    for t in range(TRAIN, 280):
        then = decide(t, history.until(t), POLICY, memo=memo)
        for name, one in found.items():
            assert one.proposals[t].tobytes() == then[name].weights.tobytes()
            shares = memo.selections[POLICY, name][1].shares
            assert one.shares[t].tolist() == shares.tolist()
    for one in found.values():
        assert one.advisers == ("experts", "neural", "online", "regime_table")
        assert not one.proposals[:TRAIN].any()
        assert not one.shares[:TRAIN].any()


def test_disagreement_is_of_the_proposals_of_the_close(walked):
    history, found, _ = walked
    memo = Memo()
    for t in range(TRAIN, 280):
        decide(t, history, POLICY, memo=memo)
    for name, one in found.items():
        last = np.stack(
            [memo.proposals[POLICY.with_learner(n), name].rows[279] for n in one.advisers]
        )
        assert one.disagreement[-1] == pytest.approx(float(disagreement(last, one.shares[-1])))
        table = one.members(history.dates)
        assert table.height == 40
        assert table["disagreement"][-1] == one.disagreement[-1]
        assert table.select(*one.advisers, "cash").sum_horizontal().to_list() == pytest.approx(
            [1.0] * 40
        )


def test_a_learner_without_members_has_none():
    history = planted_history(250)
    one = taught(history, POLICY.with_learner("static"))["swing_0"]
    assert one.advisers == ()
    assert one.members(history.dates).columns == ["date", "cash", "disagreement"]
    assert one.bytes == 8 * (2 * history.strategies["swing_0"].grid.size + 1)  # scores, shares


def proposals(sessions: int, *, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State, returns ``[param, time]`` and a teacher that follows the state from ``start`` on."""
    random = np.random.default_rng(0)
    state = random.normal(size=(sessions, 2))
    teacher = np.where(state[:, :1] > 0.0, [0.6, 0.2, 0.1], [0.1, 0.2, 0.6])
    teacher[:start] = 0.0
    return state, random.normal(0.0, 0.01, (3, sessions)), teacher


def test_the_student_is_fitted_on_the_first_part_and_judged_on_the_rest():
    state, returns, teacher = proposals(501, start=100)
    found = distilled(state, returns, teacher, seed=3, cost=0.0, kept_back=0.25)
    assert found.fitted == (100, 400)
    assert found.agreement.sessions == 100  # what followed the last close is not known
    own = distil(rows_of(state)[100:400], teacher[100:400], seed=3)
    for name, array in own.arrays().items():
        assert found.student.arrays()[name].tobytes() == array.tobytes()
    earned = (teacher[400:500] * returns[:, 401:].T).sum(axis=1)
    assert found.agreement.teacher_sharpe == pytest.approx(earned.mean() / earned.std())
    assert found.agreement.heaviest > 0.9
    dates = np.datetime64("2020-01-01") + np.arange(501)
    streams = found.streams(dates)
    assert streams["date"].to_numpy().astype("datetime64[D]").tolist() == dates[401:].tolist()
    assert streams["teacher"].to_list() == pytest.approx(earned.tolist())
    student = streams["student"].to_numpy()
    assert student.mean() / student.std() == pytest.approx(found.agreement.student_sharpe)


def test_sizes_are_compared():
    state, returns, teacher = proposals(501, start=100)
    found = distilled(state, returns, teacher, seed=3, cost=0.0)
    told = comparison(found, teacher=1_000_000)
    assert told["bytes"] == size_of(found.student)
    assert told["compression"] == pytest.approx(1_000_000 / told["bytes"])


@pytest.mark.parametrize("start", [330, 501])
def test_too_few_proposals_are_one_line(start: int):
    state, returns, teacher = proposals(501, start=start)
    with pytest.raises(NotFittedError, match="E_TOO_SHORT"):
        distilled(state, returns, teacher, seed=0, cost=0.0)
