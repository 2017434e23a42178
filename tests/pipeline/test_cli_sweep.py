"""`sweep` by its command line: files, grids, samples, books, devices, and what is refused."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from backtest.errors import EngineUnavailable
from pipeline.commands.sweeps import Asked, run_sweep
from tests.pipeline.cli_runner import weathervane

SWEPT = (
    *("total_return", "cagr", "sharpe", "volatility", "sortino", "max_drawdown", "calmar"),
    *("trades", "win_rate", "profit_factor", "average_win", "average_loss", "expectancy"),
    "turnover",
)


def sweep(market: Path, out: Path, *options: object) -> tuple[dict, pl.DataFrame, pl.DataFrame]:
    ran = weathervane("sweep", "--data", market, "--out", out, *options)
    assert ran.code == 0, ran.err
    frames = [pl.read_parquet(out / f"{name}.parquet") for name in ("parameters", "metrics")]
    return json.loads((out / "sweep.json").read_text()), frames[0], frames[1]


def test_sweep_over_a_product_drops_and_counts_infeasible_sets(market: Path, tmp_path: Path):
    grid = tmp_path / "g.json"
    grid.write_text('{"period": [5, 9], "oversold": [30, 50], "overbought": [50, 70]}')
    about, sets, metrics = sweep(
        market, tmp_path, "--strategy", "rsi_reversion", "--grid", grid, "--book", "long-only"
    )
    assert (about["sets"], about["infeasible"]) == (6, 2)
    assert about["grid"] == "g.json"
    assert about["grid_sha256"] == hashlib.sha256(grid.read_bytes()).hexdigest()
    assert sets["set"].to_list() == list(range(6))
    assert metrics.columns == ["symbol", "set", *sets.columns[1:], *SWEPT]
    assert metrics.height == 6 * 6
    book = pl.read_parquet(tmp_path / "book.parquet")
    assert book.columns == ["date", *(f"p{i}" for i in range(6))]
    assert book.height == 260


def test_a_sweep_says_the_same_as_a_backtest(market: Path, tmp_path: Path):
    grid = tmp_path / "g.json"
    grid.write_text('[{"period": 7}, {"period": 12, "smoothing": 3}]')
    _, _, metrics = sweep(market, tmp_path, "--strategy", "rsi_reversion", "--grid", grid)
    weathervane(
        *("backtest", "--strategy", "rsi_reversion", "--params", '{"period":12,"smoothing":3}'),
        *("--data", market, "--out", tmp_path),
    )
    single = json.loads((tmp_path / "metrics.json").read_text())
    for row in metrics.filter(pl.col("set") == 1).iter_rows(named=True):
        for name in ("total_return", "sharpe", "max_drawdown", "trades", "turnover"):
            expected = single[row["symbol"]][name]
            if expected is None:
                assert (name, row[name]) == ("sharpe", 0.0)
            else:
                assert row[name] == pytest.approx(expected, rel=1e-9), name


def test_samples_are_drawn_from_the_seed(market: Path, tmp_path: Path):
    common = ("--strategy", "rsi_swing", "--symbols", "SYN001", "--samples", 20)
    about, first, _ = sweep(market, tmp_path / "a", *common, "--seed", 4)
    _, again, _ = sweep(market, tmp_path / "b", *common, "--seed", 4)
    _, other, _ = sweep(market, tmp_path / "c", *common, "--seed", 5)
    assert about["sets"] + about["infeasible"] == 20
    assert first.equals(again)
    assert not first.equals(other)


def test_top_keeps_the_best_books_under_their_own_numbers(market: Path, tmp_path: Path):
    about, _, metrics = sweep(
        market, tmp_path, *("--strategy", "rsi_swing", "--samples", 16),
        *("--book", "dollar-neutral", "--top", 3),
    )  # fmt: skip
    mean = metrics.group_by("set").agg(pl.col("sharpe").mean()).sort("sharpe", descending=True)
    best = sorted(mean["set"].head(3))
    assert about["book_sets"] == best
    assert pl.read_parquet(tmp_path / "book.parquet").columns == ["date", *(f"p{p}" for p in best)]


def test_too_wide_a_book_names_the_way_out(market: Path, tmp_path: Path):
    ran = weathervane(
        *("sweep", "--strategy", "rsi_swing", "--samples", 5000, "--data", market),
        *("--book", "dollar-neutral", "--out", tmp_path),
    )
    assert ran.code == 1
    assert ran.error_line.startswith("E_TOO_WIDE: ")
    assert "--top N" in ran.error_line


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "give either --grid"),
        (("--samples", 5, "--grid", "g.json"), 2, "give either --grid"),
        (("--samples", 0), 1, "E_PARAMETER"),
        (("--samples", 4, "--device", "gpu"), 1, "E_UNKNOWN: 'gpu' is not one of 'cpu', 'cuda'"),
        (("--samples", 4, "--top", 0), 1, "E_PARAMETER"),
        (("--grid", "nowhere.json"), 1, "E_JSON"),
    ],
)
def test_a_wrong_sweep(options: tuple, code: int, said: str, market: Path, tmp_path: Path):
    ran = weathervane(
        "sweep", "--strategy", "rsi_swing", "--data", market, "--out", tmp_path, *options
    )
    assert ran.code == code
    assert said in ran.err


def test_a_gpu_that_is_not_there_is_said_once_and_the_cpu_does_its_work(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    options = ("--strategy", "rsi_swing", "--samples", 8, "--book", "dollar-neutral")
    plain, *_ = sweep(market, tmp_path / "cpu", *options)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    about, *_ = sweep(market, tmp_path / "cuda", *options, "--device", "cuda")
    assert (plain["device"], about["device"], about["engine"]) == ("cpu", "cpu", "events")
    said = [r.message for r in caplog.records if r.name == "backtest.engine.device"]
    assert len(said) == 1
    assert "runs on the CPU instead" in said[0]
    for name in ("metrics", "book"):
        one, other = (pl.read_parquet(tmp_path / d / f"{name}.parquet") for d in ("cpu", "cuda"))
        assert one.equals(other)


def test_a_device_of_no_name(market: Path, tmp_path: Path):
    asked = Asked(samples=4)
    with pytest.raises(EngineUnavailable, match="E_DEVICE: no engine here for device 'tpu'"):
        run_sweep("rsi_swing", asked, market, out=tmp_path, device="tpu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "E_PARAMETER: a grid is"),
        ("{", "E_JSON: not JSON"),
        ("[]", "holds no parameter set"),
        ('[{"perod": 5}]', "did you mean 'period'"),
        ('{"period": [1000]}', "E_PARAMETER: parameter 'period' = 1000"),
    ],
)
def test_a_wrong_grid_is_one_line(text: str, said: str, market: Path, tmp_path: Path):
    grid = tmp_path / "g.json"
    grid.write_text(text)
    ran = weathervane(
        "sweep", "--strategy", "rsi_swing", "--grid", grid, "--data", market, "--out", tmp_path
    )
    assert ran.code == 1
    assert said in ran.error_line


def test_books_of_few_symbols_say_that_they_are_flat(market: Path, tmp_path: Path):
    asked = ("sweep", "--strategy", "rsi_swing", "--samples", 4, "--data", market)
    pair = ("--symbols", "SYN001,SYN002", "--book", "long-only")
    few = weathervane(*asked, *pair, "--out", tmp_path)
    assert few.code == 0, few.err
    sessions = pl.read_parquet(tmp_path / "book.parquet").height
    assert json.loads((tmp_path / "sweep.json").read_text())["book_flat_sessions"] == sessions
    assert f"flat on {sessions} sessions with fewer than 5 members" in few.out
    assert "flat on" not in weathervane(*asked, "--out", tmp_path).out
