"""The fast engines against the slow ones, to the trade."""

from __future__ import annotations

import dataclasses
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import events, reference
from backtest.engine.books import mix_book, sweep_book
from backtest.engine.sweep import backtest, fast_engine, sweep_metrics
from backtest.engine.tally import COLUMNS
from backtest.params import ParamGrid
from backtest.portfolio.book import book_weights, simulate_book
from backtest.result import Account, Trades
from backtest.strategies.channel_breakout import ChannelBreakout
from backtest.strategy import STRATEGIES
from backtest.tables import account_turnover, metrics_table
from tests.backtest.markets import NoParams, Scripted, bars_of, panel_of, random_panel

KINDS = ("long-only", "dollar-neutral", "sector-neutral")


def assert_same(fast: Account, slow: Account) -> None:
    np.testing.assert_allclose(fast.equity, slow.equity, rtol=1e-9, atol=0.0)
    np.testing.assert_array_equal(fast.position, slow.position)
    for field in fields(Trades):
        a, b = getattr(fast.trades, field.name), getattr(slow.trades, field.name)
        assert a.dtype == b.dtype
        if a.dtype == np.int64:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", STRATEGIES.names())
@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_events_equal_the_reference_for_every_strategy(name, gaps):
    panel = random_panel(4, 260, seed=11, gaps=gaps)
    rule = STRATEGIES.get(name)
    grid = rule.candidates()
    picks = np.random.default_rng(0).permutation(grid.size)[:12]
    closed = 0
    for i in picks:
        params = grid.set(int(i))
        fast = backtest(panel, rule, params, cost=0.002)
        slow = backtest(panel, rule, params, cost=0.002, engine="reference")
        for a, b in zip(fast, slow, strict=True):
            assert_same(a, b)
            closed += int((a.trades.exit >= 0).sum())
    assert closed > 20 or name == "buy_and_hold"


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_events_equal_the_reference_on_wild_prices(data):
    n = data.draw(st.integers(0, 40))
    moves = st.lists(st.floats(-1.5, 1.5), min_size=n, max_size=n)
    close = 20.0 * np.exp(np.cumsum(data.draw(moves)))
    bars = bars_of(close * np.exp(data.draw(moves)), close)
    targets = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))
    cost = data.draw(st.sampled_from([0.0, 0.0005, 0.1]))
    fast = events.account(bars, np.array(targets, dtype=np.int8), cost=cost)
    assert_same(fast, reference.account(bars, targets, cost=cost))


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_columns_of_a_sweep_equal_the_metrics_of_each_account(name):
    panel = random_panel(3, 300, seed=12, gaps=0.05)
    rule = STRATEGIES.get(name)
    grid = rule.candidates()
    swept = sweep_metrics(panel, rule, grid, cost=0.001)
    assert tuple(swept) == COLUMNS
    for i in range(0, grid.size, 23):
        table = metrics_table(panel, backtest(panel, rule, grid.set(i), cost=0.001))
        for s, symbol in enumerate(panel.symbols):
            for column, values in swept.items():
                expected, got = table[symbol][column], values[i, s]
                if expected is None:
                    assert got == 0.0 if column == "sharpe" else np.isnan(got), column
                else:
                    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12), column


def test_a_jump_costs_later_trades_no_digit():
    """A split that nobody told: its square is a million million times that of other days."""
    panel = random_panel(1, 400, seed=5)
    jump = np.where(np.arange(400) >= 90, 1e6, 1.0)
    prices = {f: getattr(panel, f) * jump for f in ("open", "high", "low", "close")}
    panel, rule = dataclasses.replace(panel, **prices), STRATEGIES.get("rsi_reversion")
    grid = rule.candidates().take(np.arange(0, 190, 7))
    swept = sweep_metrics(panel, rule, grid, cost=0.001)
    for i in range(grid.size):
        told = metrics_table(panel, backtest(panel, rule, grid.set(i), cost=0.001))["S000"]
        for column in ("sharpe", "volatility", "sortino", "total_return"):
            if told[column] is not None:
                assert swept[column][i, 0] == pytest.approx(told[column], rel=1e-9), column


def test_a_short_that_loses_exactly_everything_is_ruined_in_every_engine():
    prices = np.array([50.0, 50.0, 50.0, 100.0, 50.0, 50.0])
    closes = np.array([50.0, 50.0, 100.0, 50.0, 50.0, 50.0])
    panel = panel_of(prices[None], closes[None])
    rule = Scripted({"S000": np.full(6, -1)})
    for cost in (0.0, 1e-4, 0.01):
        swept = sweep_metrics(panel, rule, rule.candidates(), cost=cost)
        assert swept["total_return"][0, 0] == -1.0
        for engine in ("events", "lanes", "reference"):
            account = backtest(panel, rule, NoParams(), cost=cost, engine=engine)[0]
            assert account.equity[2:].tolist() == [0.0] * 4
            assert account.trades.net_return.tolist() == [-1.0]


def test_fees_that_eat_everything_end_the_account_in_every_engine():
    panel = random_panel(1, 400, seed=6)
    rule = Scripted({"S000": np.arange(400) % 2})
    swept = sweep_metrics(panel, rule, rule.candidates(), cost=0.9999)
    told = [
        metrics_table(panel, backtest(panel, rule, NoParams(), cost=0.9999, engine=engine))["S000"]
        for engine in ("events", "reference")
    ]
    for column, values in swept.items():
        for other in told:
            if other[column] is not None:
                assert values[0, 0] == pytest.approx(other[column], rel=1e-9), column
    assert swept["total_return"][0, 0] == -1.0


class GuardedWhereAsked(ChannelBreakout):
    """The rules of another strategy, without guards where no set of a grid asks for one."""

    def rules(self, grid):
        whole = super().rules(grid)
        asked = (grid["stop_loss"] > 0.0).any()
        return dataclasses.replace(whole, guards=whole.guards if asked else None)


def test_parts_of_a_grid_are_measured_as_each_of_them_asks(monkeypatch):
    panel, rule = random_panel(3, 200, seed=7, swing=0.03), GuardedWhereAsked()
    grid = ParamGrid.product(
        rule.params, {"stop_loss": [0.0, 0.02, 0.03, 0.05], "entry": [5, 10], "exit": [5]}
    )
    whole = sweep_metrics(panel, rule, grid, cost=0.001)
    monkeypatch.setattr("backtest.engine.sweep.COLUMN_BYTES", 50)
    parts = sweep_metrics(panel, rule, grid, cost=0.001)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-9, err_msg=name)
    assert fast_engine(rule, grid) == "lanes"
    assert fast_engine(rule, grid.take(np.array([0]))) == "events"


def test_turnover_of_an_account_by_its_definition():
    panel = random_panel(1, 200, seed=13)
    rule = STRATEGIES.get("rsi_swing")
    account = backtest(panel, rule, rule.params(period=3, width=5.0), cost=0.001)[0]
    bars, expected = panel.bars(0), np.zeros(200)
    for entry, leave, quantity in zip(
        account.trades.entry, account.trades.exit, account.trades.quantity, strict=True
    ):
        for bar in (entry, leave):
            if bar >= 0:
                before = account.equity[bar - 1] if bar else 1.0
                expected[bar] += abs(quantity) * bars.open[bar] / before
    np.testing.assert_allclose(account_turnover(account), expected, rtol=1e-12)


def slow_weights(panel, rule, grid, kind):
    """Target weights ``[param, symbol, time]`` from the slow twins alone."""
    weights = np.zeros((grid.size, *panel.shape))
    for p in range(grid.size):
        position = np.zeros(panel.shape)
        for s in range(panel.shape[0]):
            bars = panel.bars(s)
            position[s, bars.at] = rule.reference(bars, grid.set(p))
        for t in range(panel.shape[1]):
            weights[p, :, t] = book_weights(
                position[:, t], panel.counted[:, t], sectors=panel.sectors, kind=kind
            )
    return weights


@pytest.mark.parametrize("name", ["rsi_swing", "channel_breakout"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("symbols", "gaps", "outside"), [(12, 0.0, 0.0), (8, 0.3, 0.0), (12, 0.2, 0.3)]
)
def test_books_equal_the_plain_simulation(name, kind, symbols, gaps, outside):
    panel = random_panel(symbols, 130, seed=14, gaps=gaps)
    spells = np.random.default_rng(16).random((symbols, 13)) >= outside
    panel = dataclasses.replace(panel, member=np.repeat(spells, 10, axis=1))
    rule = STRATEGIES.get(name)
    grid = rule.candidates().take(np.arange(0, 140, 19))
    weights = slow_weights(panel, rule, grid, kind)
    rng = np.random.default_rng(15)
    mixes = rng.random((3, 130, grid.size)) * (rng.random((3, 130, grid.size)) < 0.5)
    mixes /= np.maximum(mixes.sum(axis=2, keepdims=True), 1.0)
    mixes[:, :20] = 0.0
    swept = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    mixed = mix_book(panel, rule, grid, mixes, kind=kind, cost=0.001)
    targets = [*weights, *np.einsum("vtp,pst->vst", mixes, weights)]
    assert sum(np.abs(t).sum() > 1.0 for t in targets) > 3
    for i, target in enumerate(targets):
        slow = simulate_book(
            target, panel.tradable, opens=panel.open, closes=panel.close, cost=0.001
        )
        result, row = (swept, i) if i < grid.size else (mixed, i - grid.size)
        np.testing.assert_allclose(result.net_return[row], slow.net_return[0], atol=1e-13)
        np.testing.assert_allclose(result.turnover[row], slow.turnover[0], atol=1e-13)
