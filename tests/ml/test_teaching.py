"""A teacher's walk is the decision path's, and its student is judged where it was not fitted."""

import dataclasses

import numpy as np
import pytest

from backtest.errors import NotFittedError
from ml.decision import Memo, decide
from ml.distill import distil, earned, held, rows_of, size_of
from ml.ensemble.disagreement import disagreement
from ml.learner import Market
from ml.learners.student import Student as Pupil
from ml.policy import PolicyConfig
from ml.teaching import comparison, distilled, taught
from ml.train import TrainConfig
from tests.ml.histories import days, planted_history, small_grid, view_of

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
    trend = np.sign(np.sin(np.arange(sessions) / 40.0))
    state = np.column_stack([trend, random.normal(size=sessions)])
    teacher = np.where(trend[:, None] > 0.0, [0.6, 0.2, 0.1], [0.1, 0.2, 0.6])
    teacher[:start] = 0.0
    return state, random.normal(0.0, 0.01, (3, sessions)), teacher


def test_each_student_is_judged_until_the_next_and_fitted_on_what_was_before():
    state, returns, teacher = proposals(501, start=100)
    found = distilled(state, returns, teacher, seed=3, cost=0.001)
    assert found.fits == (252, 315, 378, 441)  # multiples of 63 with 126 proposals before
    assert found.agreement.sessions == 500 - 252  # what followed the last close is not known
    rows, said = rows_of(state), []
    for stop in found.fits:
        own = distil(rows[100:stop], teacher[100:stop], seed=3)
        said.append(held(own, rows[stop : min(stop + 63, 500)]))
    for name, array in own.arrays().items():
        assert found.student.arrays()[name].tobytes() == array.tobytes()
    net = earned(np.concatenate(said), returns[:, 253:].T, 0.001)
    assert found.earned["student"] == pytest.approx(net)
    assert found.agreement.student_sharpe == pytest.approx(net.mean() / net.std())
    assert found.agreement.heaviest > 0.6
    dates = np.datetime64("2020-01-01") + np.arange(501)
    streams = found.streams(dates)
    assert streams["date"].to_numpy().astype("datetime64[D]").tolist() == dates[253:].tolist()
    assert streams["student"].to_list() == found.earned["student"].tolist()


def test_a_student_forgets_what_its_teacher_said_long_ago():
    state, returns, teacher = proposals(900, start=0)
    grid = small_grid().take(np.arange(3))
    market = Market(days(900), state, ("trend", "noise"), np.zeros_like(returns))
    known = dataclasses.replace(view_of(grid, returns), market=market)
    taught = []
    for until in (0, 126, 127):  # fitted on 126 to 881
        other = teacher.copy()
        other[:until] = teacher[:until, ::-1]
        view = dataclasses.replace(known, proposals={"ensemble": other})
        taught.append(Pupil().select(view).network.arrays()["0.weight"].tobytes())
    assert taught[0] == taught[1] != taught[2]


def test_it_is_judged_as_the_learner_would_propose():
    """The students' mixes are those of the learner, from its next selection after each fit on."""
    history = planted_history(420)
    policy = POLICY.with_learner("student")
    memo = Memo()
    decide(419, history, policy, memo=memo)
    teacher = memo.proposals[policy.with_learner("ensemble"), "swing_0"].rows[:420]
    own = memo.proposals[policy, "swing_0"].rows[:420]
    one = history.strategies["swing_0"]
    found = distilled(history.state, one.returns, teacher, seed=0, cost=0.0)
    assert found.fits == (378,)
    net = earned(own[380:419], one.returns[:, 381:].T, 0.0)
    assert found.earned["student"][2:] == pytest.approx(net, abs=1e-7)


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


def test_in_a_rolling_window_a_student_outlasts_a_selection(monkeypatch: pytest.MonkeyPatch):
    """Fits are of sessions since a multiple of ``refit``; with and without ``before`` alike."""
    grid, random, length, width = small_grid(), np.random.default_rng(3), 520, 200
    state = random.normal(size=(length, 4))
    market = Market(days(length), state, tuple("abcd"), np.zeros((grid.size, length)))
    proposals = {"ensemble": random.dirichlet(np.full(grid.size, 0.2), length)}
    view = dataclasses.replace(
        view_of(grid, np.zeros((grid.size, length))), market=market, proposals=proposals
    )
    fits: list[bytes] = []

    def counted(rows: np.ndarray, teacher: np.ndarray, *, seed: int):
        fits.append(teacher.tobytes())
        return distil(rows, teacher, seed=seed, config=TrainConfig(epochs=1, batch=64, rate=0.01))

    monkeypatch.setattr("ml.distill.distil", counted)
    pupil, before, firsts = Pupil(least=80), None, set()
    for stop in range(320, 320 + 126, 7):
        seen = view.rows(stop - width, stop)
        before = pupil.select(seen, before=before)
        firsts.add(before.fitted)
        assert before.network is not None
        assert before.fitted[0] == -(-seen.first // 63) * 63
    assert len(fits) == len(set(fits)) == len(firsts) == 4  # a step or a refit: two in 63 sessions
    anew = pupil.select(seen)
    assert anew.fitted == before.fitted
    assert anew.scores.tobytes() == before.scores.tobytes()
