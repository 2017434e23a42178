"""What every registered metric owes; a new one needs no new test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.metric import METRICS, Metric, MetricInput, Undefined, evaluate
from backtest.result import Trades

NAMES = METRICS.names()
PROMISED = set(
    [
        "total_return",
        "annualised_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "calmar",
        "max_drawdown",
        "var_95",
        "cvar_95",
        "skewness",
        "kurtosis",
        "information_ratio",
        "alpha",
        "beta",
    ]
)
series = st.lists(st.floats(-0.5, 0.5), min_size=0, max_size=80)


def trades_of(net: list[float]) -> Trades:
    """Closed trades with these net returns, and one that is still open."""
    n = len(net) + 1
    entry = np.arange(n)
    leave = np.where(np.arange(n) < n - 1, entry + 2, -1)
    nets = np.array([*net, math.nan])
    return Trades(entry, leave, np.ones(n), np.ones(n), np.ones(n), nets, np.full(n, 2))


def whole(returns: list[float], net: list[float] | None = None) -> MetricInput:
    values = np.array(returns, dtype=float)
    return MetricInput(
        values,
        252,
        benchmark=np.roll(values, 1) * 0.5,
        trades=trades_of(net or []),
        turnover=np.abs(values),
    )


@pytest.fixture(params=NAMES)
def metric(request) -> Metric:
    return METRICS.get(request.param)


def test_what_the_interface_promises_is_there():
    assert set(NAMES) >= PROMISED
    bare, _ = evaluate(MetricInput(np.array([0.01, -0.02, 0.03]), 252))
    assert set(bare) >= PROMISED - {"information_ratio", "alpha", "beta"}
    assert not set(bare) & {"information_ratio", "alpha", "beta", "trades", "turnover"}


def test_unit_and_direction_are_words_of_the_house(metric):
    assert metric.unit in ("decimal", "ratio", "count", "sessions", "probability")
    assert metric.better in ("higher", "lower")


@pytest.mark.parametrize("returns", [[], [0.01], [-0.01], [0.0] * 30, [0.01] * 30, [-1.0, 0.0]])
def test_thin_input_gives_a_number_or_a_reason(metric, returns):
    value = metric.compute(whole(returns))
    if isinstance(value, Undefined):
        assert value.reason
    else:
        assert value is not None
        assert math.isfinite(value)


@settings(max_examples=40, deadline=None)
@given(series, st.lists(st.floats(-0.9, 0.9), max_size=12))
def test_values_keep_their_bounds(returns, net):
    values, reasons = evaluate(whole(returns, net))
    assert set(values) == set(NAMES)
    assert {name for name, value in values.items() if value is None} == set(reasons)
    for name, value in values.items():
        unit = METRICS.get(name).unit
        if value is None:
            assert reasons[name]
        elif unit == "probability" or name in ("max_drawdown", "var_95", "cvar_95"):
            assert 0.0 <= value <= 1.0, name
        elif unit in ("count", "sessions"):
            assert value >= 0.0, name


def test_the_same_question_has_the_same_answer_and_leaves_the_input_alone(metric):
    given_input = whole(np.random.default_rng(1).normal(0, 0.01, 100).tolist(), [0.1, -0.05])
    before = given_input.returns.copy()
    first = metric.compute(given_input)
    assert metric.compute(given_input) == first
    np.testing.assert_array_equal(before, given_input.returns)


def test_annualised_metrics_depend_on_the_periods_and_others_do_not():
    returns = np.random.default_rng(2).normal(0.001, 0.01, 252)
    for name, metric in METRICS.items():
        values = [
            metric.compute(
                MetricInput(returns, p, benchmark=returns[::-1].copy(), turnover=np.abs(returns))
            )
            for p in (252, 126)
        ]
        if name == "consistency" or not all(isinstance(v, float) for v in values):
            continue
        assert (values[0] != values[1]) == metric.annualised, name
