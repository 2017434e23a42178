"""`show`, `explain`, `diff`, `history`, `rollback`, `doctor` over documents that were exported."""

import json
from datetime import date
from pathlib import Path

import pytest

from pipeline import exports
from pipeline.config import Home
from tests.ml.documents import document, held_entry, promoted_entry
from tests.pipeline.cli_runner import weathervane

DAYS = [date(2016, 2, 4), date(2016, 2, 5)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two sessions: a hold, then a promotion."""
    place, before = Home(tmp_path), None
    for day, make in zip(DAYS, (held_entry, promoted_entry), strict=True):
        previous = before.strategies["rsi_swing"] if before else None
        before = document(day, entry=make(previous=previous), previous=before)
        exports.publish_document(place, before)
    return tmp_path


def test_show_is_the_latest_session_or_the_one_that_is_named(home: Path):
    latest = json.loads(weathervane("show", "--home", home, "--json").out)
    assert latest == json.loads((home / "exports/parameters/latest.json").read_text())
    assert latest["session"] == "2016-02-05"
    earlier = weathervane("show", "--home", home, "--session", "2016-02-04")
    assert earlier.code == 0
    assert "session 2016-02-04" in earlier.out
    assert "hold" in earlier.out


def test_explain_names_every_criterion(home: Path):
    ran = weathervane("explain", "--home", home, "--session", "2016-02-04")
    assert ran.code == 0
    for criterion in ("observations", "psr", "drawdown"):
        assert criterion in ran.out
    assert "no variance" in ran.out


def test_diff_says_what_changed(home: Path):
    ran = weathervane("diff", "2016-02-04", "2016-02-05", "--home", home)
    assert ran.out.startswith("from session 2016-02-04 to session 2016-02-05")
    assert "hold -> update" in ran.out
    found = json.loads(weathervane("diff", *map(str, DAYS), "--home", home, "--json").out)
    changed = {change["path"]: change for change in found["changes"]}
    action = next(change for path, change in changed.items() if path.endswith("action"))
    assert (action["before"], action["after"]) == ("hold", "update")
    same = weathervane("diff", "2016-02-04", "2016-02-04", "--home", home)
    assert "nothing changed" in same.out


def test_history_and_rollback(home: Path):
    first = (home / "exports/parameters/2016-02-04.json").read_bytes()
    ran = weathervane("rollback", 1, "--home", home)
    assert ran.code == 0
    assert ran.out.startswith("entry 3: back to entry 1")
    assert (home / "exports/parameters/latest.json").read_bytes() == first
    found = json.loads(weathervane("history", "--home", home, "--json").out)
    assert [entry["action"] for entry in found["entries"]] == ["publish", "publish", "rollback"]
    assert found["latest"] == 3
    assert len(weathervane("history", "--home", home).out.splitlines()) == 4


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("show", "--session", "2016-02-06"), "E_SESSION"),
        (("diff", "2016-02-04", "yesterday"), "E_SESSION"),
        (("rollback", 9), "E_ENTRY"),
        (("explain", "--session", "2015-01-01"), "E_SESSION"),
    ],
)
def test_what_is_not_there_is_one_line(command: tuple[object, ...], code: str, home: Path):
    ran = weathervane(*command, "--home", home)
    assert ran.code == 1
    assert ran.error_line.startswith(f"{code}: ")


@pytest.mark.parametrize("command", ["show", "explain", "history"])
def test_an_empty_home_says_what_to_do_and_is_left_alone(command: str, tmp_path: Path):
    ran = weathervane(command, "--home", tmp_path / "none")
    assert ran.code == 1
    assert ran.error_line.startswith("E_MISSING: ")
    assert "weathervane run" in ran.error_line
    assert not (tmp_path / "none" / "exports" / "parameters").exists()


def test_a_wrong_date_or_number_is_one_line(home: Path):
    day = weathervane("show", "--session", "05.02.2016", "--home", home)
    assert day.code == 1
    assert day.error_line.startswith("E_PARAMETER: '05.02.2016' does not match the format")
    entry = weathervane("rollback", "first", "--home", home)
    assert entry.code == 1
    assert entry.error_line == (
        "E_PARAMETER: 'first' is not a valid integer, entry, see `weathervane rollback --help`"
    )


def test_the_home_comes_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEATHERVANE_HOME", str(home))
    assert "session 2016-02-05" in weathervane("show").out


def test_doctor_finds_a_sound_home_sound(home: Path):
    ran = weathervane("doctor", "--home", home, "--json")
    assert ran.code == 0, ran.err
    checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert list(checks) == [
        *("home", "store", "backup", "feed", "files", "ledger", "documents"),
        *("histories", "registry", "calendar", "sessions"),
    ]
    assert all(check["ok"] for check in checks.values())
    assert checks["documents"]["found"] == "2 sessions, 2016-02-04 to 2016-02-05"


def test_doctor_names_a_damaged_document_and_how_to_heal_it(home: Path):
    path = home / "exports/parameters/2016-02-04.json"
    path.write_bytes(path.read_bytes().replace(b"hold", b"HOLD", 1))
    ran = weathervane("doctor", "--home", home)
    assert ran.code == 1
    assert ran.error_line.startswith("E_UNHEALTHY: ")
    assert "BAD  files: E_CORRUPT" in ran.out
    assert "2016-02-04.json" in ran.out
    assert "heal:" in ran.out
    assert "ok   store" in ran.out


def test_doctor_names_a_ledger_that_was_cut(home: Path):
    path = home / "exports/ledger.jsonl"
    path.write_text(path.read_text().replace("publish", "unlisted", 1))
    ran = weathervane("doctor", "--home", home)
    assert ran.code == 1
    assert "BAD  ledger" in ran.out
    assert "ledger" in ran.error_line


def test_doctor_finds_an_empty_home_sound(tmp_path: Path):
    ran = weathervane("doctor", "--home", tmp_path / "none")
    assert ran.code == 0
    assert not (tmp_path / "none").exists()
