"""`tune` by its command line: files, a kill in the middle, ledgers, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from ml.corpus import incumbents_of
from pipeline.commands.tuning_journal import JOURNAL
from tests.architecture.source_tree import ROOT
from tests.pipeline.cli_runner import Ran, weathervane

FILES = {
    *("trials.parquet", "front.parquet", "best.json", "tune.json", "tune.md", "tune.html"),
    *("pareto.png", "hypervolume.png", "regret.png", "surface.png", JOURNAL),
}


def tune(market: Path, out: Path, *options: object) -> Ran:
    return weathervane("tune", "--data", market, "--out", out, *options)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_search_leaves_its_folder(market: Path, tmp_path: Path):
    ran = tune(
        market, tmp_path, "--trials", 24, "--batch", 8, "--searcher", "genetic",
        "--objective", "sharpe,max_drawdown", "--constraint", "trades>=1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.out.startswith("SYNTHETIC market")
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    told = json.loads((tmp_path / "tune.json").read_text())
    trials = pl.read_parquet(tmp_path / "trials.parquet")
    assert trials.height == told["trials"] == 24
    assert trials["batch"].to_list() == [0] * 8 + [1] * 8 + [2] * 8
    front = pl.read_parquet(tmp_path / "front.parquet")
    assert sorted(front["number"]) == told["front"]
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == told["chosen"]["parameters"]
    assert told["held_back"]["sessions"] == 78
    assert told["best_of_search"]["candidates"] == 24
    assert told["training"]["sessions"] == 260 - 78 - 10


def test_the_chosen_set_goes_on_to_a_backtest_and_is_an_incumbent(market: Path, tmp_path: Path):
    assert tune(market, tmp_path / "t", "--trials", 8).code == 0
    best = tmp_path / "t" / "best.json"
    ran = weathervane(
        *("backtest", "--strategy", "rsi_swing", "--params", f"@{best}"),
        *("--data", market, "--out", tmp_path / "b"),
    )
    assert ran.code == 0, ran.err
    content = json.loads(best.read_text())
    assert incumbents_of(content, ["rsi_swing"]) == {"rsi_swing": content}


def test_the_training_window_is_all_that_a_search_sees(market: Path, tmp_path: Path):
    """Bars after the training window change nothing but what is said of them."""
    bars = pl.read_parquet(market / "bars.parquet")
    late = pl.col("date") > bars["date"].unique().sort()[200]
    other = tmp_path / "other"
    other.mkdir()
    moved = [pl.when(late).then(pl.col(n) * 1.5).otherwise(pl.col(n)).alias(n)
             for n in ("open", "high", "low", "close")]  # fmt: skip
    bars.with_columns(moved).write_parquet(other / "bars.parquet")
    for name, source in (("a", market), ("b", other)):
        assert tune(source, tmp_path / name, "--trials", 16, "--holdout", 0.3).code == 0
    one, two = (json.loads((tmp_path / n / "tune.json").read_text()) for n in "ab")
    assert one["chosen"] == two["chosen"]
    assert one["held_back"] != two["held_back"]
    trials = [pl.read_parquet(tmp_path / n / "trials.parquet") for n in "ab"]
    assert trials[0].equals(trials[1])


def test_a_killed_search_goes_on_to_the_same_bytes(market: Path, tmp_path: Path):
    asked = ("--trials", 48, "--batch", 2, "--searcher", "tpe", "--seed", 3)
    assert tune(market, tmp_path / "whole", *asked).code == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "pipeline", "tune", "--data", str(market), "--out", str(out)]
    running = subprocess.Popen(
        [*command, *map(str, asked)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = out / JOURNAL
    while running.poll() is None and (
        not journal.exists() or journal.read_bytes().count(b"\n") < 5
    ):
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    held = journal.read_bytes()
    assert not (out / "tune.json").exists(), "the search was over before the kill"
    journal.write_bytes(held + b'{"rows": [{"peri')  # what a kill leaves of a line
    ran = tune(market, out, *asked)
    assert ran.code == 0, ran.err
    assert "went on after" in ran.out
    assert contents(out) == contents(tmp_path / "whole")


def test_a_search_that_is_done_is_only_told_again(market: Path, tmp_path: Path):
    asked = ("--trials", 12, "--searcher", "sobol")
    assert tune(market, tmp_path, *asked).code == 0
    before = contents(tmp_path)
    again = tune(market, tmp_path, *asked)
    assert "went on after 12 sets" in again.out
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seed", 1, "seed differ"),
        ("--objective", "calmar", "objectives differ"),
        ("--trials", 13, "trials differ"),
        ("--strategy", "ma_cross", "space, strategy differ"),
        ("--symbols", "SYN001,SYN002,SYN003,SYN004,SYN005", "panel_sha256 differ"),
    ],
)
def test_the_journal_of_another_search_is_refused(
    option: str, value: object, said: str, market: Path, tmp_path: Path
):
    assert tune(market, tmp_path, "--trials", 6, "--searcher", "uniform").code == 0
    asked = {"--trials": 6, "--searcher": "uniform", option: value}
    ran = tune(market, tmp_path, *[part for pair in asked.items() for part in pair])
    assert ran.code == 1
    assert ran.error_line.startswith("E_JOURNAL: the journal belongs to another search")
    assert said in ran.error_line


def test_a_changed_line_is_not_gone_on_from(market: Path, tmp_path: Path):
    assert tune(market, tmp_path, "--trials", 6, "--searcher", "uniform").code == 0
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"feasible": [true', b'"feasible": [false', 1))
    ran = tune(market, tmp_path, "--trials", 6, "--searcher", "uniform")
    assert ran.error_line.startswith("E_CORRUPT: a changed line of the journal of the search")


def test_every_trial_counts_once_in_a_home(market: Path, tmp_path: Path):
    home = tmp_path / "home"
    asked = ("--trials", 10, "--searcher", "uniform", "--home", home, "--json")
    first = tune(market, tmp_path / "a", *asked)
    assert first.code == 0, first.err
    assert json.loads(first.out)["ledger"]["new"] == 10
    again = tune(market, tmp_path / "b", *asked)
    assert json.loads(again.out)["ledger"]["new"] == 0
    other = tune(market, tmp_path / "c", *asked, "--seed", 9)
    assert json.loads(other.out)["ledger"]["new"] == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--searcher", "tpee"), "E_UNKNOWN: unknown searcher 'tpee', did you mean 'tpe'"),
        (("--strategy", "rsi"), "E_UNKNOWN"),
        (("--objective", "sharp"), "E_OBJECTIVE: unknown metric 'sharp'"),
        (("--objective", "sharpe,sharpe"), "E_OBJECTIVE: an objective stands twice"),
        (("--constraint", "max_drawdown<1"), "E_OBJECTIVE: constraint"),
        (("--constraint", "trades>=100000"), "E_OBJECTIVE: none of 4 sets"),
        (("--searcher", "cmaes", "--objective", "sharpe,calmar"), "E_OBJECTIVE: cmaes"),
        (("--regime", "bull", "--objective", "win_rate"), "E_OBJECTIVE: win_rate"),
        (("--regime", "bulls"), "E_UNKNOWN"),
        (("--timeframes", "1h"), "E_TIMEFRAME"),
        (("--bounds", '{"period": [9, 2]}'), "E_PARAMETER: bounds of 'period'"),
        (("--bounds", '{"period": 9}'), "E_PARAMETER: bounds are an object of lists"),
        (("--bounds", "{"), "E_PARAMETER: not JSON"),
        (("--bounds", '{"period": [5, 9]}', "--lattice"), "E_PARAMETER: bounds and"),
        (("--trials", 0), "E_PARAMETER: trials = 0"),
        (("--trials", 5000), "E_TOO_WIDE"),
        (("--batch", 0), "E_PARAMETER: batch = 0"),
        (("--holdout", 0.9), "E_TOO_SHORT"),
        (("--holdout", 1.5), "E_PARAMETER: holdout"),
        (("--book", "sector-neutral", "--cost-bps", -1), "E_COST"),
    ],
)
def test_what_is_refused_leaves_no_result(options: tuple, said: str, market: Path, tmp_path: Path):
    asked = {"--trials": 4, **dict(zip(options[::2], options[1::2], strict=False))}
    words = [part for pair in asked.items() for part in pair]
    ran = tune(market, tmp_path, *words, *(options[-1:] if len(options) % 2 else ()))
    assert ran.code == 1, ran.out
    assert said in ran.error_line
    assert not (tmp_path / "tune.json").exists()


def test_equal_bounds_and_a_market_that_is_worth_nothing(market: Path, tmp_path: Path):
    bounds = (
        '{"period": [14, 14], "width": [20, 20], "smoothing": [1, 1], "direction": ["momentum"]}'
    )
    ran = tune(market, tmp_path / "one", "--bounds", bounds)
    assert ran.code == 0, ran.err
    assert "the space holds 1 feasible sets" in ran.out
    flat = tune(market, tmp_path / "flat", "--symbols", "SYN001", "--objective", "volatility",
                "--trials", 6)  # fmt: skip
    assert flat.code == 0, flat.err
    assert "every feasible set is worth the same" in flat.out
