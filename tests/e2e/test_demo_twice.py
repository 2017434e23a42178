"""From nothing to an exported document, twice: the same bytes, and nothing written again."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import Home
from pipeline.exports import read_document, read_ledger
from pipeline.store import Store
from tests.architecture.source_tree import ROOT
from tests.pipeline.small_chain import OVERRIDES, SESSION, run_small, stamps


def weathervane_run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--home", str(home), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DAGSTER_DISABLE_TELEMETRY": "yes"},
    )


def contents(home: Path) -> dict[str, str]:
    """SHA-256 of every published file but those that hold a moment or an id of a run."""
    place = Home(home)
    found = {}
    for folder in (place.snapshots, place.reports, place.truth):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "registered.json" not in path.name:
                name = path.relative_to(home).as_posix()
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def rows_of(home: Home, universe: str) -> dict[str, int]:
    """Rows of tables that a second, equal run may not lengthen."""
    store = Store(home, universe=universe)
    return {"trials": store.read_trials().height, "batches": store.batches().height}


Chain = Callable[[Path], object]


def in_a_process(*arguments: str) -> Chain:
    """Run the command line in a process of its own."""

    def run(home: Path) -> None:
        done = weathervane_run(home, *arguments)
        assert done.returncode == 0, done.stderr

    return run


def same_from_nothing_and_nothing_again(tmp_path: Path, one: Chain, other: Chain) -> None:
    """Run in two empty homes and compare; run again in the first and look for new files."""
    homes = [tmp_path / "first", tmp_path / "second"]
    one(homes[0])
    other(homes[1])
    first, second = (read_document(Home(home)) for home in homes)
    assert first.content_sha256 == second.content_sha256
    assert contents(homes[0]) == contents(homes[1])
    place = Home(homes[0])
    folders = (place.exports, place.snapshots, place.reports, place.truth)
    before, counted = stamps(*folders), rows_of(place, first.universe)
    other(homes[0])
    assert stamps(*folders) == before
    assert rows_of(place, first.universe) == counted
    assert len(read_ledger(place.exports).entries) == 1


@pytest.mark.timeout(600)  # two runs from nothing, and a proof that nothing sees the future
def test_a_small_market_twice(tmp_path: Path):
    told = [part for override in OVERRIDES for part in ("--set", override)]
    alone = in_a_process("--session", str(SESSION), *told)
    same_from_nothing_and_nothing_again(tmp_path, alone, run_small)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_twice(tmp_path: Path):
    same_from_nothing_and_nothing_again(tmp_path, in_a_process(), in_a_process())


def test_ctrl_c_ends_without_a_traceback_and_the_next_run_goes_on(tmp_path: Path):
    """Interrupted after the bars are in the store; nothing is exported, nothing is lost."""
    told = [part for override in OVERRIDES for part in ("--set", override)]
    command = [sys.executable, "-m", "pipeline", "run", "--home", str(tmp_path)]
    running = subprocess.Popen(
        [*command, "--session", str(SESSION), *told],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes"},
    )
    assert running.stderr is not None
    seen = []
    for line in running.stderr:
        seen.append(line)
        if line.startswith("sessions:"):
            running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert "Traceback" not in "".join(seen)
    assert seen[-1].startswith("interrupted: ")
    assert not list(Home(tmp_path).parameters.glob("*.json"))
    run_small(tmp_path)
    assert read_document(Home(tmp_path)).session == SESSION
