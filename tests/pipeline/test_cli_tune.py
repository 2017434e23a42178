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

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from ml.corpus import incumbents_of
from pipeline.commands import tuning_files
from pipeline.commands.tuning_journal import JOURNAL
from pipeline.commands.tuning_study import Asked, markets_seen
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


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a run the drawing, which takes most of its time."""
    monkeypatch.setattr(tuning_files, "_pictures", lambda *_: [])


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


@pytest.mark.usefixtures("without_pictures")
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


@pytest.mark.usefixtures("without_pictures")
def test_the_training_window_is_all_that_a_search_sees(market: Path, tmp_path: Path):
    """Bars from the first session after the training window on change only what is said of them."""
    bars = pl.read_parquet(market / "bars.parquet")
    late = pl.col("date") >= bars["date"].unique().sort()[260 - 78 - 10]
    other = tmp_path / "other"
    other.mkdir()
    swung = 1.0 + 0.2 * (pl.col("date").dt.ordinal_day() * 0.7).sin()
    moved = [pl.when(late).then(pl.col(n) * swung).otherwise(pl.col(n)).alias(n)
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


@pytest.mark.usefixtures("without_pictures")
def test_a_finished_search_goes_on_to_more_trials(market: Path, tmp_path: Path):
    """Every file but the journal, whose lines say how it went, as by one longer search."""
    home = tmp_path / "home"
    asked = ("--searcher", "genetic", "--batch", 4)
    first = tune(market, tmp_path / "a", *asked, "--trials", 26, "--home", home, "--json")
    assert first.code == 0, first.err
    longer = (*asked, "--trials", 32)
    more = tune(market, tmp_path / "a", *longer, "--home", home, "--json")
    assert json.loads(more.out)["ledger"] == json.loads(first.out)["ledger"] | {
        "trials": 32,
        "new": 6,
    }
    assert tune(market, tmp_path / "b", *longer).code == 0
    files = {name for name in FILES - {JOURNAL} if not name.endswith(".png")}
    assert {p.name for p in (tmp_path / "a").iterdir()} >= files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.fixture(scope="module")
def finished(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search of six sets; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    assert tune(market, out, "--trials", 6, "--searcher", "uniform").code == 0
    return out


def test_a_search_that_is_done_is_only_told_again(market: Path, finished: Path, tmp_path: Path):
    (tmp_path / JOURNAL).write_bytes((finished / JOURNAL).read_bytes())
    again = tune(market, tmp_path, "--trials", 6, "--searcher", "uniform")
    assert "went on after 6 sets" in again.out
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seed", 1, "the journal belongs to another search: seed differ"),
        ("--objective", "calmar", "the journal belongs to another search: objectives differ"),
        ("--trials", 5, "the journal holds 6 sets, and every one that was tried counts"),
        ("--strategy", "ma_cross", "the journal belongs to another search: space, strategy differ"),
        ("--symbols", "SYN001,SYN002,SYN003,SYN004,SYN005", "panel_sha256 differ"),
    ],
)
def test_the_journal_of_another_search_is_refused(
    option: str, value: object, said: str, market: Path, finished: Path
):
    asked = {"--trials": 6, "--searcher": "uniform", option: value}
    ran = tune(market, finished, *[part for pair in asked.items() for part in pair])
    assert ran.code == 1
    assert ran.error_line.startswith("E_JOURNAL: ")
    assert said in ran.error_line


def test_a_changed_line_is_not_gone_on_from(market: Path, finished: Path, tmp_path: Path):
    path = tmp_path / JOURNAL
    path.write_bytes(
        (finished / JOURNAL).read_bytes().replace(b'"feasible": [true', b'"feasible": [false', 1)
    )
    ran = tune(market, tmp_path, "--trials", 6, "--searcher", "uniform")
    assert ran.error_line.startswith("E_CORRUPT: a changed line of the journal of the search")


@pytest.mark.usefixtures("without_pictures")
def test_every_trial_counts_once_in_a_home(market: Path, tmp_path: Path):
    home = tmp_path / "home"
    asked = ("--trials", 10, "--searcher", "uniform", "--home", home, "--json")
    first = tune(market, tmp_path / "a", *asked)
    assert first.code == 0, first.err
    assert json.loads(first.out)["ledger"]["new"] == 10
    again = tune(market, tmp_path / "b", *asked)
    assert json.loads(again.out)["ledger"]["new"] == 0
    other = tune(market, tmp_path / "c", *asked, "--seed", 9, "--constraint", "sharpe>=99")
    assert other.error_line.startswith("E_OBJECTIVE: none of 10 sets")
    later = tune(market, tmp_path / "d", *asked, "--seed", 9)
    assert json.loads(later.out)["ledger"]["new"] == 0, "sets that are not feasible were tried too"


def test_a_regime_s_weights_do_not_depend_on_what_comes_later():
    """The search sees the training window alone, and the sessions kept back only add fits."""
    asked = Asked(regime="calm")
    panel = Panel.from_frame(generate(WorldConfig(symbols=5, seed=4), weekdays(420)).bars)
    stop, fits = 294, {}
    seen = markets_seen(panel.until(stop), asked, training=stop, fits=fits)[0]
    whole = markets_seen(panel, asked, training=stop, fits=dict(fits))[0]
    again = markets_seen(panel, asked, training=stop, fits={})[0]
    assert seen.weights.sum() > 20.0
    for other in (whole, again):
        assert other.weights[:stop].tobytes() == seen.weights.tobytes()


@pytest.mark.usefixtures("without_pictures")
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
        (("--timeframes", "1w,1w"), "E_TIMEFRAME: a timeframe stands twice"),
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


@pytest.mark.usefixtures("without_pictures")
def test_equal_bounds_and_a_market_that_is_worth_nothing(market: Path, tmp_path: Path):
    bounds = (
        '{"period": [14, 14], "width": [20, 20], "smoothing": [1, 1], "direction": ["momentum"]}'
    )
    ran = tune(market, tmp_path / "one", "--bounds", bounds)
    assert ran.code == 0, ran.err
    assert "feasible sets of the space: 1, all" in ran.out
    assert "\n1 set by tpe, " in ran.out
    assert "every feasible set is worth the same" in ran.out


@pytest.mark.usefixtures("without_pictures")
def test_a_market_too_narrow_for_a_book_is_refused_before_the_search(market: Path, tmp_path: Path):
    one = ("--symbols", "SYN001", "--trials", 4)
    ran = tune(market, tmp_path / "book", *one)
    assert ran.code == 1
    assert ran.error_line.startswith("E_DATA: at most 1 symbol can be traded at a close where a bo")
    assert not (tmp_path / "book").exists()
    accounts = tune(market, tmp_path / "accounts", *one, "--objective", "trades")
    assert accounts.code == 0, accounts.err
    assert "note: at most 1 symbol can be traded" in accounts.out
    assert "never trades" not in accounts.out


@pytest.mark.usefixtures("without_pictures")
def test_a_choice_that_never_trades_says_so_and_what_it_is_worth(market: Path, tmp_path: Path):
    bounds = (
        '{"period": [60, 60], "width": [25, 25], "smoothing": [10, 10], "direction": ["momentum"]}'
    )
    ran = tune(market, tmp_path, "--bounds", bounds, "--objective", "max_drawdown,total_return")
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "tune.json").read_text())
    assert told["chosen"]["objectives"] == {
        name: told["chosen"]["metrics"][name] for name in ("max_drawdown", "total_return")
    }
    assert "warning: the choice never trades" in ran.out
    assert told["ranked_by"] in ran.out
    shown = f"max_drawdown {told['chosen']['metrics']['max_drawdown']:.4g}, total_return "
    assert shown in ran.out
    assert shown in (tmp_path / "tune.md").read_text()


@pytest.mark.usefixtures("without_pictures")
def test_a_regime_says_how_many_sessions_stand_behind_it(tmp_path: Path):
    world = WorldConfig(symbols=6, seed=4)
    generate(world, weekdays(420)).bars.write_parquet(tmp_path / "bars.parquet")
    ran = tune(tmp_path / "bars.parquet", tmp_path / "t", "--regime", "calm", "--trials", 4)
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "t" / "tune.json").read_text())
    training, held = told["training"], told["held_back"]
    panel = Panel.from_frame(pl.read_parquet(tmp_path / "bars.parquet"))
    weights = markets_seen(panel, Asked(regime="calm"), training=284, fits={})[0].weights
    assert training["effective"] == pytest.approx(weights[:284].sum(), rel=1e-12)
    assert held["effective"] == pytest.approx(weights[294:].sum(), rel=1e-12)
    said = f"the regime fills {weights[:284].sum():.0f} of 284 training sessions and "
    assert said in ran.out
    assert said in (tmp_path / "t" / "tune.md").read_text()


def test_a_home_that_cannot_be_written_is_found_before_the_search(market: Path, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    ran = tune(market, tmp_path / "out", "--trials", 4, "--home", tmp_path / "file" / "home")
    assert ran.error_line.startswith("E_HOME: ")
    assert not (tmp_path / "out").exists()


def test_an_empty_file_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "zero.csv").write_bytes(b"")
    ran = tune(tmp_path / "zero.csv", tmp_path / "out")
    assert ran.error_line.startswith("E_DATA_EMPTY: the file is empty, ")
    assert not caplog.records


@pytest.mark.usefixtures("without_pictures")
def test_objectives_given_one_by_one_are_those_given_by_comma(market: Path, tmp_path: Path):
    asked = ("--trials", 4, "--searcher", "uniform")
    one = ("--objective", "sharpe", "--objective", "calmar")
    assert tune(market, tmp_path / "a", *asked, *one).code == 0
    assert tune(market, tmp_path / "b", *asked, "--objective", "sharpe,calmar").code == 0
    assert (tmp_path / "a" / "tune.json").read_bytes() == (tmp_path / "b/tune.json").read_bytes()
