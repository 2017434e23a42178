"""Regimes by thresholds."""

import numpy as np
import pytest

from backtest.errors import NotFittedError
from backtest.seeds import generator
from ml.market_state import AXES, TREND, VOLATILITY
from ml.regimes.rules import RulesModel

RANDOM = generator(3, "rules")
STATE = np.column_stack(
    [0.002 * RANDOM.standard_normal(300), *(RANDOM.standard_normal(300) for _ in range(3))]
)
FIT = RulesModel().fit(STATE, AXES, previous=None, seed=0)


def one(trend: float, volatility: float) -> str:
    return FIT.names[int(FIT.filter(np.array([[trend, volatility, 0.0, 0.0]])).argmax())]


def test_thresholds_come_from_the_training_window() -> None:
    level, wide = FIT.thresholds
    assert level == pytest.approx(0.5 * STATE[:, 0].std())
    assert (STATE[:, 1] > wide).mean() == pytest.approx(1 / 3, abs=0.01)


def test_rows_fall_into_six_states() -> None:
    assert one(0.01, -9.0).startswith("bull calm")
    assert one(0.0, 9.0).startswith("sideways volatile")
    assert one(-0.01, 9.0).startswith("bear volatile")
    assert len({name.rsplit(" ", 2)[0] for name in FIT.names}) == 6


def test_an_unknown_row_repeats_the_last_and_the_first_is_even() -> None:
    rows = np.array([[np.nan, 0.0, 0, 0], [0.01, -9.0, 0, 0], [np.nan, np.nan, 0, 0]])
    found = FIT.filter(rows)
    np.testing.assert_allclose(found[0], 1 / 6)
    np.testing.assert_array_equal(found[1], found[2])
    assert found[1].max() == 1.0


def test_heavy_is_where_more_than_the_mean_is_traded() -> None:
    state = STATE.copy()
    state[:, 2] = np.where(state[:, 0] < 0, 1.0, -1.0)
    names = RulesModel().fit(state, AXES, previous=None, seed=0).names
    assert all("heavy" in n for n in names if n.startswith("bear"))
    assert all("thin" in n for n in names if n.startswith("bull"))


def test_correlated_is_where_correlation_lies_above_the_mean() -> None:
    state = STATE.copy()
    state[:, 3] = np.where(state[:, 0] < 0, 0.5, 0.1)
    names = RulesModel().fit(state, AXES, previous=None, seed=0).names
    assert all(n.endswith("correlated") for n in names if n.startswith("bear"))
    assert all(n.endswith("dispersed") for n in names if n.startswith("bull"))


def test_noise_is_neither_heavy_nor_correlated() -> None:
    noise = generator(4, "rules").standard_normal((4000, 4)) * [0.002, 1.0, 1.0, 1.0]
    names = RulesModel().fit(noise, AXES, previous=None, seed=0).names
    assert {name.split(" ", 2)[2] for name in names} == {"thin dispersed"}


def test_without_volume_all_is_thin() -> None:
    state = STATE.copy()
    state[:, 2] = np.nan
    for columns, rows in ((AXES, state), ((TREND, VOLATILITY), STATE[:, :2])):
        fit = RulesModel().fit(rows, columns, previous=None, seed=0)
        assert all("thin" in name for name in fit.names)


def test_missing_axis_or_history_is_one_line() -> None:
    with pytest.raises(NotFittedError, match="missing columns: market_volatility_20"):
        RulesModel().fit(STATE[:, :1], (TREND,), previous=None, seed=0)
    with pytest.raises(NotFittedError, match=r"10 sessions .* 60 are needed"):
        RulesModel().fit(STATE[:10], AXES, previous=None, seed=0)
