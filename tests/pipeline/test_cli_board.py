"""``weathervane board``: resumable cells, a page, own bars, and bad input."""

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.proof import board
from ml.policy import PolicyConfig
from ml.proof import card
from ml.trials import policies_known
from pipeline import cells
from pipeline.config import open_home
from pipeline.resources import SettingsResource
from pipeline.store import Store
from tests.pipeline.cli_runner import Ran, weathervane
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
    assert ran.out.startswith("NOT JUDGED: clear, null. ")
    assert "beat" not in ran.out
    made = sorted((tmp_path / "cells").iterdir())
    assert [path.name.split("-")[0] for path in made] == ["clear", "null"]
    known = {path: path.stat().st_mtime_ns for path in made}
    page = (tmp_path / "board.md").read_bytes()
    assert weathervane(*asked, "--seeds", 1).code == 0
    assert (tmp_path / "board.md").read_bytes() == page
    more = weathervane(*asked, "--seeds", 2, "--json")
    assert json.loads(more.out)["clear"]["markets"] == 2
    assert {path: path.stat().st_mtime_ns for path in known} == known


def own(bars: Path, out: Path, *more: object, strategies: str = "rsi_swing") -> Ran:
    """Put few learners on bars handed in."""
    asked = ("--short", "--data", bars, "--strategies", strategies, "--learners", "static")
    return weathervane("board", *asked, "--out", out, *more, "--json")


def bare(bars: Path, folder: Path) -> Path:
    """Copy bars without their truth and the note that they are made up."""
    folder.mkdir()
    (folder / "bars.parquet").write_bytes((bars / "bars.parquet").read_bytes())
    return folder


def test_own_bars_are_a_market_of_their_own(tiny: None, tmp_path: Path, bars: Path):
    mine = bare(bars, tmp_path / "mine")
    ran = own(mine, tmp_path / "out", strategies="ma_cross,rsi_swing")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["mine"]
    assert list(found["strategies"]) == ["all", "ma_cross", "rsi_swing"]
    assert not found["synthetic"]
    assert "oracle" not in found["strategies"]["all"]
    trials = pl.read_parquet(tmp_path / "out" / "trials.parquet")
    assert set(trials["strategy"]) == {"ma_cross", "rsi_swing", "all"}
    assert set(trials["kind"]) == {"policy"}
    assert "ledger" not in found


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_synthetic_market_handed_in_says_so_and_is_judged_by_its_truth(
    tiny: None, tmp_path: Path, bars: Path, named: str
):
    given, name = (bars, "mine") if named == "folder" else (bars / "bars.parquet", "bars")
    ran = own(given, tmp_path)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)[name]
    assert found["synthetic"]
    assert found["accuracy"] > 0.3
    assert "oracle" in found["strategies"]["rsi_swing"]
    page = (tmp_path / "board.md").read_text()
    assert f"## {name} (SYNTHETIC)" in page
    assert "5 basis points per side" in page  # a null world of one's own pays its costs


def test_a_changed_truth_makes_another_cell(tiny: None, tmp_path: Path, bars: Path):
    mine = bare(bars, tmp_path / "mine") / "bars.parquet"
    own(mine, tmp_path / "out")
    assert not json.loads((tmp_path / "out" / "board.json").read_text())["bars"]["synthetic"]
    (tmp_path / "mine" / "market.json").write_bytes((bars / "market.json").read_bytes())
    assert json.loads(own(mine, tmp_path / "out").out)["bars"]["synthetic"]


def test_what_is_looked_at_counts_once_in_a_home(tiny: None, tmp_path: Path, bars: Path):
    asked = (bare(bars, tmp_path / "mine"), tmp_path / "out", "--home", tmp_path / "home")
    first = own(*asked, strategies="ma_cross,rsi_swing")
    assert first.code == 0, first.err
    ledger = json.loads(first.out)["mine"]["ledger"]
    assert ledger["universe"] == "files-mine"
    shown = pl.read_parquet(tmp_path / "out" / "trials.parquet")
    assert ledger["trials"] == ledger["new"] == shown.height
    again = json.loads(own(*asked, strategies="ma_cross,rsi_swing").out)["mine"]["ledger"]
    assert again == {**ledger, "new": 0}
    store = Store(open_home(tmp_path / "home"), universe="files-mine")
    known = policies_known(store.read_trials(), since=shown["span_start"][0])
    assert set(known) == set(shown["config_hash"])


def test_trials_of_an_earlier_page_do_not_lie_beside_a_later_one(
    tiny: None, tmp_path: Path, bars: Path
):
    own(bars, tmp_path)
    assert (tmp_path / "trials.parquet").is_file()
    asked = ("--short", "--worlds", "null", "--seeds", 1, "--learners", "static")
    assert weathervane("board", *asked, "--out", tmp_path).code == 0
    assert not (tmp_path / "trials.parquet").exists()


@pytest.mark.parametrize("how", ["twice", "one name", "a world"])
def test_a_name_that_another_market_has_is_refused(how: str, tmp_path: Path, bars: Path):
    first = bars if how != "a world" else bare(bars, tmp_path / "null")
    second = {"twice": [bars], "one name": [tmp_path / "mine"], "a world": []}[how]
    if how == "one name":
        bare(bars, tmp_path / "mine")
    data = [part for one in (first, *second) for part in ("--data", one)]
    ran = weathervane("board", "--short", *data, "--out", tmp_path / "out")
    assert ran.code == 1
    name = "null" if how == "a world" else "mine"
    assert ran.error_line.startswith(f"E_MARKET: {name!r} is the name of another market")
    assert not (tmp_path / "out" / "cells").exists()


def test_bars_that_no_book_could_hold_are_refused(tmp_path: Path):
    made = ("--world", "clear", "--symbols", 1, "--sessions", 420, "--out", tmp_path / "one")
    assert weathervane("market", *made).code == 0
    ran = weathervane("board", "--short", "--data", tmp_path / "one", "--out", tmp_path / "out")
    assert ran.code == 1
    assert ran.error_line.startswith("E_MARKET: at most 1 symbol can be traded")


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--worlds", "cleer"), 1, "E_UNKNOWN: unknown world 'cleer', --worlds"),
        (("--learners", "bandid"), 1, "E_UNKNOWN: unknown learner 'bandid'"),
        (("--data", "nowhere"), 1, "E_"),
        (("--seeds", "0"), 1, "E_PARAMETER: 0 is not in the range x>=1, --seeds"),
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
    assert "--train" not in ran.err  # there is no such option here
    assert not (tmp_path / "cells").exists()


def test_the_asset_shows_the_standings_and_counts_own_bars(tiny: None, tmp_path: Path, bars: Path):
    config = {"worlds": ["null"], "seeds": 1, "learners": ["static"], "data": [str(bars)]}
    ran = dg.materialize(
        [board],
        resources={"settings": SettingsResource(home=str(tmp_path))},
        run_config={"ops": {"board": {"config": config}}},
    )
    (made,) = ran.asset_materializations_for_node("board")
    assert set(made.metadata) >= {"summary", "standings", "page", "sharpe ratios"}
    assert made.metadata["summary"].value.startswith("null: ")
    assert "(not judged)" in made.metadata["summary"].value
    store = Store(open_home(tmp_path), universe="files-mine")
    shown = pl.read_parquet(tmp_path / "proofs" / "board-short" / "trials.parquet")
    assert set(store.read_trials()["config_hash"]) == set(shown["config_hash"])
