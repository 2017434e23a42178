"""The mixture on clouds whose truth is known, and its filter."""

import dataclasses

import numpy as np
import pytest

from backtest.seeds import generator
from ml.market_state import STATE_COLUMNS
from ml.regime_track import state_accuracy
from ml.regime_window import NumberPrior
from ml.regimes.mixture import Clouds, MixtureModel, averaged, climb, responsibilities

CENTRES = 1.6 * np.array([[1.0, 0, 0, -1, 0], [0, 0, 1.0, 1, 0], [-1.0, 1, 0, 0, 0]])


def planted(sessions: int = 900, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[T, 5]`` in spells of 40, of different widths, and the states behind them."""
    random = generator(seed, "mixture")
    states = (np.arange(sessions) // 40) % 3
    width = np.array([0.7, 1.0, 1.3])[states, None]
    return CENTRES[states] + width * random.standard_normal((sessions, 5)), states


ROWS, STATES = planted()
FIT = MixtureModel().fit(ROWS, STATE_COLUMNS, previous=None, seed=0)


def test_averages_look_back_only_and_skip_unknown_rows() -> None:
    x = np.array([[1.0], [3.0], [np.nan], [8.0]])
    np.testing.assert_allclose(averaged(x, 2), [[1.0], [2.0], [np.nan], [5.0]])


def test_responsibilities_by_hand() -> None:
    clouds = Clouds(np.array([0.25, 0.75]), np.array([[0.0], [2.0]]), np.ones((2, 1, 1)))
    found, total = responsibilities(np.array([[0.0]]), clouds)
    one, other = 0.25, 0.75 * np.exp(-2.0)
    np.testing.assert_allclose(found, [[one / (one + other), other / (one + other)]])
    assert total == pytest.approx(np.log((one + other) / np.sqrt(2.0 * np.pi)))


def test_each_round_of_em_climbs() -> None:
    member = np.eye(3)[generator(3, "first").integers(0, 3, len(ROWS))]
    reached = []
    for rounds in range(1, 25):
        options = {"prior": np.eye(5), "shrink": 0.0, "rounds": rounds, "tolerance": -1.0}
        reached.append(climb(ROWS, member, **options)[1])
    assert (np.diff(reached) > -1e-6).all()
    assert reached[-1] > reached[0] + 10.0


def test_finds_the_planted_states_and_their_widths() -> None:
    later, truth = planted(seed=2)
    assert FIT.clouds.states == 3
    assert state_accuracy(FIT.filter(later).argmax(axis=1), truth) > 0.9
    trace = np.trace(FIT.clouds.covariances, axis1=1, axis2=2)
    order = [
        int(np.argmin(((FIT.clouds.means - c / ROWS.std(axis=0)) ** 2).sum(axis=1)))
        for c in CENTRES - ROWS.mean(axis=0)
    ]
    assert trace[order[0]] < trace[order[1]] < trace[order[2]]


def test_one_state_where_there_is_one_is_not_cut() -> None:
    noise = generator(5, "noise").standard_normal((900, 5))
    fit = MixtureModel(number=NumberPrior(away=0.0)).fit(
        noise, STATE_COLUMNS, previous=None, seed=0
    )
    assert fit.clouds.states == 1


def test_units_of_a_column_change_nothing() -> None:
    scaled = ROWS * np.array([10.0, 0.01, 1.0, 3.0, 7.0]) + 5.0
    other = MixtureModel().fit(scaled, STATE_COLUMNS, previous=None, seed=0)
    np.testing.assert_allclose(other.filter(scaled), FIT.filter(ROWS), atol=1e-6)


def test_order_of_columns_changes_nothing_but_the_start() -> None:
    turn = [4, 2, 0, 3, 1]
    columns = tuple(STATE_COLUMNS[k] for k in turn)
    other = MixtureModel().fit(ROWS[:, turn], columns, previous=None, seed=0)
    same = state_accuracy(
        other.filter(ROWS[:, turn]).argmax(axis=1), FIT.filter(ROWS).argmax(axis=1)
    )
    assert same > 0.98


def test_a_row_with_a_nan_carries_no_evidence() -> None:
    holed = ROWS.copy()
    holed[500, 2] = np.nan
    plain = dataclasses.replace(FIT, temperature=1.0)
    found = plain.filter(holed)
    np.testing.assert_array_equal(found[:500], plain.filter(ROWS)[:500])
    np.testing.assert_allclose(found[500], found[499] @ FIT.move, atol=1e-12)
