"""Confidence against numbers worked out by hand, against planted truth, and against noise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.confidence import Calibration, Contrasts, outcomes
from ml.decision import Memo, TruthTrack, decide
from ml.history import History, StrategyHistory
from ml.learner import HORIZON
from ml.market_state import COLUMNS
from ml.policy import PolicyConfig
from ml.robustness.reliability import Said, reliability_frame, reliability_of
from tests.ml.histories import (
    days,
    planted_history,
    planted_returns,
    planted_state,
    small_grid,
    spells,
)

GRID = small_grid(periods=(5, 14), widths=(10.0,))  # reversion 5, 14, momentum 5, 14
EVERYONE = np.ones(GRID.size, dtype=bool)
START = 100


def said_over(returns: np.ndarray, weights: np.ndarray, certainty: float = 0.9) -> np.ndarray:
    """Confidence at every session from START on; ``[time, event]``."""
    learning, sessions = Calibration(GRID, START), returns.shape[1]
    known = np.full(sessions, certainty)
    rows = []
    for i in range(START, sessions):
        one = learning.at(i, returns[:, : i + 1], weights, certainty=known)
        rows.append([one.overall, *one.parameters.values()])
    return np.array(rows)


def held(sessions: int, *weights: float) -> np.ndarray:
    return np.tile(np.array(weights), (sessions, 1))


def test_contrasts_by_hand():
    contrast = Contrasts(GRID)
    assert contrast.names == ("overall", "direction", "period", "width", "smoothing")
    found = contrast.of(np.array([0.5, 0.25, 0.0, 0.0]), EVERYONE)
    assert found[0].tolist() == [0.25, 0.0, -0.25, -0.25]
    # all of the mix is reversion: mean of its two sets minus the mean of both directions
    assert found[1] == pytest.approx([0.25, 0.25, -0.25, -0.25])
    # two thirds 5, one third 14: (2/3 - 1/2) / 2 sets, (1/3 - 1/2) / 2 sets
    assert found[2] == pytest.approx([1 / 12, -1 / 12, 1 / 12, -1 / 12])
    assert not found[3:].any()  # one value only: nothing was chosen


def test_an_ineligible_set_is_in_no_average():
    eligible = np.array([True, True, True, False])
    found = Contrasts(GRID).of(np.array([1.0, 0.0, 0.0, 0.0]), eligible)
    assert found[0] == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.0])
    assert found[1] == pytest.approx([0.25, 0.25, -0.5, 0.0])
    nobody = Contrasts(GRID).of(np.array([1.0, 0.0, 0.0, 0.0]), ~EVERYONE)
    assert not nobody.any()
    cash = Contrasts(GRID).of(np.zeros(4), EVERYONE)
    assert cash[0].tolist() == [-0.25] * 4
    assert not cash[1:].any()


def test_outcomes_by_hand():
    sessions = START + HORIZON + 2
    returns = np.zeros((4, sessions))
    returns[:, 1:START] = 0.001 * np.where(np.arange(START - 1) % 2, 1.0, -1.0)  # eligible
    returns[0, START + HORIZON] = 0.01  # the last session of the first decision's horizon
    returns[1, START + HORIZON + 1] = 0.05  # of the second's
    found = outcomes(GRID, returns, held(sessions - START, 1.0, 0.0, 0.0, 0.0), start=START)
    assert found[0, :3].tolist() == [1.0, 1.0, 1.0]
    assert found[1, :3].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(found[:, 3:]).all()
    assert np.isnan(found[2:]).all()  # their sessions are not over


def test_nothing_known_is_one_half():
    """No outcome, and nothing that the contrast would have earned."""
    returns = np.zeros((4, START + 5))
    returns[:, 1:] = np.where(np.arange(START + 4) % 2, 0.01, -0.01)  # all sets alike
    said = said_over(returns, held(START + 5, 0.5, 0.5, 0.0, 0.0))
    assert said.tolist() == [[0.5] * 5] * 5
    dead = said_over(np.zeros((4, START + 80)), held(START + 80, 0.5, 0.5, 0.0, 0.0))
    assert (dead == 0.5).all()


def test_one_settled_proposal_by_hand():
    """A step of Newton from even odds, worth a thirtieth: the constant's share of it."""
    random = np.random.default_rng(3)
    returns = random.normal(0.0, 0.01, (4, START + HORIZON + 1))
    returns[:, START - 70 : START + 1] = np.tile([[0.01, -0.01]], 36)[:, :71] * np.array(
        [[1.0], [-1.0], [1.0], [-1.0]]
    )
    returns[0, START + 1 :] = 0.02  # the first proposal comes true
    learning = Calibration(GRID, START)
    weights, known = held(START + HORIZON + 1, 1.0, 0.0, 0.0, 0.0), np.full(200, 0.9)
    learning.at(START + HORIZON, returns, weights, certainty=known)
    claim = learning._waiting[0]
    x = claim.signals[0]
    prior = np.diag([1.0, 0.25, 0.25, 0.25])
    curvature = 0.25 / HORIZON
    posterior = np.linalg.inv(np.linalg.inv(prior) + curvature * np.outer(x, x))
    assert learning._covariance[0] == pytest.approx(posterior, abs=1e-12)
    assert learning._mean[0] == pytest.approx(posterior @ x * 0.5 / HORIZON, abs=1e-12)


def test_an_edge_makes_sure_and_its_opposite_unsure():
    random = np.random.default_rng(0)
    returns = random.normal(0.0, 0.01, (4, 900))
    returns[0] += 0.003
    good = said_over(returns, held(900, 1.0, 0.0, 0.0, 0.0))
    bad = said_over(returns, held(900, 0.0, 0.0, 0.5, 0.5))
    assert good[-200:, 0].mean() > 0.8
    assert bad[-200:, 0].mean() < 0.35
    assert good[-200:, 1].mean() > 0.7  # reversion


def test_noise_is_a_coin():
    """Over many histories without any edge: one half on average, and no tenth that fools."""
    said, came = [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        returns = random.normal(0.0, 0.01, (4, 500))
        weights = random.dirichlet(np.full(4, 0.3), 10).repeat(50, axis=0)
        said.append(said_over(returns, weights))
        came.append(outcomes(GRID, returns, weights[START:], start=START))
    spread = np.array([one[:, 0].mean() for one in said])
    assert abs(spread.mean() - 0.5) < 3.0 * spread.std() / np.sqrt(len(spread))
    known = Said(("overall",), np.concatenate(said)[:, :1], np.concatenate(came)[:, :1], ())
    known = dataclasses.replace(known, regimes=("any",) * len(known.said))
    found = reliability_of(known)["overall"]
    assert found.brier < found.brier_half + 0.012  # what learning from luck may cost
    assert found.calibration_error < 0.1  # likewise


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), extra=st.integers(0, 60))
def test_confidence_is_a_probability_and_never_rewritten(seed: int, extra: int):
    random = np.random.default_rng(seed)
    sessions = START + 60
    returns = random.normal(0.0, 0.01, (4, sessions + extra))
    returns[random.random(4) < 0.3] = 0.0
    weights = random.dirichlet(np.full(4, 0.3), sessions + extra)
    whole = said_over(returns, weights)
    assert np.isfinite(whole).all()
    assert ((whole > 0.0) & (whole < 1.0)).all()
    cut = said_over(returns[:, :sessions], weights[:sessions])
    assert whole[:60].tobytes() == cut.tobytes()


POLICY = PolicyConfig(train=150, step=5, refit=60)


def fold(history: History, memo: Memo, **given) -> list:
    return [
        next(iter(decide(i, history, POLICY, memo=memo, **given).values()))
        for i in range(POLICY.train, history.sessions)
    ]


def test_a_planted_edge_earns_confidence_that_noise_does_not():
    """Held for 30 sessions, a mix wins unless its spell of 120 ends within 15: .875."""
    sessions = 760
    grid, states = small_grid(), spells(sessions, 120)
    means, track = {}, TruthTrack(states, ("bull calm thin", "bear volatile heavy"))
    for edge in (0.004, 0.0):
        returns = planted_returns(grid, states, seed=2, edge=edge)
        given = {"s": StrategyHistory(grid, returns)}
        history = History(days(sessions), given, planted_state(states, seed=2), COLUMNS)
        found = fold(history, Memo(), regimes=track)
        means[edge] = np.mean([d.confidence for d in found[-250:]])
    assert means[0.004] > 0.75
    assert abs(means[0.0] - 0.5) < 0.15


def test_confidence_with_and_without_a_memo_and_in_any_order():
    history, memo = planted_history(330), Memo()
    whole = fold(history, memo)
    for i in (329, 150, 260):
        alone = decide(i, history.until(i), POLICY)["swing_0"]
        again = decide(i, history, POLICY, memo=memo)["swing_0"]
        assert alone.confidence == again.confidence == whole[i - 150].confidence
        assert alone.parameter_confidence == again.parameter_confidence
        assert alone.parameter_confidence == whole[i - 150].parameter_confidence


def test_reliability_by_hand():
    said = np.array([[0.62], [0.68], [0.68], [0.31], [0.5]])
    came = np.array([[1.0], [0.0], [1.0], [0.0], [np.nan]])
    known = Said(("overall",), said, came, ("bull", "bull", "bear", "bear", "bear"))
    found = reliability_of(known)["overall"]
    assert (found.sessions, found.effective) == (4, pytest.approx(4 / 30))
    assert found.said == pytest.approx(0.5725)
    assert found.happened == 0.5
    assert found.brier == pytest.approx((0.38**2 + 0.68**2 + 0.32**2 + 0.31**2) / 4)
    assert found.brier_half == 0.25
    # .66 said on average against two thirds of three, .31 against none of one
    assert found.calibration_error == pytest.approx((3 * abs(0.66 - 2 / 3) + 0.31) / 4)
    assert found.regimes["bear"].said == pytest.approx(0.495)
    frame = reliability_frame("s", known)
    assert frame.filter(regime="all")["said_from"].to_list() == [0.3, 0.6]
    assert frame.filter(regime="bull").row(0, named=True)["happened"] == 0.5
    assert ((frame["low"] <= frame["happened"]) & (frame["happened"] <= frame["high"])).all()


def test_reliability_of_nothing_has_a_reason():
    known = Said(("overall",), np.array([[0.5]]), np.array([[np.nan]]), ("bull",))
    found = reliability_of(known)["overall"]
    assert found.brier is None
    assert found.reason
    assert reliability_frame("s", known).is_empty()
