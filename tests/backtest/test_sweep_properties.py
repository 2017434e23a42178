"""What must hold of a sweep on any market: costs, units, order, slices, prefixes, company.

For: invariants of `sweep_metrics` and `sweep_book`, and of the grids that go into them. Not for:
values (`test_sweep_by_hand.py`) or single accounts and books (`test_engine_properties.py`).
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import books, plan, sweep
from backtest.engine.books import sweep_book
from backtest.engine.sweep import backtest, sweep_metrics
from backtest.errors import ParameterError
from backtest.market.panel import Panel
from backtest.metric import compound, deviation, drawdown
from backtest.params import MOST_SETS, ParamGrid
from backtest.strategy import STRATEGIES
from backtest.tables import account_returns, account_turnover
from tests.backtest.markets import random_panel

Swept = dict[str, np.ndarray]
quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10_000)
names = st.sampled_from(STRATEGIES.names())
kinds = st.sampled_from(["long-only", "dollar-neutral", "sector-neutral"])


def market(seed: int, *, symbols: int = 3, sessions: int = 300) -> Panel:
    return random_panel(symbols, sessions, seed=seed, gaps=0.03)


def some_sets(seed: int, name: str, sets: int):
    rule = STRATEGIES.get(name)
    grid = rule.candidates()
    return rule, grid.take(np.random.default_rng(seed).permutation(grid.size)[:sets])


def assert_same(one: Swept, other: Swept, *, rows=slice(None), symbols=slice(None)) -> None:
    """Every column of ``other`` is, bit for bit, that part of ``one``."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values[rows][:, symbols], other[name], err_msg=name)


def joined(*grids: ParamGrid) -> ParamGrid:
    columns = {n: np.concatenate([g[n] for g in grids]) for n in grids[0].columns}
    return ParamGrid(grids[0].params, columns)


@quick
@given(seeds, names, st.floats(0.0, 0.02), st.floats(0.0, 0.02))
def test_costs_change_no_trade_and_never_help(seed, name, one, other):
    (rule, grid), panel = some_sets(seed, name, 3), market(seed, symbols=2)
    low, high = min(one, other), max(one, other)
    cheap, dear = (sweep_metrics(panel, rule, grid, cost=c) for c in (low, high))
    np.testing.assert_array_equal(cheap["trades"], dear["trades"])
    for column in ("total_return", "win_rate", "expectancy"):
        lost = dear[column] <= cheap[column] + 1e-12
        assert (lost | np.isnan(dear[column])).all(), column
    for i in range(grid.size):
        accounts = [backtest(panel, rule, grid.set(i), cost=c) for c in (low, high)]
        for a, b in zip(*accounts, strict=True):
            for field in ("entry", "exit"):
                np.testing.assert_array_equal(getattr(a.trades, field), getattr(b.trades, field))
            assert (b.equity <= a.equity * (1.0 + 1e-12)).all()
            closed = a.trades.exit >= 0
            assert (b.trades.net_return[closed] <= a.trades.net_return[closed] + 1e-12).all()


@quick
@given(seeds, names)
def test_the_unit_of_prices_does_not_matter_to_a_sweep(seed, name):
    (rule, grid), panel = some_sets(seed, name, 4), market(seed)
    factor = 2.0 ** np.random.default_rng(seed).integers(-6, 7, (3, 1))
    prices = {f: getattr(panel, f) * factor for f in ("open", "high", "low", "close")}
    scaled = dataclasses.replace(panel, **prices)
    assert_same(*(sweep_metrics(p, rule, grid, cost=0.001) for p in (panel, scaled)))


@quick
@given(seeds, names, st.permutations(range(4)), st.integers(1, 4))
def test_symbols_are_measured_alone_whatever_their_order_and_company(seed, name, order, kept):
    (rule, grid), panel = some_sets(seed, name, 4), market(seed, symbols=4)
    rows = list(order[:kept])
    fields = ("open", "high", "low", "close", "volume", "tradable", "member")
    part = dataclasses.replace(
        panel,
        symbols=tuple(panel.symbols[i] for i in rows),
        sectors=tuple(panel.sectors[i] for i in rows),
        **{f: getattr(panel, f)[rows] for f in fields},
    )
    whole, few = (sweep_metrics(p, rule, grid, cost=0.001) for p in (panel, part))
    assert_same(whole, few, symbols=rows)


@quick
@given(seeds, names, st.data())
def test_a_set_is_measured_alone_whatever_its_place_and_company(seed, name, data):
    """Slices, another order, more sets: each set keeps its numbers, in accounts and in books."""
    (rule, grid), panel = some_sets(seed, name, 9), market(seed, symbols=6)
    row = st.integers(0, grid.size - 1)
    rows = np.array(data.draw(st.lists(row, min_size=1, max_size=12)))
    few = grid.take(rows)
    if not grid.columns:  # one set, however often it is asked for
        rows = np.array([0])
    assert_same(*(sweep_metrics(panel, rule, g, cost=0.001) for g in (grid, few)), rows=rows)
    kind = data.draw(kinds)
    whole, part = (sweep_book(panel, rule, g, kind=kind, cost=0.001) for g in (grid, few))
    np.testing.assert_array_equal(whole.net_return[rows], part.net_return)
    np.testing.assert_array_equal(whole.turnover[rows], part.turnover)


@quick
@given(seeds, st.sampled_from([n for n in STRATEGIES.names() if n != "buy_and_hold"]))
def test_equal_sets_have_equal_results(seed, name):
    (rule, grid), panel = some_sets(seed, name, 5), market(seed)
    twice = sweep_metrics(panel, rule, joined(grid, grid.take(np.arange(5)[::-1])), cost=0.001)
    for column, values in twice.items():
        np.testing.assert_array_equal(values[:5], values[5:][::-1], err_msg=column)


@quick
@given(seeds, names, st.integers(1, 20_000), kinds)
def test_memory_allowed_changes_no_result(seed, name, allowed, kind):
    (rule, grid), panel = some_sets(seed, name, 11), market(seed, symbols=5)
    whole = sweep_metrics(panel, rule, grid, cost=0.001)
    book = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "COLUMN_BYTES", allowed)
        patch.setattr(sweep, "RESULT_BYTES", allowed)
        patch.setattr(books, "BLOCK_BYTES", allowed)
        patch.setattr(plan, "CHUNK_BYTES", allowed)
        assert_same(whole, sweep_metrics(panel, rule, grid, cost=0.001))
        parts = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    np.testing.assert_array_equal(book.net_return, parts.net_return)


@quick
@given(seeds, names, st.integers(2, 299))
def test_a_sweep_of_the_past_measures_the_accounts_up_to_then(seed, name, cut):
    (rule, grid), panel = some_sets(seed, name, 3), market(seed, symbols=2)
    past = sweep_metrics(panel.until(cut), rule, grid, cost=0.001)
    for i in range(grid.size):
        for s, account in enumerate(backtest(panel, rule, grid.set(i), cost=0.001)):
            bars = int(panel.tradable[s, :cut].sum())
            returns = account_returns(account)[:bars]
            left = account.trades.exit
            expected = {
                "total_return": compound(returns),
                "max_drawdown": drawdown(returns),
                "volatility": deviation(returns) * np.sqrt(252.0) if bars > 1 else np.nan,
                "trades": ((left >= 0) & (left < bars)).sum(),
                "turnover": account_turnover(account)[:bars].mean() * 252.0,
            }
            for column, value in expected.items():
                got = past[column][i, s]
                np.testing.assert_allclose(got, value, rtol=1e-9, atol=1e-9, err_msg=column)


VALUES = {"sides": ["both", "long"], "period": [20, 10, 10], "width": [1.0, 2.5], "exit": [0.5]}


@quick
@given(st.permutations(list(VALUES)), st.integers(0, 4))
def test_a_product_of_values_is_the_list_of_its_combinations(order, fields):
    params = STRATEGIES.get("bollinger_reversion").params
    values = {name: VALUES[name] for name in order[:fields]}
    combined = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    (product, dropped), (listed, none) = (
        ParamGrid.parse_product(params, values),
        ParamGrid.parse(params, combined),
    )
    assert (dropped, none) == (0, 0)
    assert list(product.columns) == list(params.model_fields)
    for name, column in listed.columns.items():
        assert product[name].dtype == column.dtype
        np.testing.assert_array_equal(product[name], column)


def test_a_product_counts_what_breaks_a_rule_as_a_list_does():
    params = STRATEGIES.get("rsi_reversion").params
    values = {"oversold": [30.0, 50.0], "period": [5, 9], "overbought": [50.0, 60.0]}
    rows = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    (product, dropped), listed = (
        ParamGrid.parse_product(params, values),
        ParamGrid.parse(params, rows),
    )
    assert (product.size, dropped) == (6, 2) == (listed[0].size, listed[1])
    assert product.rows() == listed[0].rows()


@settings(max_examples=30, deadline=None)
@given(names, st.integers(8, 70), seeds)
def test_drawn_sets_are_valid_ones(name, drawn, seed):
    params = STRATEGIES.get(name).params
    grid, dropped = ParamGrid.sobol(params, drawn, seed=seed)
    assert grid.size + dropped == drawn or not grid.columns
    again, none = ParamGrid.parse(params, grid.rows())
    assert none == 0
    for field, column in again.columns.items():
        assert grid[field].dtype.kind == column.dtype.kind
        np.testing.assert_array_equal(grid[field], column)


def test_more_sets_than_a_grid_holds_are_refused_before_they_are_made():
    params = STRATEGIES.get("rsi_reversion").params
    wide = {"period": [5] * 5000, "oversold": [20.0] * 5000}
    for make in (
        lambda: ParamGrid.parse_product(params, wide),
        lambda: ParamGrid.sobol(params, MOST_SETS + 1, seed=0),
    ):
        with pytest.raises(ParameterError, match=r"^E_TOO_WIDE: .* at most 16,777,216"):
            make()
