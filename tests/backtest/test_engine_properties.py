"""What must hold on any market: costs never help, units and order do not matter, no look-ahead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import events, sweep
from backtest.engine.books import mix_book, sweep_book
from backtest.engine.plan import plans_of
from backtest.engine.sweep import backtest, sweep_metrics
from backtest.market.panel import Panel
from backtest.result import Trades
from backtest.strategy import STRATEGIES
from tests.backtest.markets import Scripted, bars_of, random_panel, reordered

KINDS = ("long-only", "dollar-neutral", "sector-neutral")
seeds = st.integers(0, 10_000)
quick = settings(max_examples=20, deadline=None)


@st.composite
def scripts(draw):
    """Prices that may jump, and any targets; ``(bars, targets)``."""
    n = draw(st.integers(1, 30))
    moves = st.lists(st.floats(-0.9, 0.9), min_size=n, max_size=n)
    close = 50.0 * np.exp(np.cumsum(draw(moves)))
    opens = close * np.exp(np.array(draw(moves)) / 3)
    targets = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))
    return bars_of(opens, close), np.array(targets, dtype=np.int8)


def rule_and_grid(seed: int, *, name: str = "rsi_swing", sets: int = 5):
    rule = STRATEGIES.get(name)
    grid = rule.candidates()
    return rule, grid.take(np.random.default_rng(seed).permutation(grid.size)[:sets])


def random_mix(seed: int, sessions: int, sets: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.random((2, sessions, sets)) * (rng.random((2, sessions, sets)) < 0.5)
    return weights / np.maximum(weights.sum(axis=2, keepdims=True), 1.0)


@quick
@given(scripts(), st.floats(0.0, 0.2), st.floats(0.0, 0.2))
def test_costs_never_help_an_account(script, one, other):
    bars, targets = script
    cheap, dear = (
        events.account(bars, targets.copy(), cost=c) for c in (min(one, other), max(one, other))
    )
    assert (dear.equity <= cheap.equity * (1 + 1e-12)).all()


@quick
@given(seeds, st.sampled_from(KINDS), st.floats(0.0, 0.05))
def test_costs_never_help_a_book(seed, kind, cost):
    panel = random_panel(7, 80, seed=seed, gaps=0.05)
    rule, grid = rule_and_grid(seed)
    free = sweep_book(panel, rule, grid, kind=kind, cost=0.0)
    paid = sweep_book(panel, rule, grid, kind=kind, cost=cost)
    assert (paid.net_return <= free.net_return).all()
    np.testing.assert_allclose(free.net_return - paid.net_return, cost * free.turnover, atol=1e-15)


@quick
@given(scripts(), st.sampled_from([0.125, 0.5, 8.0, 1024.0]))
def test_the_unit_of_prices_does_not_matter_to_an_account(script, factor):
    bars, targets = script
    scaled = bars_of(bars.open * factor, bars.close * factor)
    a, b = (events.account(x, targets.copy(), cost=0.001) for x in (bars, scaled))
    np.testing.assert_array_equal(a.equity, b.equity)
    np.testing.assert_array_equal(a.trades.net_return, b.trades.net_return)
    np.testing.assert_array_equal(a.trades.quantity, b.trades.quantity * factor)


@quick
@given(seeds, st.sampled_from(KINDS), st.sampled_from(STRATEGIES.names()))
def test_the_unit_of_prices_does_not_matter_to_a_book(seed, kind, name):
    panel = random_panel(6, 90, seed=seed, gaps=0.05)
    factor = 2.0 ** np.random.default_rng(seed).integers(-4, 5, (6, 1))
    prices = {f: getattr(panel, f) * factor for f in ("open", "high", "low", "close")}
    rule, grid = rule_and_grid(seed, name=name)
    a = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    b = sweep_book(dataclasses.replace(panel, **prices), rule, grid, kind=kind, cost=0.001)
    np.testing.assert_array_equal(a.net_return, b.net_return)


@quick
@given(seeds, st.sampled_from(KINDS))
def test_the_order_of_symbols_does_not_matter(seed, kind):
    panel = random_panel(8, 90, seed=seed, gaps=0.1)
    order = np.random.default_rng(seed).permutation(8)
    shuffled = reordered(panel, order)
    rule, grid = rule_and_grid(seed)
    weights = random_mix(seed, 90, grid.size)
    pairs = [
        (
            sweep_book(p, rule, grid, kind=kind, cost=0.001),
            mix_book(p, rule, grid, weights, kind=kind, cost=0.001),
        )
        for p in (panel, shuffled)
    ]
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_allclose(a.net_return, b.net_return, atol=1e-14)
        np.testing.assert_allclose(a.turnover, b.turnover, atol=1e-13)
    first, second = (sweep_metrics(p, rule, grid, cost=0.001) for p in (panel, shuffled))
    for name, values in first.items():
        np.testing.assert_array_equal(values[:, order], second[name])


@quick
@given(seeds, st.sampled_from(KINDS), st.integers(1, 100), st.sampled_from(STRATEGIES.names()))
def test_the_prefix_of_a_book_is_the_book_of_the_prefix(seed, kind, cut, name):
    panel = random_panel(7, 100, seed=seed, gaps=0.1)
    rule, grid = rule_and_grid(seed, name=name)
    weights = random_mix(seed, 100, grid.size)
    full = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    part = sweep_book(panel.until(cut), rule, grid, kind=kind, cost=0.001)
    np.testing.assert_array_equal(full.net_return[:, :cut], part.net_return)
    np.testing.assert_array_equal(full.turnover[:, :cut], part.turnover)
    full = mix_book(panel, rule, grid, weights, kind=kind, cost=0.001)
    part = mix_book(panel.until(cut), rule, grid, weights[:, :cut], kind=kind, cost=0.001)
    np.testing.assert_array_equal(full.net_return[:, :cut], part.net_return)


@quick
@given(seeds, st.integers(1, 100), st.sampled_from(STRATEGIES.names()))
def test_the_prefix_of_an_account_is_the_account_of_the_prefix(seed, cut, name):
    panel = random_panel(3, 100, seed=seed, gaps=0.1)
    rule, grid = rule_and_grid(seed, name=name, sets=1)
    for engine in ("events", "reference"):
        full = backtest(panel, rule, grid.set(0), cost=0.001, engine=engine)
        part = backtest(panel.until(cut), rule, grid.set(0), cost=0.001, engine=engine)
        for s, (a, b) in enumerate(zip(full, part, strict=True)):
            bars = int(panel.tradable[s, :cut].sum())
            np.testing.assert_array_equal(a.equity[:bars], b.equity)
            np.testing.assert_array_equal(a.position[:bars], b.position)
            closed = b.trades.exit >= 0
            for field in ("entry", "exit", "net_return"):
                long, short = getattr(a.trades, field), getattr(b.trades, field)
                np.testing.assert_array_equal(long[: short.size][closed], short[closed])


@quick
@given(seeds, st.sampled_from(KINDS), st.integers(40, 98))
def test_a_session_does_not_know_its_own_close_before_it_fills(seed, kind, day):
    """Change one close: what was traded that day stays, what it earned may change."""
    panel = random_panel(7, 100, seed=seed)
    close = panel.close.copy()
    close[:, day] *= 1.3
    changed: Panel = dataclasses.replace(panel, close=close)
    rule, grid = rule_and_grid(seed)
    a = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    b = sweep_book(changed, rule, grid, kind=kind, cost=0.001)
    np.testing.assert_array_equal(a.turnover[:, : day + 1], b.turnover[:, : day + 1])
    np.testing.assert_array_equal(a.net_return[:, :day], b.net_return[:, :day])


@pytest.mark.parametrize("kind", ["dollar-neutral", "sector-neutral"])
def test_neutral_books_do_not_feel_a_common_move(kind):
    """Everybody gaps up by a quarter in one night: a balanced book earns nothing from it."""
    panel = random_panel(9, 80, seed=4)
    opens = panel.open.copy()
    opens[:, 50] = panel.close[:, 49]
    quiet = dataclasses.replace(panel, open=opens)
    jump = np.where(np.arange(80) >= 50, 1.25, 1.0)
    prices = {f: getattr(quiet, f) * jump for f in ("open", "high", "low", "close")}
    rule, grid = rule_and_grid(1)
    a = sweep_book(quiet, rule, grid, kind=kind, cost=0.0)
    b = sweep_book(dataclasses.replace(quiet, **prices), rule, grid, kind=kind, cost=0.0)
    assert (a.turnover[:, :50].sum(axis=1) > 0.0).all()
    np.testing.assert_allclose(a.net_return[:, :51], b.net_return[:, :51], atol=1e-15)
    alone = sweep_book(dataclasses.replace(quiet, **prices), rule, grid, kind="long-only", cost=0.0)
    assert np.abs(alone.net_return[:, 50]).max() > 0.01


def test_trades_are_disjoint_and_in_order():
    panel = random_panel(4, 300, seed=9)
    rule = STRATEGIES.get("rsi_swing")
    for account in backtest(panel, rule, rule.params(period=5, width=10.0), cost=0.001):
        trades: Trades = account.trades
        assert trades.entry.size > 5
        assert (trades.exit[:-1] > trades.entry[:-1]).all()
        assert (trades.entry[1:] >= trades.exit[:-1]).all()
        inside = np.zeros(account.position.size, dtype=np.int8)
        for i in range(trades.entry.size):
            stop = trades.exit[i] if trades.exit[i] >= 0 else inside.size
            inside[trades.entry[i] : stop] = np.sign(trades.quantity[i])
        np.testing.assert_array_equal(inside, account.position)


def test_a_grid_that_is_measured_in_parts_has_the_metrics_of_the_whole(monkeypatch):
    panel, (rule, grid) = random_panel(4, 150, seed=5), rule_and_grid(3, sets=37)
    whole = sweep_metrics(panel, rule, grid, cost=0.001)
    monkeypatch.setattr(sweep, "COLUMN_BYTES", 200)
    assert len(plans_of(rule, grid, 150, limit=sweep.COLUMN_BYTES)) > 3
    parts = sweep_metrics(panel, rule, grid, cost=0.001)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_symbols_are_handed_over_in_their_order_and_errors_are_not_lost():
    panel, (rule, grid) = random_panel(7, 80, seed=5), rule_and_grid(3)
    table = sweep_metrics(panel, rule, grid, cost=0.001)
    for s, columns in enumerate(sweep.stream_metrics(panel, rule, grid, cost=0.001)):
        np.testing.assert_array_equal(columns, [values[:, s] for values in table.values()])
    script = Scripted({panel.symbols[0]: np.ones((1, 80))})  # knows no other symbol
    with pytest.raises(KeyError):
        sweep_metrics(panel, script, script.candidates(), cost=0.0)
