"""``weathervane board``: resumable cells, a page, own bars, and bad input."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.proof import board
from ml.policy import PolicyConfig
from ml.proof import card
from pipeline import cells
from pipeline.resources import SettingsResource
from tests.pipeline.cli_runner import weathervane
from tests.pipeline.in_process import Pool

TINY = card.Terms(symbols=12, sessions=420, policy=PolicyConfig(train=250, step=10, refit=100))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small markets, walked in this process: the arithmetic is judged elsewhere."""
    monkeypatch.setattr(card, "SHORT", TINY)
    monkeypatch.setattr(cells, "ProcessPoolExecutor", Pool)


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bars") / "mine"
    made = weathervane(
        "market", "--world", "null", "--symbols", 12, "--sessions", 420, "--out", out
    )
    assert made.code == 0, made.err
    return out


def test_a_board_goes_on_where_it_stopped(tiny: None, tmp_path: Path):
    asked = (
        "board",
        "--short",
        "--worlds",
        "clear,null",
        "--learners",
        "bandit",
        "--out",
        tmp_path,
    )
    ran = weathervane(*asked, "--seeds", 1)
    assert ran.code == 0, ran.err
    assert "clear: 1 walked, SYNTHETIC" in ran.out
    made = sorted((tmp_path / "cells").iterdir())
    assert [path.name.split("-")[0] for path in made] == ["clear", "null"]
    known = {path: path.stat().st_mtime_ns for path in made}
    page = (tmp_path / "board.md").read_bytes()
    assert weathervane(*asked, "--seeds", 1).code == 0
    assert (tmp_path / "board.md").read_bytes() == page
    more = weathervane(*asked, "--seeds", 2, "--json")
    assert json.loads(more.out)["clear"]["markets"] == 2
    assert {path: path.stat().st_mtime_ns for path in known} == known


def test_own_bars_are_a_market_of_their_own(tiny: None, tmp_path: Path, bars: Path):
    ran = weathervane(
        *("board", "--short", "--data", bars, "--strategies", "ma_cross,rsi_swing"),
        *("--learners", "static", "--out", tmp_path, "--json"),
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["mine"]
    assert list(found["strategies"]) == ["all", "ma_cross", "rsi_swing"]
    assert not found["synthetic"]
    trials = pl.read_parquet(tmp_path / "trials.parquet")
    assert set(trials["strategy"]) == {"ma_cross", "rsi_swing"}
    assert set(trials["kind"]) == {"policy"}


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--worlds", "cleer"), 2, "'cleer' is not one of"),
        (("--learners", "bandid"), 1, "E_UNKNOWN: unknown learner 'bandid'"),
        (("--data", "nowhere"), 1, "E_"),
        (("--seeds", "0"), 2, "seeds"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, asked: tuple, code: int, said: str):
    ran = weathervane("board", "--short", "--out", tmp_path, *asked)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_too_little_history_is_told_before_anything_is_walked(tmp_path: Path, bars: Path):
    ran = weathervane("board", "--worlds", "clear", "--data", bars, "--out", tmp_path)
    assert ran.code == 1
    assert "E_TOO_SHORT: 420 sessions where a walk-forward needs 758" in ran.err
    assert not (tmp_path / "cells").exists()


def test_the_asset_shows_the_standings(tiny: None, tmp_path: Path):
    ran = dg.materialize(
        [board],
        resources={"settings": SettingsResource(home=str(tmp_path))},
        run_config={
            "ops": {"board": {"config": {"worlds": ["null"], "seeds": 1, "learners": ["static"]}}}
        },
    )
    (made,) = ran.asset_materializations_for_node("board")
    assert set(made.metadata) >= {"summary", "standings", "page", "sharpe ratios"}
    assert "null: " in made.metadata["summary"].value
