"""Objectives, weighted sums, constraints and one regime's sessions, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.errors import ParameterError
from backtest.metric import METRICS, MetricInput
from backtest.result import BookResult
from ml.objective import (
    Constraint,
    Goal,
    Objective,
    account_metrics,
    book_metrics,
    weighted_moments,
)

METRIC_VALUES = {
    "sharpe": np.array([1.0, 2.0, np.nan]),
    "max_drawdown": np.array([0.1, 0.4, 0.2]),
    "trades": np.array([10.0, 40.0, 60.0]),
}


def test_lower_is_better_enters_with_a_minus_sign():
    assert Objective.parse("max_drawdown").of(METRIC_VALUES).tolist() == [-0.1, -0.4, -0.2]
    weighted = Objective.parse("sharpe + 2*max_drawdown").of(METRIC_VALUES)
    assert weighted[:2] == pytest.approx([0.8, 1.2])
    assert np.isnan(weighted[2])
    assert Objective.parse("risk_adjusted").terms == ((1.0, "sharpe"), (-2.0, "max_drawdown"))


def test_constraints_and_undefined_values():
    goal = Goal.parse(["sharpe", "max_drawdown"], ["trades>=20", "max_drawdown<=0.5"])
    assert goal.metrics == ("max_drawdown", "sharpe", "trades")
    assert goal.values(METRIC_VALUES)[0].tolist() == [1.0, -0.1]
    assert goal.feasible(METRIC_VALUES).tolist() == [False, True, False]
    assert Constraint.parse(" max_drawdown <= 1e-1").holds(METRIC_VALUES).tolist() == [
        *(True, False, False)
    ]


@pytest.mark.parametrize(
    ("objectives", "constraints", "said"),
    [
        (["shrpe"], [], "did you mean 'sharpe'"),
        (["alpha"], [], "unknown metric 'alpha'"),
        (["-1*sharpe"], [], "write a metric, or a sum"),
        (["0*sharpe"], [], "write a metric, or a sum"),
        (["1.2.3*sharpe"], [], "write a metric, or a sum"),
        (["sharpe*2"], [], "write a metric, or a sum"),
        (["sharpe", "1*sharpe"], [], "stands twice"),
        ([], [], "no objective"),
        (["sharpe"], ["max_drawdown<0.2"], "write a metric, <= or >="),
        (["sharpe"], ["max_drawdown<=x"], "write a metric, <= or >="),
        (["sharpe"], ["drawdon<=0.2"], "unknown metric 'drawdon'"),
    ],
)
def test_what_cannot_be_read(objectives: list, constraints: list, said: str):
    with pytest.raises(ParameterError, match=f"E_OBJECTIVE.*{said}"):
        Goal.parse(objectives, constraints)


def streams(seed: int, sets: int = 3, sessions: int = 90) -> BookResult:
    random = np.random.default_rng(seed)
    return BookResult(random.normal(0.0, 0.01, (sets, sessions)), random.random((sets, sessions)))


def test_metrics_are_those_of_the_registry():
    book, names = streams(0), ("sharpe", "calmar", "max_drawdown", "turnover", "total_return")
    told = book_metrics(book, (*names, "trades"), periods_per_year=252)
    assert set(told) == set(names)
    for p in range(3):
        given_ = MetricInput(book.net_return[p], 252, turnover=book.turnover[p])
        for name in names:
            assert told[name][p] == METRICS.get(name).compute(given_)


@given(st.integers(0, 1000))
def test_weights_of_one_give_the_plain_ratio(seed: int):
    book = streams(seed)
    plain = book_metrics(book, ("sharpe", "volatility", "calmar"), periods_per_year=252)
    weighted = book_metrics(
        book, ("sharpe", "volatility", "calmar"), periods_per_year=252, weights=np.ones(90)
    )
    for name, value in plain.items():
        assert weighted[name] == pytest.approx(value, rel=1e-10)


def test_weights_of_zero_and_one_pick_sessions():
    book, held = streams(1), np.arange(90) % 3 == 0
    weighted = book_metrics(book, ("sharpe",), periods_per_year=252, weights=held.astype(float))
    alone = BookResult(book.net_return[:, held], book.turnover[:, held])
    plain = book_metrics(alone, ("sharpe",), periods_per_year=252)
    assert weighted["sharpe"] == pytest.approx(plain["sharpe"], rel=1e-10)


def test_a_regime_that_hardly_was_and_a_set_that_never_moves_are_undefined():
    book = streams(2)
    few = np.zeros(90)
    few[:19] = 1.0
    assert np.isnan(weighted_moments(book.net_return, few)[0]).all()
    still = BookResult(np.zeros((1, 90)), np.zeros((1, 90)))
    told = book_metrics(still, ("sharpe",), periods_per_year=252, weights=np.full(90, 0.5))
    assert np.isnan(told["sharpe"][0])


def test_trades_are_added_up_and_wins_weighted_by_them():
    columns = {
        "trades": np.array([[10.0, 0.0], [0.0, 0.0], [1.0, 3.0]]),
        "win_rate": np.array([[0.4, np.nan], [np.nan, np.nan], [1.0, 0.0]]),
    }
    told = account_metrics(columns)
    assert told["trades"].tolist() == [10.0, 0.0, 4.0]
    assert told["win_rate"].tolist()[::2] == [0.4, 0.25]
    assert np.isnan(told["win_rate"][1])
