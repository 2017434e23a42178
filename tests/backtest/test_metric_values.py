"""Metrics by hand, where no other library gives a second opinion."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.metric import METRICS, MetricInput, Undefined
from backtest.metrics.stability import parameter_sensitivity
from backtest.params import ParamGrid
from backtest.result import Trades
from backtest.strategy import STRATEGIES


def trades_of(net, exits, held):
    n = len(net)
    return Trades(
        np.arange(n),
        np.array(exits),
        np.ones(n),
        np.ones(n),
        np.ones(n),
        np.array(net, dtype=float),
        np.array(held),
    )


def value(name, given):
    return METRICS.get(name).compute(given)


def test_trade_metrics_by_hand():
    trades = trades_of([0.10, -0.04, 0.0, 0.02, np.nan], [2, 5, 6, 9, -1], [2, 3, 1, 2, 7])
    given = MetricInput(np.zeros(12), 252, trades=trades)
    assert value("trades", given) == 4
    assert value("win_rate", given) == 0.5
    assert value("average_win", given) == pytest.approx(0.06)
    assert value("average_loss", given) == pytest.approx(-0.04)
    assert value("expectancy", given) == pytest.approx(0.02)
    assert value("profit_factor", given) == pytest.approx(3.0)
    assert value("holding_time", given) == 2.0


def test_only_an_open_trade_counts_in_nothing():
    given = MetricInput(np.zeros(12), 252, trades=trades_of([np.nan], [-1], [3]))
    assert value("trades", given) == 0
    for name in ("win_rate", "expectancy", "profit_factor", "holding_time"):
        assert value(name, given) == Undefined("no closed trade")
    assert value("average_win", given) == Undefined("no winning trade")


def test_returns_by_hand():
    given = MetricInput(np.array([0.1, -0.5, 0.2]), 3)
    assert value("total_return", given) == pytest.approx(-0.34)
    assert value("cagr", given) == pytest.approx(-0.34)
    assert value("pnl", given) == pytest.approx(-0.2)
    assert value("max_drawdown", given) == pytest.approx(0.5)
    assert value("calmar", given) == pytest.approx(-0.68)
    # Downside: root of (.25 / 3), mean -.2 / 3, annualised by the root of 3.
    assert value("sortino", given) == pytest.approx(-0.2 / 3 / (0.5 / 3**0.5) * 3**0.5)


def test_turnover_is_annual():
    given = MetricInput(np.zeros(4), 252, turnover=np.array([1.0, 0.0, 0.5, 0.5]))
    assert value("turnover", given) == 126.0


def test_consistency_counts_whole_months():
    months = [[0.01] * 21, [-0.01] * 21, [0.02] + [0.0] * 20, [0.5] * 20]
    given = MetricInput(np.concatenate(months), 252)
    assert value("consistency", given) == pytest.approx(2 / 3)
    assert value("consistency", MetricInput(np.zeros(41), 252)) == Undefined(
        "fewer than two whole months"
    )


def test_a_ruined_account_has_no_growth_but_no_error():
    given = MetricInput(np.array([0.1, -1.0, 0.0]), 252)
    assert value("cagr", given) == -1.0
    assert value("max_drawdown", given) == 1.0
    lost = MetricInput(np.array([0.1, -1.5, 0.1]), 252)
    assert value("cagr", lost) == Undefined("more than everything was lost")


def test_parameter_sensitivity_by_hand():
    rule = STRATEGIES.get("rsi_swing")
    grid = ParamGrid.product(
        rule.params, {"period": (3, 5, 8), "width": (5.0, 10.0), "smoothing": (1,)}
    )
    scores = np.array(grid["period"]) * 1.0  # 3 3 5 5 8 8: neighbours in period differ by 2 or 3
    got = parameter_sensitivity(grid, scores)
    assert got["period"] == pytest.approx(2.5 / scores.std())
    assert got["width"] == 0.0
    assert got["smoothing"] is None
    assert got["direction"] is None
    assert parameter_sensitivity(grid, np.full(6, np.nan))["period"] is None
