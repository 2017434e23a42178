"""`online` by its command line: a state that goes on, files as promised, what is refused."""

import json
from pathlib import Path

import polars as pl
import pytest

from ml.learner import HORIZON
from ml.weights import CONFIG, WEIGHTS
from tests.pipeline.cli_runner import Ran, weathervane

FILES = ("online.json", "scores.parquet", "prequential.png")


def online(source: Path, folder: Path, *options: object, out: str = "out") -> Ran:
    told = ("--strategy", "rsi_swing", "--data", source, "--state", folder / "state")
    return weathervane("online", *told, "--out", folder / out, *options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cut(market: Path, out: Path, *, first: int = 0, last: int | None = None) -> Path:
    """The bars of some sessions of a market, still said to be made up."""
    bars = pl.read_parquet(market / "bars.parquet")
    days = bars["date"].unique().sort()[first:last]
    out.mkdir()
    bars.filter(pl.col("date").is_in(days.implode())).write_parquet(out / "bars.parquet")
    (out / "market.json").write_bytes((market / "market.json").read_bytes())
    return out


@pytest.fixture(scope="module")
def straight(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the state and the results of all sessions at once; not to be changed."""
    folder = tmp_path_factory.mktemp("straight")
    ran = online(market, folder)
    assert ran.code == 0, ran.err
    return folder


def test_it_leaves_a_state_and_what_it_says(market: Path, straight: Path):
    assert {path.name for path in (straight / "out").iterdir()} == set(FILES)
    assert {path.name for path in (straight / "state").iterdir()} == {CONFIG, WEIGHTS}
    told = json.loads((straight / "out" / "online.json").read_text())
    scores = pl.read_parquet(straight / "out" / "scores.parquet")
    days = pl.read_parquet(market / "bars.parquet")["date"].unique().sort()
    assert told["decided_after"] == str(days[-1])
    assert told["synthetic"] is True
    assert scores.height == told["scores"]["decisions"] > 20
    places = {day: k for k, day in enumerate(days)}
    for row in scores.iter_rows(named=True):
        assert places[row["judged_on"]] - places[row["date"]] == HORIZON
    assert scores["ranking_accuracy"][-1] == told["scores"]["ranking_accuracy"]
    assert told["alarms"] == [str(d) for d in scores.filter("alarm")["judged_on"]]
    assert sum(one["weight"] for one in told["mix"]) + told["cash"] == pytest.approx(1.0)
    assert set(told["best_set"]) == {"direction", "period", "width", "smoothing"}


def test_the_lines_say_where_the_state_lies(market: Path, tmp_path: Path):
    ran = online(market, tmp_path)
    assert ran.out.startswith("SYNTHETIC market, 6 symbols x 260 sessions")
    assert f"state: {tmp_path / 'state'}" in ran.out
    ran = online(market, tmp_path, "--json")
    assert json.loads(ran.out) == json.loads((tmp_path / "out" / "online.json").read_text())


def test_a_second_run_on_the_same_bars_changes_nothing(market: Path, tmp_path: Path):
    assert online(market, tmp_path).code == 0
    before = contents(tmp_path)
    touched = {p: p.stat().st_mtime_ns for p in (tmp_path / "state").iterdir()}
    assert online(market, tmp_path).code == 0
    assert contents(tmp_path) == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "state").iterdir()} == touched


@pytest.mark.parametrize("last", [97, 130, 203])
def test_going_on_in_steps_is_learning_it_all_at_once(
    market: Path, straight: Path, tmp_path: Path, last: int
):
    part = cut(market, tmp_path / "part", last=last)
    home = tmp_path / "home"
    assert online(part, home).code == 0
    before = json.loads((home / "state" / CONFIG).read_text())
    assert online(market, home).code == 0
    assert contents(home) == contents(straight)
    assert json.loads((home / "state" / CONFIG).read_text())["sha256"] != before["sha256"]


def test_bars_that_begin_elsewhere_are_refused(market: Path, straight: Path, tmp_path: Path):
    late = cut(market, tmp_path / "late", first=7)
    before = contents(straight)
    told = ("--strategy", "rsi_swing", "--data", late, "--state", straight / "state")
    ran = weathervane("online", *told, "--out", tmp_path / "out")
    assert ran.code == 1
    assert ran.error_line.startswith("E_STATE: the bars begin on 2010-01-13, the state's on 2010-0")
    assert contents(straight) == before


def test_bars_that_end_before_what_was_learned_are_refused(market: Path, tmp_path: Path):
    assert online(market, tmp_path).code == 0
    ran = online(cut(market, tmp_path / "short", last=200), tmp_path)
    assert ran.error_line.startswith("E_STATE: the bars end before what the state has learned")


def test_bars_that_were_restated_are_refused_from_the_decision_on(market: Path, tmp_path: Path):
    assert online(market, tmp_path).code == 0
    bars = pl.read_parquet(market / "bars.parquet")
    day = bars["date"].unique().sort()[150]
    other = tmp_path / "other"
    other.mkdir()
    restated = pl.when(pl.col("date") == day).then(pl.col("open") * 0.999).otherwise(pl.col("open"))
    low = pl.min_horizontal("low", restated)
    bars.with_columns(open=restated, low=low).write_parquet(other / "bars.parquet")
    before = contents(tmp_path / "state")
    ran = online(other, tmp_path)
    assert ran.code == 1
    named = ran.error_line.removeprefix("E_STATE: the bars differ from what the state has learned")
    assert " or since, " in named
    assert contents(tmp_path / "state") == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--detector", "kswin"), "E_STATE: the state was taught with detector adwin, not kswin"),
        (("--book", "long-only"), "E_STATE: the state was taught with book dollar-neutral, not"),
        (("--cost-bps", 7), "E_STATE: the state was taught with cost_bps 5.0, not 7.0"),
        (("--strategy", "ma_cross"), "E_SCHEMA: the online model was taught on 140 candidate sets"),
        (("--detector", "adwyn"), "E_UNKNOWN: "),
        (("--alarm", "sleep"), "E_UNKNOWN: "),
        (("--strategy", "rsi"), "E_UNKNOWN: unknown strategy 'rsi'"),
    ],
)
def test_another_question_than_the_state_s_is_one_line(
    market: Path, straight: Path, options: tuple[object, ...], said: str
):
    before = contents(straight)
    ran = online(market, straight, *options, out="other")
    assert ran.code == 1
    assert ran.error_line.startswith(said)
    assert contents(straight / "state") == {
        name.removeprefix("state/"): one for name, one in before.items() if "state/" in name
    }


def test_an_answer_to_alarms_may_change_between_runs(market: Path, tmp_path: Path):
    assert online(market, tmp_path).code == 0
    state = contents(tmp_path / "state")
    assert online(market, tmp_path, "--alarm", "freeze").code == 0
    assert contents(tmp_path / "state") == state
    told = json.loads((tmp_path / "out" / "online.json").read_text())
    assert told["drift"]["answer"] == "freeze"


def test_a_damaged_state_is_one_line(market: Path, tmp_path: Path):
    assert online(market, tmp_path).code == 0
    path = tmp_path / "state" / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    assert online(market, tmp_path).error_line.startswith("E_WEIGHTS: ")
    path.unlink()
    assert online(market, tmp_path).error_line.startswith("E_WEIGHTS: ")


def test_too_few_sessions_are_one_line(market: Path, tmp_path: Path):
    ran = online(cut(market, tmp_path / "short", last=95), tmp_path)
    assert ran.error_line.startswith("E_TOO_SHORT: 95 sessions, and no outcome is over, the first")
    assert "takes 96" in ran.error_line
    assert online(cut(market, tmp_path / "enough", last=96), tmp_path).code == 0
