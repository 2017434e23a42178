"""A full disk at every write of ingestion: one line, nothing torn, and a re-run with room heals."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from backtest.errors import StoreError
from pipeline import turns
from pipeline.config import open_home
from pipeline.instance import run_history
from pipeline.progress import without_echoes

ROOT = Path(__file__).parents[2]


def told(what: str, kind: str, folder: Path, step: int) -> list[dict]:
    """What the process of its own answered, the fact of its undisturbed run first."""
    command = ["-m", "tests.pipeline.full_disk", what, kind, str(folder), str(step)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_of(found: dict) -> None:
    """What holds after every single one."""
    last = found["err"].splitlines()[-1]
    assert last.startswith("E_STORE_FULL: "), found
    assert "then run again" in last
    assert found["kept"], "earlier rows are what they were"
    assert found["wrong"] == [], "nothing is torn"
    assert found["same"], "a re-run sees what an undisturbed run saw"
    assert found["healed"] == []


def in_rooms(kind: str, folder: Path, step: int) -> set[str]:
    """Rooms whose writes met the full disk."""
    undisturbed, *found = told("rooms", kind, folder, step)
    assert undisturbed["writes"] > 20
    for one in found:
        check_of(one)
        assert one["err"].count("\n") == 0
    assert any("no room to write the store" in one["err"] for one in found), "the database itself"
    return {one["at"].split("/")[0] for one in found}


@pytest.mark.timeout(200)
def test_a_full_disk_at_some_writes_of_ingestion(tmp_path: Path):
    in_rooms("files", tmp_path, 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["feed", "files"])
def test_a_full_disk_at_every_write_of_ingestion(tmp_path: Path, kind: str):
    assert in_rooms(kind, tmp_path, 1) == {"store", "snapshots", "backups"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["feed", "files"])
def test_a_full_disk_under_the_command_is_one_line(tmp_path: Path, kind: str):
    """The orchestrator cannot write its own history then, and its words are not for a person."""
    undisturbed, *found = told("run", kind, tmp_path, 4)
    assert undisturbed["undisturbed"].splitlines()[-1].startswith("E_TOO_SHORT: ")
    assert len(found) > 5
    for one in found:
        check_of(one)
        assert one["code"] == 1
        *progress, _ = one["err"].splitlines()
        said = [line for line in progress if " warns: " not in line]
        assert all(" s)" in line for line in said), "lines of what was done, and the one"
        assert one["again"][0].startswith("E_TOO_SHORT: ")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SQLITE_FULL", "E_STORE_FULL"),
        ("SQLITE_IOERR_WRITE", "E_STORE_FULL"),
        ("SQLITE_CORRUPT", "E_HOME"),
    ],
)
def test_the_run_history_says_in_one_line_what_ails_it(tmp_path: Path, name: str, code: str):
    said = sqlite3.OperationalError("what SQLite says")
    said.sqlite_errorname = name
    with (
        pytest.raises(StoreError, match=rf"^{code}: .*what SQLite says") as error,
        run_history(tmp_path),
    ):
        raise OperationalError("insert into event_logs", {"event": "much"}, said)
    assert "\n" not in str(error.value)
    assert "event_logs" not in str(error.value)


def test_an_echo_of_the_orchestrator_is_left_out_and_all_else_comes_through(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with without_echoes():
        sys.stderr.write("Exception while writing logger call to event log: full\n[SQL: ...]\n")
        sys.stderr.write("bars: 3 rows\n")
        sys.stderr.flush()
    assert stream.getvalue() == "bars: 3 rows\n"


def test_a_turn_that_cannot_be_noted_is_one_line_and_is_not_kept(tmp_path: Path, monkeypatch):
    home = open_home(tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(StoreError, match=r"^E_STORE_FULL: the note of whose turn it is"):
            turns.take_turn(home, "u", "", ended=lambda _: False)
        turns.end_turn(home, "u")
    turns.take_turn(home, "u", "", ended=lambda _: False, wait_s=0.0)
    turns.end_turn(home, "u")
