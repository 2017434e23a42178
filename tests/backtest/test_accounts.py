"""Accounts: trades worked out by hand, ruin, costs and the time of fills."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backtest.engine import events, reference
from backtest.engine.costs import checked_cost, cost_per_side
from backtest.engine.fills import deciding_bar, legs, positions
from backtest.engine.sweep import backtest, sweep_metrics
from backtest.errors import EngineUnavailable, ParameterError, UnknownNameError
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES
from backtest.tables import account_turnover, metrics_table
from tests.backtest.markets import NoParams, Scripted, bars_of, panel_of, random_panel

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "account_by_hand.json").read_text())


def fast(bars, targets, cost):
    return events.account(bars, np.array(targets, dtype=np.int8), cost=cost)


def slow(bars, targets, cost):
    return reference.account(bars, targets, cost=cost)


@pytest.mark.parametrize("engine", [fast, slow])
def test_trades_by_hand(engine):
    bars = bars_of(GOLDEN["open"], GOLDEN["close"])
    account = engine(bars, GOLDEN["targets"], GOLDEN["cost"])
    np.testing.assert_allclose(account.equity, GOLDEN["equity"], rtol=1e-14)
    assert account.position.tolist() == GOLDEN["position"]
    assert account.position.dtype == np.int8
    for name, expected in GOLDEN["trades"].items():
        values = np.array([np.nan if v is None else v for v in expected], dtype=float)
        np.testing.assert_allclose(getattr(account.trades, name), values, rtol=1e-13)
    np.testing.assert_allclose(account_turnover(account), GOLDEN["turnover"], rtol=1e-13)


def test_metrics_by_hand():
    panel = panel_of(np.array([GOLDEN["open"]], float), np.array([GOLDEN["close"]], float))
    rule = Scripted({"S000": GOLDEN["targets"]})
    table = metrics_table(panel, backtest(panel, rule, NoParams(), cost=GOLDEN["cost"]))
    swept = sweep_metrics(panel, rule, rule.candidates(), cost=GOLDEN["cost"])
    for name, expected in GOLDEN["metrics"].items():
        value = table["S000"][name]
        if expected is None:
            assert value is None
            assert table["S000"]["reasons"][name] == "no losing trade"
            assert np.isnan(swept[name][0, 0])
        else:
            assert value == pytest.approx(expected, rel=1e-13)
            assert swept[name][0, 0] == pytest.approx(expected, rel=1e-13)
    yearly = sum(GOLDEN["turnover"]) / 7 * 252
    assert table["S000"]["turnover"] == pytest.approx(yearly, rel=1e-13)
    assert swept["turnover"][0, 0] == pytest.approx(yearly, rel=1e-13)


@pytest.mark.parametrize("engine", [fast, slow])
@pytest.mark.parametrize(
    ("opens", "closes", "exit_bar", "price"),
    [
        # Sold short at 100: at a close of 200 nothing is left.
        ([100, 100, 150, 50, 50], [100, 100, 250, 50, 50], 2, 250.0),
        # Bought back at an open of 300: more than there was.
        ([100, 100, 300, 50, 50], [100, 110, 300, 50, 50], 2, 300.0),
    ],
)
def test_a_short_that_loses_everything_ends_the_account(engine, opens, closes, exit_bar, price):
    targets = [-1, 0 if price == 300.0 else -1, 1, 1, 1]
    account = engine(bars_of(opens, closes), targets, 0.0)
    assert account.equity[exit_bar:].tolist() == [0.0] * 3
    assert account.trades.exit.tolist() == [exit_bar]
    assert account.trades.exit_price.tolist() == [price]
    assert account.trades.net_return.tolist() == [-1.0]
    assert account.position[exit_bar + 1 :].tolist() == [0, 0]


@pytest.mark.parametrize("engine", [fast, slow])
@pytest.mark.parametrize("bars", [0, 1])
def test_hardly_any_bars(engine, bars):
    account = engine(bars_of([10.0] * bars, [11.0] * bars), [1] * bars, 0.0)
    assert account.equity.tolist() == [1.0] * bars
    assert account.trades.entry.size == 0


def test_a_symbol_that_never_traded_has_no_metrics():
    panel = random_panel(6, 40, seed=1).until(0)
    grid = ParamGrid.of(NoParams, [{}])
    rule = STRATEGIES.get("buy_and_hold")
    swept = sweep_metrics(panel, rule, grid, cost=0.0)
    assert (swept["sharpe"] == 0.0).all()
    assert (swept["trades"] == 0.0).all()
    assert np.isnan(swept["total_return"]).all()


def test_engines_by_name():
    panel, rule = random_panel(2, 30, seed=1), STRATEGIES.get("buy_and_hold")
    with pytest.raises(EngineUnavailable, match=r"E_ENGINE: engine 'execution' .* events"):
        backtest(panel, rule, NoParams(), cost=0.0, engine="execution")
    with pytest.raises(UnknownNameError, match="did you mean 'events'"):
        backtest(panel, rule, NoParams(), cost=0.0, engine="event")


def test_costs_in_basis_points():
    assert cost_per_side(5) == 0.0005
    assert cost_per_side(0) == 0.0
    for bad in (-1, 10_000, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match=r"^E_COST: .* is outside \[0, 10000\)"):
            cost_per_side(bad)
    with pytest.raises(ParameterError):
        checked_cost(1.0)


def test_fills_come_one_bar_later():
    targets = np.array([[1, -1, 0], [0, 1, 1]], dtype=np.int8)
    assert positions(targets).tolist() == [[0, 1, -1], [0, 0, 1]]
    assert positions(targets[:, :0]).shape == (2, 0)
    assert deciding_bar(np.array([0, 1, 3, 4])).tolist() == [-1, 0, -1, 2]
    assert deciding_bar(np.array([], dtype=np.int64)).size == 0
    overnight, intraday = legs(bars_of([10.0, 11.0], [10.0, 22.0]))
    np.testing.assert_allclose(overnight, [0.0, 0.1])
    np.testing.assert_allclose(intraday, [0.0, 1.0])


def test_the_last_signal_and_the_same_bar_are_never_filled():
    # Only bar 3 moves; a target decided at its own close cannot have earned it.
    bars = bars_of([10.0, 10.0, 10.0, 10.0, 20.0], [10.0, 10.0, 10.0, 20.0, 20.0])
    assert fast(bars, [0, 0, 0, 1, 1], 0.0).equity[-1] == 1.0
    assert fast(bars, [0, 0, 1, 1, 1], 0.0).equity[-1] == 2.0
