"""Bars that are broken, few or quiet: what `backtest` and `sweep` make of them.

For: a defined result, or one line and nothing written. Not for: bad parameters and options
(`test_bad_sweeps.py`) or the rules of quality themselves.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtest.errors import DataError
from backtest.strategy import STRATEGIES
from tests.backtest.markets import panel_of
from tests.pipeline.cli_runner import Ran, weathervane
from tests.pipeline.small_bars import bars, grid_file, saved, with_price

PARAMS = {"period": 5, "oversold": 45.0, "overbought": 55.0}
WRONG = [np.nan, np.inf, 0.0, -3.0]
UNDEFINED = ("sortino", "calmar", "win_rate", "profit_factor", "average_win", "average_loss")


def backtest(
    data: Path, out: Path, strategy: str = "rsi_reversion", params: object = PARAMS
) -> Ran:
    return weathervane(
        *("backtest", "--strategy", strategy, "--params", json.dumps(params)),
        *("--data", data, "--calendar", "data", "--out", out),
    )


def sweep(data: Path, out: Path, strategy: str = "rsi_reversion", params: object = PARAMS) -> Ran:
    grid = grid_file(data.parent, [params])
    return weathervane(
        *("sweep", "--strategy", strategy, "--grid", grid),
        *("--data", data, "--calendar", "data", "--out", out),
    )


@pytest.mark.parametrize("price", WRONG)
def test_a_bar_without_a_price_is_as_if_it_were_not_there(price: float, tmp_path: Path):
    broken = saved(with_price(bars(), 20, price), tmp_path / "broken")
    absent = saved(bars().filter(pl.int_range(pl.len()) != 20), tmp_path / "absent")
    for data in (broken, absent):
        for run in (backtest, sweep):
            assert run(data, data.parent / run.__name__).code == 0
    for name in ("backtest/equity", "sweep/metrics"):
        one, other = (pl.read_parquet(p.parent / f"{name}.parquet") for p in (broken, absent))
        assert one.equals(other)
        assert one.height > 0
    for run in ("backtest", "sweep"):
        aside = pl.read_csv(broken.parent / run / "quarantine.csv")
        rule = "price_not_finite" if not np.isfinite(price) else "price_not_positive"
        assert aside["rule"].to_list() == [rule]
        assert aside["date"].to_list() == ["2020-01-21"]
        assert not (absent.parent / run / "quarantine.csv").exists()


@pytest.mark.parametrize("run", [backtest, sweep])
@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (bars().with_columns(close=pl.lit(np.nan)), "E_DATA_QUARANTINED: no bar is left"),
        (bars().with_columns(close=pl.lit(0.0)), "E_DATA_QUARANTINED: no bar is left"),
        (bars().with_columns(close=pl.lit("high")), "E_DATA_QUARANTINED: no bar is left"),
        (bars().head(0), "E_DATA_EMPTY: no rows"),
        (bars().drop("close"), "E_DATA_COLUMN"),
    ],
)
def test_no_bar_at_all_is_one_line_and_no_file(run, frame, said: str, tmp_path: Path):
    ran = run(saved(frame, tmp_path / "in"), tmp_path / "out")
    assert ran.code == 1
    assert ran.error_line.startswith(said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strategy", STRATEGIES.names())
@pytest.mark.parametrize("sessions", [1, 2])
def test_hardly_any_bar_is_an_account_without_a_closed_trade(
    strategy: str, sessions: int, tmp_path: Path
):
    data = saved(bars("AB", sessions), tmp_path / "in")
    assert backtest(data, tmp_path / "one", strategy, {}).code == 0
    assert sweep(data, tmp_path / "many", strategy, {}).code == 0
    trades = pl.read_csv(tmp_path / "one" / "trades.csv")
    held = strategy == "buy_and_hold" and sessions == 2
    assert trades["symbol"].to_list() == (["A", "B"] if held else [])
    for row in pl.read_parquet(tmp_path / "many" / "metrics.parquet").iter_rows(named=True):
        assert row["trades"] == 0
        assert row["expectancy"] is None
        assert (row["total_return"] == 0.0) is not held
        assert (row["turnover"] == 0.0) is not held
        assert (row["volatility"] is None) is (sessions == 1)


def test_a_set_that_never_trades_has_a_row_of_nothing(tmp_path: Path):
    data = saved(bars(), tmp_path / "in")
    quiet = {"oversold": 10.0, "overbought": 90.0, "period": 50}
    assert backtest(data, tmp_path / "one", params=quiet).code == 0
    assert sweep(data, tmp_path / "many", params=quiet).code == 0
    row = pl.read_parquet(tmp_path / "many" / "metrics.parquet").row(0, named=True)
    for name in ("total_return", "cagr", "sharpe", "volatility", "max_drawdown", "turnover"):
        assert row[name] == 0.0, name
    assert [row[name] for name in UNDEFINED] == [None] * len(UNDEFINED)
    assert pl.read_csv(tmp_path / "one" / "trades.csv").height == 0
    told = json.loads((tmp_path / "one" / "metrics.json").read_text())["A"]
    assert told["sharpe"] is None
    assert told["reasons"]["win_rate"] == "no closed trade"


@pytest.mark.parametrize("price", WRONG)
@pytest.mark.parametrize("field", ["open", "close"])
def test_a_panel_refuses_to_trade_what_is_no_price(price: float, field: str):
    arrays = {"opens": np.full((2, 5), 10.0), "close": np.full((2, 5), 11.0)}
    arrays["opens" if field == "open" else field][1, 3] = price
    with pytest.raises(DataError, match=rf"^E_DATA: {field} = .*, S001 2010-01-07, mend the price"):
        panel_of(**arrays, tradable=np.ones((2, 5), dtype=bool))
    seen = np.ones((2, 5), dtype=bool)
    seen[1, 3] = False
    assert panel_of(**arrays, tradable=seen).bars(1).size == 4
