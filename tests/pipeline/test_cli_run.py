"""`weathervane run`: what is told to the chain, what it says, and errors before anything is run."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import chain
from pipeline.chain import RunSummary
from tests.pipeline.cli_runner import weathervane


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to the chain, which is not run."""
    seen: dict[str, Any] = {}

    def pretend(settings: Any, home: Any, **rest: Any) -> RunSummary:
        seen.update(settings=settings, home=home, **rest)
        rest["progress"]("bars: 10 rows")
        return RunSummary(
            session=date(2020, 1, 3),
            universe="synthetic-clear",
            source="synthetic clear world, seed 0",
            synthetic=True,
            document=home.parameters / "2020-01-03.json",
            report=home.reports / "report.html",
            verdicts={"rsi_swing": "hold"},
            quarantined=3,
            snapshot="5" * 64,
            run_ids=("a", "b"),
            urls={"tracker": "http://127.0.0.1:5000/#/runs/a"},
            seconds=12.0,
        )

    monkeypatch.setattr(chain, "run_chain", pretend)
    return seen


def test_the_last_lines_say_where_everything_is(told: dict[str, Any], tmp_path: Path):
    ran = weathervane("run", "--home", tmp_path)
    assert ran.code == 0, ran.err
    for said in (
        "SYNTHETIC",
        f"parameters  {tmp_path}/exports/parameters/2020-01-03.json",
        f"report      {tmp_path}/reports/report.html",
        "rsi_swing hold",
        "3 rows",
        "http://127.0.0.1:5000",
        "make ui",
    ):
        assert said in ran.out
    assert ran.err == "bars: 10 rows\n"


def test_json_is_all_that_standard_output_holds(told: dict[str, Any], tmp_path: Path):
    found = json.loads(weathervane("run", "--home", tmp_path, "--json").out)
    assert found["session"] == "2020-01-03"
    assert found["verdicts"] == {"rsi_swing": "hold"}
    assert found["run_ids"] == ["a", "b"]


def test_options_reach_the_chain(told: dict[str, Any], tmp_path: Path):
    bars = tmp_path / "bars.parquet"
    pl.DataFrame({"symbol": ["A"]}).write_parquet(bars)
    weathervane(
        *("run", "--home", tmp_path / "h", "--data", bars, "--session", "2020-01-03"),
        *("--as-of", "2020-01-06", "--set", "costs.cost_bps=2", "--set", "policy.train=300"),
    )
    settings = told["settings"]
    assert (settings.data.provider, settings.data.path) == ("files", bars)
    assert (settings.costs.cost_bps, settings.policy.train) == (2.0, 300)
    assert (told["session"], told["as_of"]) == (date(2020, 1, 3), date(2020, 1, 6))
    assert told["home"].root == tmp_path / "h"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--profile", "dmo"), "E_CONFIG: unknown profile 'dmo', did you mean 'demo'?"),
        (("--set", "costs.cost_bp=3"), "did you mean 'cost_bps'?"),
        (("--set", "costs"), "write it as section.key=value"),
        (("--set", "costs.cost_bps=much"), "E_CONFIG: setting 'costs.cost_bps'"),
        (("--set", "world.world=cleer"), "did you mean 'clear'?"),
        (("--data", "/nowhere.parquet"), "E_DATA_PATH"),
        (("--session", "2999-01-04"), "E_SESSION: session 2999-01-04 has not finished"),
    ],
)
def test_what_cannot_be_run_is_one_line(options: tuple[str, str], said: str, tmp_path: Path):
    ran = weathervane("run", "--home", tmp_path, *options)
    assert ran.code == 1
    assert said in ran.error_line
    assert not list((tmp_path / "exports").rglob("*.json"))


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("no folder")
    ran = weathervane("run", "--home", path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_HOME: ")


@pytest.mark.parametrize("day", ["today", "2020-13-01", "03.01.2020"])
def test_a_wrong_date_is_one_line(day: str, tmp_path: Path):
    ran = weathervane("run", "--home", tmp_path, "--session", day)
    assert ran.code == 1
    assert ran.error_line.startswith(f"E_PARAMETER: {day!r} does not match the format '%Y-%m-%d'")
