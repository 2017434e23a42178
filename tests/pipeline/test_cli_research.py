"""`backtest`, `regimes` and `market`: files as promised, errors as one line."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtest.tables import TRADE_COLUMNS
from tests.pipeline.cli_runner import weathervane


def test_market_writes_bars_truth_and_says_that_it_is_synthetic(market: Path):
    bars, truth = (
        pl.read_parquet(market / "bars.parquet"),
        pl.read_parquet(market / "truth.parquet"),
    )
    assert bars.shape == (6 * 260, 9)
    assert truth.columns == ["date", "state", "symbol", "conditional_mean"]
    about = json.loads((market / "market.json").read_text())
    assert (about["synthetic"], about["seed"], about["first"]) == (True, 3, "2010-01-04")


def test_a_longer_market_extends_a_shorter_one(market: Path, tmp_path: Path):
    ran = weathervane(
        *("market", "--world", "clear", "--symbols", 6, "--sessions", 280, "--seed", 3),
        *("--out", tmp_path, "--json"),
    )
    assert json.loads(ran.out)["sessions"] == 280
    long = pl.read_parquet(tmp_path / "bars.parquet")
    short = pl.read_parquet(market / "bars.parquet")
    last = short["date"].max()
    assert long.filter(pl.col("date") <= last).equals(short)


def test_a_market_says_what_it_was_made_with(tmp_path: Path):
    options = {"factor": 0.5, "volatility": 1.5, "volume": 0.0, "sectors": 3, "break-session": 40}
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    ran = weathervane(
        *("market", "--world", "structural-break", "--symbols", 4, "--sessions", 60, *given),
        *("--out", tmp_path, "--json"),
    )
    told = json.loads(ran.out)
    about = json.loads((tmp_path / "market.json").read_text())
    for name, value in options.items():
        assert told[name.replace("-", "_")] == about[name.replace("-", "_")] == value


@pytest.mark.parametrize(
    "option",
    [
        *(("--symbols", 0), ("--sessions", 0), ("--sessions", 99999), ("--sectors", 9)),
        *(("--volatility", 0), ("--factor", -1), ("--volume", -1), ("--break-session", 0)),
    ],
)
def test_a_market_out_of_range_is_one_line(option: tuple[str, int], tmp_path: Path):
    ran = weathervane("market", "--world", "clear", *option, "--out", tmp_path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_WORLD: ")


def test_backtest_writes_what_is_promised(market: Path, tmp_path: Path):
    ran = weathervane(
        *("backtest", "--strategy", "rsi_reversion", "--params", '{"period": 5}'),
        *("--data", market, "--symbols", "SYN001,SYN002", "--out", tmp_path),
    )
    assert ran.code == 0, ran.err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) == {"SYN001", "SYN002", "all"}
    trades = pl.read_csv(tmp_path / "trades.csv", try_parse_dates=True)
    assert trades.columns == list(TRADE_COLUMNS)
    equity = pl.read_parquet(tmp_path / "equity.parquet")
    assert equity.columns == ["symbol", "date", "equity"]
    daily = equity.sort("symbol", "date").with_columns(
        (pl.col("equity") / pl.col("equity").shift(1).over("symbol").fill_null(1.0) - 1).alias("r")
    )
    mean = daily.group_by("date").agg(pl.col("r").mean()).sort("date")["r"].to_numpy()
    assert metrics["all"]["total_return"] == pytest.approx(np.prod(1.0 + mean) - 1.0)
    about = json.loads((tmp_path / "backtest.json").read_text())
    assert about["params"]["period"] == 5
    assert about["rows"]["rows_in"] == about["rows"]["rows_out"]


def test_both_engines_agree_on_the_files(market: Path, tmp_path: Path):
    for engine in ("events", "reference"):
        ran = weathervane(
            *("backtest", "--strategy", "ma_cross", "--params", "{}", "--data", market),
            *("--symbols", "SYN003", "--engine", engine, "--out", tmp_path / engine),
        )
        assert ran.code == 0, ran.err
    fast, slow = (pl.read_csv(tmp_path / name / "trades.csv") for name in ("events", "reference"))
    assert fast.height > 0
    assert fast.select("entry_date", "exit_date").equals(slow.select("entry_date", "exit_date"))
    assert np.allclose(fast["quantity"], slow["quantity"], rtol=1e-12)


def test_parameters_from_a_file(market: Path, tmp_path: Path):
    path = tmp_path / "p.json"
    path.write_text('{"period": 9}')
    ran = weathervane(
        *("backtest", "--strategy", "rsi_reversion", "--params", f"@{path}", "--data", market),
        *("--symbols", "SYN001", "--out", tmp_path, "--json"),
    )
    assert set(json.loads(ran.out)) == {"SYN001", "all"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--strategy": "rsi_reversoin"}, "E_UNKNOWN: unknown strategy 'rsi_reversoin'"),
        ({"--params": '{"perod": 5}'}, "did you mean 'period'"),
        ({"--params": '{"period": 500}'}, "E_PARAMETER: parameter 'period' = 500"),
        ({"--params": '{"overbought": 50, "oversold": 50}'}, "break a rule"),
        ({"--params": "{period: 5}"}, "E_PARAMETER: not JSON"),
        ({"--params": "[5]"}, "must be an object"),
        ({"--params": "@nowhere.json"}, "E_JSON: no such file"),
        ({"--data": "nowhere"}, "E_DATA_PATH"),
        ({"--symbols": "SYN01"}, "E_SYMBOL"),
        ({"--cost-bps": -1}, "E_COST"),
        ({"--cost-bps": "nan"}, "E_COST"),
        ({"--engine": "execution"}, "E_ENGINE"),
        ({"--calendar": "NOWHERE"}, "E_CALENDAR"),
        ({"--out": "/dev/null/x"}, "E_OUT"),
    ],
)
def test_a_wrong_backtest_is_one_line(
    changed: dict[str, object], said: str, market: Path, tmp_path: Path
):
    options: dict[str, object] = {
        "--strategy": "rsi_reversion",
        "--params": "{}",
        "--data": market,
        "--out": tmp_path,
    } | changed
    ran = weathervane("backtest", *(word for pair in options.items() for word in pair))
    assert ran.code == 1
    assert said in ran.error_line


def test_every_engine_tells_the_same_trades_of_a_rule_with_guards(
    market: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    params = {"sides": "both", "entry": 20, "exit": 10, "stop_loss": 0.05, "longest": 15}
    params |= {"take_profit": 0.2, "trailing_stop": 0.06, "volatility_target": 0.01}
    told = {}
    for engine in ("events", "lanes", "reference"):
        out = tmp_path / engine
        told_by = ("backtest", "--strategy", "channel_breakout", "--params", json.dumps(params))
        ran = weathervane(*told_by, "--data", market, "--engine", engine, "--out", out)
        assert ran.code == 0, ran.err
        told[engine] = pl.read_csv(out / "trades.csv")
    assert [r.message for r in caplog.records if "lanes runs instead" in r.message] == [
        "engine events cannot follow guards or sizes: lanes runs instead"
    ]
    used = json.loads((tmp_path / "events" / "backtest.json").read_text())["engine"]
    assert used == "lanes"
    assert told["events"].height > 20
    assert told["events"]["bars_held"].max() <= 15
    whole = ("symbol", "entry_date", "exit_date", "entry_price", "exit_price", "bars_held")
    for engine in ("lanes", "reference"):
        assert told[engine].select(whole).equals(told["events"].select(whole))
        for column in ("quantity", "net_return"):
            np.testing.assert_allclose(
                told[engine][column].fill_null(0.0),
                told["events"][column].fill_null(0.0),
                rtol=1e-9,
            )


def test_rows_set_aside_are_named_and_the_rest_goes_on(market: Path, tmp_path: Path):
    bars = pl.read_parquet(market / "bars.parquet")
    broken = bars.with_row_index().with_columns(
        high=pl.when(pl.col("index") == 40).then(pl.col("low") * 0.5).otherwise(pl.col("high"))
    )
    broken.drop("index").write_parquet(tmp_path / "bars.parquet")
    ran = weathervane(
        *("backtest", "--strategy", "buy_and_hold", "--params", "{}"),
        *("--data", tmp_path / "bars.parquet", "--out", tmp_path / "out"),
    )
    assert ran.code == 0, ran.err
    aside = pl.read_csv(tmp_path / "out" / "quarantine.csv")
    assert aside["rule"].to_list() == ["high_below_low"]
    rows = json.loads((tmp_path / "out" / "backtest.json").read_text())["rows"]
    assert rows["rows_in"] == rows["rows_out"] + 1


def test_regimes_publishes_what_each_close_was_told(market: Path, tmp_path: Path):
    out = tmp_path / "r.parquet"
    ran = weathervane(
        *("regimes", "--data", market, "--out", out, "--train", 200, "--refit", 30, "--json")
    )
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["fits"] == 2
    frame = pl.read_parquet(out)
    assert frame.columns[:8] == [
        *("date", "regime", "p_bull", "p_sideways", "p_bear", "p_volatile", "p_heavy", "state")
    ]
    assert frame.height == 260
    assert frame["p_bull"].null_count() == 200
    told = frame.drop_nulls("regime")
    assert np.allclose(told["p_bull"] + told["p_sideways"] + told["p_bear"], 1.0)


def test_regimes_of_another_model_are_told_and_drawn(market: Path, tmp_path: Path):
    out, plot = tmp_path / "r.parquet", tmp_path / "pictures" / "r.png"
    ran = weathervane(
        *("regimes", "--data", market, "--out", out, "--train", 200, "--refit", 60),
        *("--model", "jump", "--plot", plot),
    )
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "260 sessions, 1 fit of jump"
    assert re.search(r" \d+ sessions \(\d+%\), \d+ spells? of \d+ on average", lines[1])
    assert any(re.search(r"\d+ switch(es)?, entropy 0\.\d+ of 1$", line) for line in lines)
    assert plot.read_bytes()[:4] == b"\x89PNG"
    told = pl.read_parquet(out).drop_nulls("regime")
    assert told["p_correlated"].is_between(0.0, 1.0).all()


def test_an_unknown_regime_model_is_one_line(market: Path, tmp_path: Path):
    ran = weathervane(
        *("regimes", "--data", market, "--out", tmp_path / "r.parquet", "--model", "jmp")
    )
    assert ran.code == 1
    assert ran.err.strip() == "E_UNKNOWN: unknown regime model 'jmp', did you mean 'jump'?"


@pytest.mark.parametrize(
    ("out", "plot", "said"),
    [
        ("r.csv", None, "E_OUT: the file is written in the form of parquet, "),
        ("r", None, "E_OUT: the file is written in the form of parquet, "),
        ("r.parquet", "p.jpg", "E_OUT: the file is written in the form of png, "),
        ("r.parquet", "taken/p.png", "E_OUT: cannot be written ("),
        ("r.parquet", "folder.png", "E_OUT: cannot be written (a folder)"),
    ],
)
def test_files_of_regimes_are_refused_before_anything_is_written(
    out: str, plot: str | None, said: str, market: Path, tmp_path: Path
):
    (tmp_path / "taken").write_text("no folder")
    (tmp_path / "folder.png").mkdir()
    drawn = () if plot is None else ("--plot", tmp_path / plot)
    ran = weathervane(
        *("regimes", "--data", market, "--out", tmp_path / out, "--train", 200, *drawn)
    )
    assert ran.code == 1
    assert ran.error_line.startswith(said)
    assert not (tmp_path / out).exists()


def test_a_first_fit_on_too_few_sessions_names_the_file_and_the_option(
    market: Path, tmp_path: Path
):
    ran = weathervane(
        *("regimes", "--data", market, "--out", tmp_path / "r.parquet", "--train", 30)
    )
    assert ran.code == 1
    assert ran.error_line.startswith("E_NOT_FITTED: ")
    assert f", {market}, first fit after 30 sessions, " in ran.error_line
    assert ran.error_line.endswith(", give more history, and a larger --train with it")


def test_regimes_see_the_first_sector_of_each_symbol_as_the_panel_does(tmp_path: Path):
    weathervane(
        "market",
        *("--world", "clear", "--symbols", 12, "--sessions", 260),
        "--out",
        tmp_path / "plain",
    )
    bars = pl.read_parquet(tmp_path / "plain" / "bars.parquet")
    late = pl.col("date") > bars["date"].median()
    pair = pl.col("symbol").rank("dense") % 2 == 0
    first = bars.with_columns(sector=pl.when(pair).then(pl.lit("Even")).otherwise(pl.lit("Odd")))
    mixed = first.with_columns(sector=pl.when(late).then(pl.lit("One")).otherwise("sector"))
    told = []
    for name, frame in (("first", first), ("mixed", mixed), ("none", bars.drop("sector"))):
        (tmp_path / name).mkdir()
        frame.write_parquet(tmp_path / name / "bars.parquet")
        out = tmp_path / f"{name}.parquet"
        weathervane(
            *("regimes", "--data", tmp_path / name, "--out", out, "--train", 200, "--refit", 60)
        )
        told.append(pl.read_parquet(out))
    assert told[0].equals(told[1])
    assert not told[0].equals(told[2]), "sectors count"


def test_regimes_of_too_short_a_history_is_one_line(market: Path, tmp_path: Path):
    ran = weathervane("regimes", "--data", market, "--out", tmp_path / "r.parquet")
    assert ran.code == 1
    assert ran.error_line.startswith("E_NOT_FITTED: 260 sessions")


def test_the_truth_of_a_market_is_not_read_as_bars(market: Path, tmp_path: Path):
    truth = pl.read_parquet(market / "truth.parquet")
    shuffled = tmp_path / "market"
    shuffled.mkdir()
    pl.read_parquet(market / "bars.parquet").write_parquet(shuffled / "bars.parquet")
    truth.with_columns(conditional_mean=pl.lit(9.9)).write_parquet(shuffled / "truth.parquet")
    for name, folder in (("plain", market), ("shuffled", shuffled)):
        weathervane(
            *("backtest", "--strategy", "rsi_swing", "--params", "{}", "--data", folder),
            *("--out", tmp_path / name),
        )
    plain, other = ((tmp_path / n / "equity.parquet") for n in ("plain", "shuffled"))
    assert pl.read_parquet(plain).equals(pl.read_parquet(other))
