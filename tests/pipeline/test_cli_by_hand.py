"""`backtest` and `sweep` write the trades and columns that were derived without the engines.

For: `tests/golden/sweep_by_hand.json` through the command line. Not for: the engines alone
(`tests/backtest/test_sweep_by_hand.py`).
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.golden.by_hand import FILE
from tests.pipeline.cli_runner import weathervane

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
SETS = [pytest.param(told, id=told["strategy"]) for told in GOLDEN["sets"]]
DATES = (np.datetime64("2019-01-01", "D") + np.arange(len(GOLDEN["close"]))).tolist()


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Options that both commands share, with the bars written out."""
    path = tmp_path_factory.mktemp("by_hand") / "bars.csv"
    opens, close = pl.Series(GOLDEN["open"]), pl.Series(GOLDEN["close"])
    columns = {"symbol": ["HAND"] * len(DATES), "date": DATES, "open": opens, "close": close}
    bars = pl.DataFrame(columns).with_columns(
        high=pl.max_horizontal("open", "close"), low=pl.min_horizontal("open", "close")
    )
    bars.write_csv(path)
    return "--data", path, "--calendar", "data", "--cost-bps", GOLDEN["cost"] * 10_000


def ran(*words: object) -> None:
    told = weathervane(*words)
    assert told.code == 0, told.err


@pytest.mark.parametrize("told", SETS)
@pytest.mark.parametrize("engine", ["events", "reference"])
def test_backtest_writes_the_trades_by_hand(told, engine, common, tmp_path: Path):
    params = json.dumps(told["parameters"])
    ran(
        *("backtest", "--strategy", told["strategy"], "--params", params, "--engine", engine),
        *(*common, "--out", tmp_path),
    )
    rows = pl.read_csv(tmp_path / "trades.csv", try_parse_dates=True).rows(named=True)
    assert len(rows) == len(told["trades"])
    for row, trade in zip(rows, told["trades"], strict=True):
        out = trade["exit"]
        assert row["symbol"] == "HAND"
        assert row["entry_date"] == DATES[trade["entry"]]
        assert row["exit_date"] == (DATES[out] if out >= 0 else None)
        assert row["entry_price"] == trade["entry_price"]
        assert row["exit_price"] == trade["exit_price"]
        assert np.sign(row["quantity"]) == trade["side"]
        if out >= 0:
            assert row["net_return"] == pytest.approx(trade["net_return"], rel=1e-12)
        else:
            assert row["net_return"] is None
        assert row["bars_held"] == (out if out >= 0 else len(DATES) - 1) - trade["entry"]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["HAND"]["total_return"] == metrics["all"]["total_return"]
    for name, expected in told["columns"].items():
        got = metrics["HAND"][name]
        if name == "sharpe" and expected == 0.0:
            assert got is None
            assert "do not vary" in metrics["HAND"]["reasons"]["sharpe"]
        elif expected is None:
            assert got is None, name
        else:
            assert got == pytest.approx(expected, rel=1e-12, abs=1e-12), name


@pytest.mark.parametrize("told", SETS)
def test_sweep_writes_the_columns_by_hand(told, common, tmp_path: Path):
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps([told["parameters"]]))
    ran("sweep", "--strategy", told["strategy"], "--grid", grid, *common, "--out", tmp_path)
    row = pl.read_parquet(tmp_path / "metrics.parquet").row(0, named=True)
    assert (row["symbol"], row["set"]) == ("HAND", 0)
    assert {name: row[name] for name in told["parameters"]} == told["parameters"]
    for name, expected in told["columns"].items():
        if expected is None:
            assert row[name] is None, name
        else:
            assert row[name] == pytest.approx(expected, rel=1e-12, abs=1e-12), name
