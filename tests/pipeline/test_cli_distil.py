"""`distil` by its command line: files as promised, the same bytes again, what is refused."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtest.errors import NotFittedError
from ml.corpus import WalkSpec, corpus, history_of
from ml.distill import Student, rows_of
from ml.weights import CONFIG, WEIGHTS
from pipeline.commands.panels import load_panel
from tests.pipeline.cli_runner import Ran, weathervane

SESSIONS, TRAIN = 340, 90  # regimes need as many before the first decision
MEMBERS = ["experts", "neural", "online", "regime_table"]


def distil(source: Path, out: Path, *options: object) -> Ran:
    told = ("--strategy", "rsi_swing", "--data", source, "--train", TRAIN)
    return weathervane("distil", *told, "--out", out, *options)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars of enough sessions for a student that is judged on some weeks; not to be changed."""
    out = tmp_path_factory.mktemp("market")
    told = ("--world", "clear", "--symbols", 6, "--sessions", SESSIONS, "--seed", 3, "--out", out)
    assert weathervane("market", *told).code == 0
    return out


@pytest.fixture(scope="module")
def done(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """Files and words of one distillation of the ensemble; not to be changed."""
    out = tmp_path_factory.mktemp("distilled")
    ran = distil(market, out)
    assert ran.code == 0, ran.err
    return out, ran


def test_it_leaves_weights_a_report_and_the_members(done: tuple[Path, Ran]):
    out, _ = done
    names = {*(CONFIG, WEIGHTS), "distillation.json", "members.parquet"}
    names |= {"members.png", "student.png"}
    assert {path.name for path in out.iterdir()} == names
    told = json.loads((out / "distillation.json").read_text())
    assert told["synthetic"] is True
    assert told["teacher"] == "ensemble"
    assert told["sessions"] == SESSIONS
    said = told["agreement"]
    assert (
        said["sessions"] == SESSIONS - 1 - 252
    )  # of 63 the first multiple with 126 proposals before
    assert -1.0 <= said["rank"] <= 1.0
    assert 0.0 <= said["heaviest"] <= 1.0
    assert said["regret"] == said["teacher_sharpe"] - said["student_sharpe"]
    assert said["compression"] == said["teacher_bytes"] / said["bytes"]
    assert said["regret_bound"] >= said["regret"]
    assert told["fits"] == 2
    assert told["fitted_until"] < told["judged"]["last"]
    table = pl.read_parquet(out / "members.parquet")
    assert table.columns == ["date", *MEMBERS, "cash", "disagreement"]
    assert table.height == SESSIONS - TRAIN
    assert table.row(-1, named=True)["experts"] == told["today"]["members"]["experts"]
    assert (out / "members.png").read_bytes().startswith(b"\x89PNG")


def test_the_weights_are_the_student_that_was_judged(market: Path, done: tuple[Path, Ran]):
    out, _ = done
    panel = load_panel(market).panel
    swept = corpus(panel, "rsi_swing", WalkSpec(), progress=None)
    history = history_of(panel, {"rsi_swing": swept})
    grid = history.strategies["rsi_swing"].grid
    student = Student.load(out, columns=history.columns, grid=grid)
    mixes = student.mixes(rows_of(history.state))
    assert mixes.shape == (SESSIONS, grid.size)
    assert np.isfinite(mixes).all()
    with pytest.raises(NotFittedError, match="E_SCHEMA"):
        Student.load(out, columns=history.columns[1:], grid=grid)
    again = grid.take(np.arange(grid.size)[::-1])
    with pytest.raises(NotFittedError, match="E_SCHEMA"):
        Student.load(out, columns=history.columns, grid=again)


def test_the_same_command_gives_the_same_bytes(
    market: Path, done: tuple[Path, Ran], tmp_path: Path
):
    out, _ = done
    assert distil(market, tmp_path).code == 0
    for path in out.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_lines_say_what_it_came_to(done: tuple[Path, Ran]):
    out, ran = done
    lines = ran.out.splitlines()
    assert lines[0].startswith("SYNTHETIC market, 6 symbols x 340 sessions; student of ensemble")
    assert "regret" in lines[2]
    assert lines[-1] == f"files: {out}"
    assert "teach: 100 % (250 of 250)" in ran.err


def test_a_teacher_without_members_leaves_no_table(market: Path, tmp_path: Path):
    ran = distil(market, tmp_path, "--teacher", "static", "--json")
    assert ran.code == 0, ran.err
    assert {path.name for path in tmp_path.iterdir()} == {
        *(CONFIG, WEIGHTS, "distillation.json", "student.png")
    }
    told = json.loads(ran.out)
    assert set(told.pop("seconds")) == {"teacher", "student"}
    assert told == json.loads((tmp_path / "distillation.json").read_text())
    today = told["today"]
    assert (today["members"], today["disagreement"]) == ({}, None)
    assert sum(one["weight"] for one in today["mix"]) + today["cash"] == pytest.approx(1.0)
    assert set(today["mix"][0]["parameters"]) == {"direction", "period", "width", "smoothing"}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--teacher", "nobody"), "E_UNKNOWN: unknown learner 'nobody'"),
        (("--teacher", "cash"), "E_TOO_SHORT: 0 proposals where a student needs"),
        (("--train", 200, "--teacher", "static"), "E_TOO_SHORT: 340 sessions where a student and"),
        (("--train", 340), "E_TOO_SHORT: 340 sessions where a walk-forward needs 342"),
        (("--train", 20), "E_PARAMETER: 20 is not in the range"),
        (("--strategy", "none"), "E_UNKNOWN: unknown strategy 'none'"),
    ],
)
def test_bad_input_is_one_line(market: Path, tmp_path: Path, options: tuple, line: str):
    ran = distil(market, tmp_path, *options)
    assert ran.code == 1
    assert ran.error_line.startswith(line), ran.error_line
    assert not list(tmp_path.iterdir())
