"""`sweep` and `backtest` on real daily bars, read from $WEATHERVANE_MARKET_DATA.

For: the files as promised, and three ways to one number: sweep, fast and slow backtest. Not for:
whether anything was earned (`docs/results/sweep_lean.md`).
"""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from backtest.engine.tally import COLUMNS
from backtest.tables import TRADE_COLUMNS
from tests.pipeline.cli_runner import weathervane
from tests.pipeline.small_bars import grid_file

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
NAME = "lean_us_daily_1998_2021.parquet"
SYMBOLS, SESSIONS = 12, 5849
GRIDS = {
    "rsi_reversion": {"period": [5, 9, 14], "oversold": [20, 35, 50], "overbought": [60, 80]},
    "rsi_swing": {"direction": ["reversion", "momentum"], "period": [5, 20], "width": [5, 15]},
    "momentum": {"sides": ["long", "both"], "lookback": [20, 126, 252], "threshold": [0, 0.1]},
}


def lean() -> Path:
    if not FOLDER:
        pytest.skip("WEATHERVANE_MARKET_DATA names no folder of real market data")
    path = Path(FOLDER) / NAME
    if not path.exists():
        pytest.skip(f"{NAME} is not in $WEATHERVANE_MARKET_DATA")
    return path


@pytest.fixture(scope="module", params=sorted(GRIDS))
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sweep with a long-only book, named after its strategy."""
    data = lean()
    out = tmp_path_factory.mktemp("swept") / request.param
    grid = grid_file(out.parent, GRIDS[request.param])
    ran = weathervane(
        *("sweep", "--strategy", request.param, "--grid", grid, "--data", data),
        *("--book", "long-only", "--out", out),
    )
    assert ran.code == 0, ran.err
    return out


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def backtest(folder: Path, number: int, out: Path, *more: object) -> Path:
    """Run one set of a sweep by itself."""
    row = table(folder, "parameters").row(number, named=True)
    assert row.pop("set") == number
    ran = weathervane(
        *("backtest", "--strategy", folder.name, "--params", json.dumps(row)),
        *("--data", lean(), "--out", out, *more),
    )
    assert ran.code == 0, ran.err
    return out


def test_files_have_the_shape_that_was_promised(swept: Path):
    sets, metrics, book = (table(swept, n) for n in ("parameters", "metrics", "book"))
    about = json.loads((swept / "sweep.json").read_text())
    asked = 1
    for values in GRIDS[swept.name].values():
        asked *= len(values)
    assert about["sets"] + about["infeasible"] == asked
    assert (about["symbols"], about["sessions"]) == (SYMBOLS, SESSIONS)
    assert metrics.columns == ["symbol", "set", *sets.columns[1:], *COLUMNS]
    assert metrics.height == SYMBOLS * sets.height == SYMBOLS * about["sets"]
    assert metrics.select("symbol", "set").equals(metrics.select("symbol", "set").sort(pl.all()))
    assert book.columns == ["date", *(f"p{i}" for i in range(sets.height))]
    assert book.height == SESSIONS
    assert sorted(p.name for p in swept.iterdir()) == [
        *("book.parquet", "metrics.parquet", "parameters.parquet", "quarantine.csv", "sweep.json")
    ]
    assert metrics["total_return"].is_finite().all()
    assert (metrics["max_drawdown"] <= 1.0).all()
    assert metrics["trades"].sum() > 1000


def test_the_fast_engine_trades_as_the_slow_one(swept: Path, tmp_path: Path):
    sets = table(swept, "parameters").height
    closed = 0
    for number, symbol in ((0, "AAPL"), (sets // 2, "SPY"), (sets - 1, "USO")):
        told = []
        for engine in ("events", "reference"):
            out = tmp_path / f"{number}{engine}"
            backtest(swept, number, out, "--symbols", symbol, "--engine", engine)
            told.append(pl.read_csv(out / "trades.csv", schema_overrides=TRADE_COLUMNS))
        exact = ["symbol", "entry_date", "exit_date", "entry_price", "exit_price", "bars_held"]
        assert told[0].select(exact).equals(told[1].select(exact))
        for name in ("quantity", "net_return"):
            pairs = zip(told[0][name], told[1][name], strict=True)
            assert all(a == pytest.approx(b, rel=1e-9) for a, b in pairs if b is not None)
        closed += told[0]["exit_date"].count()
    assert closed > 20


def test_a_backtest_of_the_best_set_is_its_row_of_the_sweep(swept: Path, tmp_path: Path):
    metrics = table(swept, "metrics")
    mean = metrics.group_by("set").agg(pl.col("sharpe").mean())
    best = mean.sort("sharpe", "set", descending=[True, False])["set"][0]
    told = json.loads((backtest(swept, best, tmp_path) / "metrics.json").read_text())
    rows = metrics.filter(set=best).to_dicts()
    assert {row["symbol"] for row in rows} | {"all"} == set(told)
    for row in rows:
        for name in COLUMNS:
            expected = told[row["symbol"]][name]
            if expected is None and name == "sharpe":
                assert row[name] == 0.0
            elif expected is None:
                assert row[name] is None, name
            else:
                assert row[name] == pytest.approx(expected, rel=1e-9, abs=1e-12), name
