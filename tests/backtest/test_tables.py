"""Frames and records of results."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from backtest.engine.sweep import backtest, sweep_metrics
from backtest.strategy import STRATEGIES
from backtest.tables import (
    TRADE_COLUMNS,
    account_returns,
    equity_table,
    metrics_table,
    parameter_table,
    sweep_rows,
    trades_table,
)
from tests.backtest.markets import NoParams, Scripted, panel_of, random_panel


def gappy():
    """Two symbols, the second without a bar on the third session."""
    close = np.array([[10.0, 10.0, 20.0, 20.0, 20.0], [5.0, 5.0, np.nan, 10.0, 10.0]])
    panel = panel_of(close, close)
    rule = Scripted({"S000": [1, 1, 0, 0, 0], "S001": [1, 1, 1, 1, 1]})
    return panel, backtest(panel, rule, NoParams(), cost=0.0)


def test_trades_and_equity_carry_the_dates_of_the_fills():
    panel, accounts = gappy()
    trades = trades_table(panel, accounts)
    assert dict(trades.schema) == TRADE_COLUMNS
    assert trades.rows() == [
        ("S000", date(2010, 1, 5), date(2010, 1, 7), 10.0, 20.0, 0.1, 1.0, 2),
        ("S001", date(2010, 1, 5), None, 5.0, None, 0.2, None, 2),
    ]
    equity = equity_table(panel, accounts)
    assert equity.columns == ["symbol", "date", "equity"]
    assert equity.filter(pl.col("symbol") == "S001").rows() == [
        ("S001", date(2010, 1, 4), 1.0),
        ("S001", date(2010, 1, 5), 1.0),
        ("S001", date(2010, 1, 7), 2.0),
        ("S001", date(2010, 1, 8), 2.0),
    ]


def test_all_is_the_mean_of_the_symbols_that_have_a_bar():
    panel, accounts = gappy()
    assert account_returns(accounts[1]).tolist() == [0.0, 0.0, 1.0, 0.0]
    table = metrics_table(panel, accounts)
    # Returns of "all": 0 0 1 (S000 alone) .5 0.
    assert table["all"]["total_return"] == pytest.approx(2.0)
    assert table["all"]["trades"] == 1
    assert table["all"]["win_rate"] == 1.0
    assert set(table) == {"S000", "S001", "all"}
    assert table["S001"]["win_rate"] is None
    assert table["S001"]["reasons"]["win_rate"] == "no closed trade"
    undefined = {n for n, v in table["all"].items() if v is None}
    assert undefined == set(table["all"]["reasons"])


def test_tables_of_nothing_keep_their_columns():
    panel = random_panel(2, 10, seed=0)
    assert trades_table(panel, []).columns == list(TRADE_COLUMNS)
    assert equity_table(panel, []).columns == ["symbol", "date", "equity"]


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_sweep_tables(name):
    panel, rule = random_panel(3, 80, seed=2), STRATEGIES.get(name)
    grid = rule.candidates()
    metrics = sweep_metrics(panel, rule, grid, cost=0.001)
    parameters = parameter_table(grid)
    table = pl.concat(
        sweep_rows(symbol, parameters, {name: values[:, s] for name, values in metrics.items()})
        for s, symbol in enumerate(panel.symbols)
    )
    assert parameters.columns == ["set", *rule.params.model_fields]
    assert parameters.height == grid.size
    assert table.columns == ["symbol", "set", *rule.params.model_fields, *metrics]
    assert table.height == grid.size * 3
    assert table.select("symbol", "set").rows() == sorted(table.select("symbol", "set").rows())
    row = table.row(grid.size + grid.size // 2, named=True)
    i = row["set"]
    assert (row["symbol"], i) == ("S001", grid.size // 2)
    assert {f: row[f] for f in rule.params.model_fields} == grid.row(i)
    for column, values in metrics.items():
        expected = values[i, 1]
        assert row[column] is None if np.isnan(expected) else row[column] == expected
    assert table.select(pl.col(pl.Float64).is_nan().any()).row(0) == tuple(
        False for c, t in table.schema.items() if t == pl.Float64
    )
    assert table["sharpe"].null_count() == 0
    assert table.schema["trades"] == pl.Int64
