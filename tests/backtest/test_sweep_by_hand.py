"""Both engines and the sweep against trades and columns that were derived without them.

For: `tests/golden/sweep_by_hand.json`. Not for: random markets (`tests/differential`).
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from backtest.engine.sweep import backtest, sweep_metrics
from backtest.engine.tally import COLUMNS
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES
from backtest.tables import account_turnover
from tests.backtest.markets import panel_of, targets_of
from tests.golden import by_hand

GOLDEN = json.loads(by_hand.FILE.read_text(encoding="utf-8"))
SETS = [pytest.param(told, id=told["strategy"]) for told in GOLDEN["sets"]]
PANEL = panel_of(np.array([GOLDEN["open"]], float), np.array([GOLDEN["close"]], float))
EXACT = {"rel": 1e-12, "abs": 1e-12}


def test_the_file_says_what_its_derivation_says():
    assert json.loads(json.dumps(by_hand.derive())) == GOLDEN


def test_the_working_of_each_trade_gives_its_net_return():
    trades = [trade for told in GOLDEN["sets"] for trade in told["trades"]]
    closed = [trade for trade in trades if trade["exit"] >= 0]
    assert (len(trades), len(closed)) == (9, 7)
    for trade in closed:
        assert eval(trade["working"].replace("x", "*")) == pytest.approx(
            trade["net_return"], **EXACT
        )


def test_the_sets_show_what_they_are_there_for():
    trades = {told["strategy"]: told["trades"] for told in GOLDEN["sets"]}
    assert trades["rsi_reversion"] == []
    assert trades["ma_cross"][-1]["exit"] == -1
    legs = trades["momentum"]
    reversals = [a for a, b in itertools.pairwise(legs) if a["exit"] == b["entry"]]
    assert len(reversals) == 3
    assert all(trade["side"] == 1 for trade in trades["bollinger_reversion"])


@pytest.mark.parametrize("told", SETS)
@pytest.mark.parametrize("engine", ["events", "reference"])
def test_trades_are_those_by_hand(told, engine):
    rule = STRATEGIES.get(told["strategy"])
    params = rule.params.parse(told["parameters"])
    grid = ParamGrid.of(rule.params, [params.model_dump()])
    assert targets_of(rule, PANEL.bars(0), grid)[0].tolist() == told["targets"]
    assert rule.reference(PANEL.bars(0), params) == told["targets"]
    account = backtest(PANEL, rule, params, cost=GOLDEN["cost"], engine=engine)[0]
    got = account.trades
    for name in ("entry", "exit", "entry_price"):
        assert getattr(got, name).tolist() == [trade[name] for trade in told["trades"]], name
    assert np.sign(got.quantity).tolist() == [trade["side"] for trade in told["trades"]]
    for name in ("exit_price", "net_return"):
        expected = np.array([trade[name] for trade in told["trades"]], dtype=float)
        np.testing.assert_allclose(getattr(got, name), expected, rtol=1e-13, err_msg=name)
    assert account.equity[-1] - 1.0 == pytest.approx(told["columns"]["total_return"], **EXACT)
    yearly = account_turnover(account).sum() / len(GOLDEN["close"]) * GOLDEN["periods_per_year"]
    assert yearly == pytest.approx(told["columns"]["turnover"], **EXACT)


@pytest.mark.parametrize("told", SETS)
def test_columns_of_a_sweep_are_those_by_hand(told):
    rule = STRATEGIES.get(told["strategy"])
    grid, _ = ParamGrid.parse(rule.params, [told["parameters"]])
    swept = sweep_metrics(PANEL, rule, grid, cost=GOLDEN["cost"])
    assert tuple(told["columns"]) == COLUMNS
    for name, expected in told["columns"].items():
        got = swept[name][0, 0]
        if expected is None:
            assert np.isnan(got), name
        else:
            assert got == pytest.approx(expected, **EXACT), name
