"""Products of axes, merged where they are rare; and averages over matched states."""

import dataclasses

import numpy as np
import pytest

from backtest.errors import NotFittedError
from backtest.seeds import generator
from ml.market_state import AXES, CORRELATION, TREND, VOLATILITY, VOLUME
from ml.regime import REGIMES
from ml.regimes.average import AverageModel, matched
from ml.regimes.axes import AxesModel, _merge
from tests.ml.test_mixture import ROWS, STATE_COLUMNS


def axes_rows(sessions: int = 900) -> np.ndarray:
    """Trend in spells of 60, volatility in spells of 40, the other two still noise; ``[T, 4]``."""
    random = generator(7, "axes")
    trend = np.array([0.001, 0.0, -0.001])[(np.arange(sessions) // 60) % 3]
    volatility = np.array([-5.0, -4.0])[(np.arange(sessions) // 40) % 2]
    noise = random.standard_normal((sessions, 4)) * np.array([0.0003, 0.2, 0.3, 0.05])
    return noise + np.column_stack([trend, volatility, np.zeros(sessions), np.full(sessions, 0.2)])


def test_axes_change_one_without_the_other() -> None:
    rows = axes_rows()
    fit = AxesModel().fit(rows, AXES, previous=None, seed=0)
    assert {axis.place: set(axis.words) for axis in fit.axes} == {
        0: {"bull", "sideways", "bear"},
        1: {"calm", "volatile"},
        2: {"thin"},
        3: {"dispersed"},
    }
    assert len(fit.names) == 6
    for word, truth in (("bull", rows[:, 0] > 0.0005), ("volatile", rows[:, 1] > -4.5)):
        told = fit.filter(rows)[:, [word in name.split() for name in fit.names]].sum(axis=1)
        assert ((told > 0.5) == truth).mean() > 0.9


def test_rare_combinations_join_the_nearest() -> None:
    combinations = [("bull", "calm"), ("bull", "volatile"), ("bear", "volatile"), ("bear", "calm")]
    names, merged = _merge(combinations, np.array([0.5, 0.03, 0.45, 0.02]), 0.05)
    assert names == ("bull calm", "bear volatile")
    np.testing.assert_array_equal(merged, [[1, 0], [1, 0], [0, 1], [0, 1]])


def test_something_is_kept_where_all_is_rare() -> None:
    names, merged = _merge([("a",), ("b",)], np.array([0.6, 0.4]), 0.9)
    assert names == ("a",)
    np.testing.assert_array_equal(merged, [[1], [1]])


def test_an_unknown_axis_is_left_out_and_none_at_all_is_refused() -> None:
    rows = axes_rows()
    rows[:, [AXES.index(VOLUME), AXES.index(CORRELATION)]] = np.nan
    fit = AxesModel().fit(rows, AXES, previous=None, seed=0)
    assert [axis.place for axis in fit.axes] == [0, 1]
    assert all(name.endswith("thin dispersed") for name in fit.names)
    with pytest.raises(NotFittedError, match=r"E_NOT_FITTED: no axis .* 60 sessions .* are needed"):
        AxesModel().fit(np.full((300, 2), np.nan), (TREND, VOLATILITY), previous=None, seed=0)


def test_states_are_matched_by_the_sessions_they_share() -> None:
    lead = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    other = np.eye(3)[[2, 2, 1, 0, 0, 0]]
    np.testing.assert_array_equal(matched(other, lead), [[0, 1], [1, 0], [1, 0]])


def test_the_average_is_the_mean_of_its_members() -> None:
    model = AverageModel(members=("hmm", "jump"))
    fit = model.fit(ROWS, STATE_COLUMNS, previous=None, seed=0)
    one, two = (fit.members[name].filter(ROWS) for name in model.members)
    np.testing.assert_allclose(
        fit.filter(ROWS), (one + two @ fit.matches["jump"]) / 2.0, atol=1e-12
    )
    assert fit.names == fit.members["hmm"].names


def test_a_member_alone_is_the_member() -> None:
    fit = AverageModel(members=("jump",)).fit(ROWS, STATE_COLUMNS, previous=None, seed=0)
    alone = fit.members["jump"]
    np.testing.assert_array_equal(fit.filter(ROWS), alone.filter(ROWS))


@pytest.mark.parametrize("name", REGIMES.names())
def test_recipes_are_frozen(name: str) -> None:
    assert dataclasses.fields(REGIMES.get(name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        REGIMES.get(name).least = 1  # type: ignore[attr-defined]  # refused at run time too
