"""Columns of a sweep against empyrical, and against the trades of the slow engine.

For: a second opinion on all fourteen columns, on random markets and on real bars. Not for: the
metrics of single series (`test_metrics_empyrical.py`).
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from backtest.engine import reference
from backtest.engine.sweep import sweep_metrics
from backtest.market.bars import panel_of
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES, Strategy
from tests.backtest.markets import random_panel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical

COST = 0.001
FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
REAL = ("lean_us_daily_1998_2021", "dax_daily_2000_2017")


def by_others(returns: np.ndarray, periods: int) -> dict[str, float]:
    """What empyrical says of the daily returns of an account; Sharpe 0 without deviation."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        told = {
            "total_return": empyrical.cum_returns_final(returns),
            "cagr": empyrical.cagr(returns, annualization=periods),
            "volatility": empyrical.annual_volatility(returns, annualization=periods),
            "sharpe": empyrical.sharpe_ratio(returns, annualization=periods),
            "sortino": empyrical.sortino_ratio(returns, annualization=periods),
            "max_drawdown": -empyrical.max_drawdown(returns),
            "calmar": empyrical.calmar_ratio(returns, annualization=periods),
        }
    if told["volatility"] == 0.0:
        told["sharpe"] = 0.0
    return {name: float(value) for name, value in told.items()}


def by_trades(account, bars, periods: int) -> dict[str, float]:
    """Trade statistics and turnover, counted trade by trade."""
    trades = account.trades
    net = [r for r, left in zip(trades.net_return, trades.exit >= 0, strict=True) if left]
    wins, losses = [r for r in net if r > 0.0], [r for r in net if r < 0.0]
    worth = [1.0, *account.equity]
    traded = 0.0
    for entry, leave, shares, price in zip(
        trades.entry, trades.exit, np.abs(trades.quantity), trades.exit_price, strict=True
    ):
        traded += shares * bars.open[entry] / worth[entry]
        traded += shares * price / worth[leave] if leave >= 0 else 0.0

    def over(total: float, count: float) -> float:
        return total / count if count else np.nan

    return {
        "trades": len(net),
        "win_rate": over(len(wins), len(net)),
        "profit_factor": over(sum(wins), -sum(losses)),
        "average_win": over(sum(wins), len(wins)),
        "average_loss": over(sum(losses), len(losses)),
        "expectancy": over(sum(net), len(net)),
        "turnover": traded / bars.size * periods,
    }


def compare(panel: Panel, rule: Strategy, grid: ParamGrid) -> int:
    """Hold every column of every set on every symbol against both; number of closed trades."""
    swept, periods, closed = sweep_metrics(panel, rule, grid, cost=COST), panel.periods_per_year, 0
    for s in range(panel.shape[0]):
        bars = panel.bars(s)
        for i in range(grid.size):
            account = reference.account(bars, rule.reference(bars, grid.set(i)), cost=COST)
            before = np.concatenate([[1.0], account.equity[:-1]])
            alive = before > 0.0
            returns = np.where(alive, account.equity / np.where(alive, before, 1.0) - 1.0, 0.0)
            expected = by_others(returns, periods) | by_trades(account, bars, periods)
            assert expected.keys() == swept.keys()
            for name, value in expected.items():
                got = swept[name][i, s]
                if np.isfinite(value):
                    assert got == pytest.approx(value, rel=1e-9, abs=1e-9), (name, grid.row(i))
                else:
                    assert np.isnan(got), (name, grid.row(i))
            closed += int(expected["trades"])
    return closed


def some_sets(rule: Strategy, sets: int) -> ParamGrid:
    grid = rule.candidates()
    return grid.take(np.random.default_rng(7).permutation(grid.size)[:sets])


@pytest.mark.parametrize("name", STRATEGIES.names())
@pytest.mark.parametrize("swing", [0.02, 0.12])
def test_columns_equal_empyrical_and_the_trades_on_random_markets(name, swing):
    rule = STRATEGIES.get(name)
    panel = random_panel(3, 300, seed=31, gaps=0.05, swing=swing)
    closed = compare(panel, rule, some_sets(rule, 10))
    assert closed > 30 or name in ("buy_and_hold", "momentum")


def test_wild_markets_ruin_some_short_accounts_and_columns_still_agree():
    rule, panel = STRATEGIES.get("rsi_swing"), random_panel(4, 200, seed=5, swing=0.35)
    grid = some_sets(rule, 12)
    assert (sweep_metrics(panel, rule, grid, cost=COST)["total_return"] == -1.0).any()
    compare(panel, rule, grid)


@pytest.mark.skipif(
    not FOLDER, reason="WEATHERVANE_MARKET_DATA names no folder of real market data"
)
@pytest.mark.parametrize("file", REAL)
def test_columns_equal_empyrical_and_the_trades_on_real_bars(file):
    path = Path(str(FOLDER)) / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not in $WEATHERVANE_MARKET_DATA")
    panel, _ = panel_of(path)
    for name in STRATEGIES.names():
        rule = STRATEGIES.get(name)
        first = Panel.from_frame(
            panel.frame().filter(symbol=panel.symbols[0]), periods_per_year=panel.periods_per_year
        )
        assert compare(first, rule, some_sets(rule, 3)) > 0 or name == "buy_and_hold"
