"""``weathervane prove``: resumable cards, a page, markets of somebody else, and bad input."""

import json
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.proof import scorecard
from ml.policy import PolicyConfig
from ml.proof import card, traps
from pipeline import cells, proven
from pipeline.resources import SettingsResource
from tests.architecture.source_tree import ROOT
from tests.pipeline.cli_runner import weathervane
from tests.pipeline.in_process import Pool

TINY = card.Terms(symbols=12, sessions=420, policy=PolicyConfig(train=250, step=10, refit=100))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small markets, walked in this process: the arithmetic is judged elsewhere."""
    monkeypatch.setattr(card, "SHORT", TINY)
    monkeypatch.setattr(cells, "ProcessPoolExecutor", Pool)


def test_a_short_form_writes_the_page_and_goes_on_where_it_stopped(tiny: None, tmp_path: Path):
    asked = ("prove", "--short", "--worlds", "clear,null", "--out", tmp_path)
    ran = weathervane(*asked, "--seeds", 1)
    assert ran.code == 0, ran.err
    cards = sorted((tmp_path / "cards").iterdir())
    assert [path.name.split("-")[0] for path in cards] == ["clear", "null"]
    assert "not judged" in ran.out
    known = {path: path.stat().st_mtime_ns for path in cards}
    page = (tmp_path / "scorecard.md").read_bytes()
    assert weathervane(*asked, "--seeds", 1).code == 0
    assert {path: path.stat().st_mtime_ns for path in known} == known
    assert (tmp_path / "scorecard.md").read_bytes() == page
    more = weathervane(*asked, "--seeds", 2, "--json")
    assert json.loads(more.out)["worlds"]["clear"]["seeds"] == 2
    assert {path: path.stat().st_mtime_ns for path in known} == known


def test_cards_are_made_side_by_side_in_processes_of_their_own(tmp_path: Path):
    ran = weathervane(
        *("prove", "--short", "--worlds", "clear,null", "--seeds", 1, "--out", tmp_path, "--json")
    )
    assert ran.code == 0, ran.err
    worlds = json.loads(ran.out)["worlds"]
    assert worlds["clear"]["accuracy"] > 0.8
    assert worlds["clear"]["sharpe"]["regime_aware"] > worlds["clear"]["sharpe"]["default"]
    assert worlds["null"]["promoted"]["count"] == 0


def test_the_long_form_adds_what_is_known_of_leaks(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    peek = {"kind": "feature", "name": "peek", "detector": "truncation", "cuts": 3}
    findings = [{**peek, "guilty": ["2011-01-03"]}, {**peek, "name": "honest", "guilty": []}]
    caught = [
        {
            **{"trap": trap, "detector": d},
            "twin": twin,
            "measure": "Sharpe",
            "number": n,
            "limit": 1,
        }
        for trap in [one.name for one in traps.TRAPS]
        for twin, n in (("leaky", 9.0), ("clean", 0.1))
        for d in traps.DETECTORS
    ]
    monkeypatch.setattr(card, "Terms", lambda: TINY)
    monkeypatch.setattr(proven, "_prove", lambda _code: findings)
    monkeypatch.setattr(proven, "_spring", lambda _code: caught)
    ran = weathervane("prove", "--worlds", "null", "--seeds", 1, "--out", tmp_path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_PROOF: 1 goals missed, leaks: parts that see the future")
    page = (tmp_path / "scorecard.md").read_text()
    assert "| feature | peek | 2 | 3 |" in page
    assert "| same-bar fill | caught | caught | caught | caught | caught | Sharpe 9.00" in page
    assert "| leaks | leaks missed or twins accused | met | 0.000 |" in page


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_workers_end_with_a_command_that_was_killed(tmp_path: Path):
    ran = subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline", "prove", "--short", "--workers", "1"),
            *("--worlds", "null", "--seeds", "40", "--out", str(tmp_path)),
        ],
        cwd=ROOT,
    )
    try:
        for _ in range(600):
            if list(tmp_path.glob("cards/*.json")):
                break
            time.sleep(0.1)
        workers = children(ran.pid)
        assert workers
    finally:
        ran.kill()
        ran.wait()
    for _ in range(300):
        if not any(alive(pid) for pid in workers):
            break
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)


def test_a_market_of_another_generator_is_walked_from_files(tiny: None, tmp_path: Path):
    made = tmp_path / "theirs"
    weathervane(*("market", "--world", "clear", "--symbols", 12, "--sessions", 420, "--out", made))
    truth = pl.read_parquet(made / "truth.parquet").select("date", "state").unique()
    early = pl.col("date") < truth["date"].sort()[3]  # a state of which no market state is known
    truth.with_columns(
        pl.when(early)
        .then(pl.lit("first"))
        .otherwise(pl.col("state").replace({"bull": "7"}))
        .alias("state"),
        pl.col("date").cast(pl.String),
    ).write_parquet(made / "truth.parquet")
    ran = weathervane("prove", "--short", "--data", made, "--out", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert list(found["worlds"]) == ["files theirs"]
    assert found["goals"] == []
    assert "| files theirs | 1 |" in (tmp_path / "out" / "scorecard.md").read_text()


@pytest.mark.parametrize("how", ["absent", "hole", "double", "columns", "junk"])
def test_a_truth_that_does_not_cover_the_bars_is_one_line(how: str, tmp_path: Path):
    made = tmp_path / "made"
    weathervane("market", "--world", "clear", "--symbols", 3, "--sessions", 40, "--out", made)
    path = made / "truth.parquet"
    truth = pl.read_parquet(path)
    if how == "absent":
        path.unlink()
    elif how == "junk":
        path.write_bytes(b"no parquet")
    else:
        first = pl.col("date") == truth["date"].min()
        changed = {
            "hole": truth.filter(~first),
            "double": truth.with_columns(
                pl.when(first & (pl.col("symbol") == "SYN002"))
                .then(pl.lit("other"))
                .otherwise("state")
                .alias("state")
            ),
            "columns": truth.drop("state"),
        }
        changed[how].write_parquet(path)
    ran = weathervane("prove", "--short", "--data", made, "--out", tmp_path / "out")
    assert ran.code == 1
    expected = "E_DATA_UNREADABLE: " if how == "junk" else "E_TRUTH: "
    assert ran.error_line.startswith(expected)


def test_a_short_history_is_refused_before_anything_is_walked(tmp_path: Path):
    made = tmp_path / "made"
    weathervane("market", "--world", "clear", "--symbols", 3, "--sessions", 40, "--out", made)
    ran = weathervane(
        "prove", "--short", "--data", made, "--worlds", "clear", "--out", tmp_path / "out"
    )
    assert ran.code == 1
    assert ran.error_line.startswith("E_TOO_SHORT: ")
    assert not list((tmp_path / "out").glob("cards/*"))


def test_the_asset_shows_the_same_page(tiny: None, tmp_path: Path):
    done = dg.materialize(
        [scorecard],
        resources={"settings": SettingsResource(home=str(tmp_path))},
        run_config={"ops": {"scorecard": {"config": {"worlds": ["null"], "seeds": 1}}}},
    )
    told = done.asset_materializations_for_node("scorecard")[0].metadata
    page = Path(told["page"].value)
    assert page.is_file()
    assert page.parent == tmp_path / "proofs" / "scorecard-short"
    assert "not judged" in told["summary"].value
    assert {r.data["world"] for r in told["goals"].value.records} == {"null"}


def test_an_unknown_world_is_one_line(tmp_path: Path):
    ran = weathervane("prove", "--worlds", "clear,sunny", "--out", tmp_path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_UNKNOWN: unknown world 'sunny', --worlds, known: clear, ")


def test_a_missed_goal_is_named_and_the_exit_code_is_1(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from ml.proof import scorecard_page

    values = {
        "goals": [
            {
                **{"world": "null", "name": "share promoted", "status": "missed"},
                **{"value": 0.2, "limit": 0.05, "better": "below", "seeds": 20},
            }
        ],
        "worlds": {},
    }
    monkeypatch.setattr(scorecard_page, "scorecard_values", lambda _cards, leaks: values)
    ran = weathervane("prove", "--short", "--worlds", "null", "--seeds", 1, "--out", tmp_path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_PROOF: 1 goals missed, null: share promoted")
    assert (tmp_path / "scorecard.html").is_file()
