"""One flipped byte in every kind of file of a home: doctor says where and how, and that heals.

``KINDS`` must name every file that a chain leaves: a new kind fails here until it is listed.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.commands.doctor import Check, examine
from pipeline.config import Home
from pipeline.publish import SIDECAR
from pipeline.store import commits
from tests.pipeline.cli_runner import Ran, weathervane
from tests.pipeline.damage import flip, flipped, moved_copy
from tests.pipeline.small_chain import OVERRIDES, SESSION

ROOT = Path(__file__).parents[2]
FILES = "delete what is damaged with its .sha256 and run `weathervane run`"
RESTORE = "weathervane restore"
AGAIN = ("--session", str(SESSION), *(p for told in OVERRIDES for p in ("--set", told)))


@dataclass(frozen=True)
class Kind:
    """Files of one kind: where they are, which check speaks of them, what its advice says."""

    pattern: str
    check: str
    advice: str = FILES


KINDS = (
    Kind("store/weathervane.duckdb", "store", RESTORE),
    Kind("store/commits.jsonl", "store", RESTORE),
    Kind("exports/ledger.jsonl", "ledger", "move the exports folder away and run again"),
    Kind("exports/parameters/latest.json", "files"),
    Kind("exports/parameters/2*.json", "files"),
    Kind("exports/versions/*.json", "files"),
    Kind("snapshots/current-*.json", "files"),
    Kind("snapshots/recent-*.json", "files"),
    Kind("snapshots/raw/*.json", "files"),
    Kind("snapshots/raw/*.parquet", "files"),
    Kind("snapshots/*/bars.parquet", "files"),
    Kind("snapshots/*/feature_panel.parquet", "files"),
    Kind("snapshots/*/market_state.parquet", "files"),
    Kind("snapshots/*/findings-*.parquet", "files"),
    Kind("snapshots/*/research-*.json", "files"),
    Kind("snapshots/*/research-*.parquet", "files"),
    Kind("snapshots/*/research-*.safetensors", "files"),
    Kind("truth/*.parquet", "files"),
    Kind("reports/*.md", "files"),
    Kind("reports/*.html", "files"),
    Kind("reports/*.png", "files"),
    Kind("reports/*.json", "files"),
    Kind("reports/*.parquet", "files"),
    Kind("proofs/*.json", "files"),
    Kind("backups/*.duckdb", "files"),
    Kind("mlflow/artifacts/*/models/*/MLmodel", "registry", "run `weathervane run`"),
    Kind("mlflow/artifacts/*/models/*/config.json", "registry", "run `weathervane run`"),
    Kind("mlflow/artifacts/*/models/*/weights.safetensors", "registry", "run `weathervane run`"),
    Kind("mlflow/artifacts/*/artifacts/evidence.json", "files"),
    Kind("mlflow/artifacts/*/artifacts/report.html", "files"),
    Kind("mlflow/artifacts/*/artifacts/figures/*.png", "files"),
    Kind(f"*{SIDECAR}", "files"),
)
DATABASES = (
    Kind("mlflow/mlflow.db", "histories", "mlflow away and run"),
    Kind("dagster/storage/history/runs.db", "histories", "dagster away and run"),
    Kind("dagster/storage/history/runs/*.db", "histories", "dagster away and run"),
    Kind("dagster/storage/schedules/schedules.db", "histories", "dagster away and run"),
)
"""SQLite keeps no checksums: what can be seen is damage to a page's structure."""

SCRATCH = {
    "store/weathervane.lock": "a lock; nothing in it is read",
    "store/.turn-*.lock": "a lock; nothing in it is read",
    "store/.turn-*.json": "for whom to wait; not believed where it cannot be read",
    "exports/.ledger.lock": "a lock; nothing in it is read",
    "mlflow/.mlflow.lock": "a lock; nothing in it is read",
    "dagster/.opening.lock": "a lock; nothing in it is read",
    "dagster/dagster.yaml": "compared and written anew at each opening",
    "dagster/compute_logs/*": "what steps printed; shown on a page, read by nothing",
}
NAMES = [kind.pattern for kind in (*KINDS, *DATABASES)]


@pytest.fixture(scope="module")
def home(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that tests of this module may damage, if they mend it."""
    return moved_copy(exported, tmp_path_factory.mktemp("flipped") / "home")


def files_of(home: Path, pattern: str) -> list[Path]:
    """Files of a pattern that no earlier kind claims: sidecars are a kind of their own."""
    found = sorted(path for path in home.rglob("*") if path.is_file())
    mine = [path for path in found if fnmatch(path.relative_to(home).as_posix(), pattern)]
    return [path for path in mine if path.suffix != SIDECAR or pattern == f"*{SIDECAR}"]


def look(home: Path, name: str) -> Check:
    """One check alone."""
    return doctor._checked(name, getattr(doctor, f"_{name}"), Home(home))


def test_every_file_of_a_home_is_of_a_listed_kind(home: Path):
    claimed = {path for pattern in (*NAMES, *SCRATCH) for path in files_of(home, pattern)}
    present = {path for path in home.rglob("*") if path.is_file()}
    assert present - claimed == set()
    assert all(files_of(home, pattern) for pattern in (*NAMES, *SCRATCH)), "a kind is not made"
    assert all(check.ok for check in examine(home))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_doctor_says_what_is_wrong_and_how_to_heal(home: Path, kind: Kind):
    path = files_of(home, kind.pattern)[0]
    size = path.stat().st_size
    with flipped(path, size // 2):
        check = look(home, kind.check)
        assert not check.ok
        assert kind.advice in check.heal
        assert "\n" not in check.found
        named = path.name.removesuffix(SIDECAR)
        assert named in check.found or path.parent.name in check.found
    with flipped(path, -2):
        assert not look(home, kind.check).ok
    assert look(home, kind.check).ok


@pytest.mark.parametrize("kind", DATABASES, ids=lambda kind: kind.pattern)
def test_doctor_sees_a_damaged_page_of_another_programs_database(home: Path, kind: Kind):
    path = files_of(home, kind.pattern)[0]
    for at in live_pages(path):
        with flipped(path, at):
            check = look(home, "histories")
            assert not check.ok
            assert kind.advice in check.heal
            assert str(path) in check.found
    assert look(home, "histories").ok


def live_pages(path: Path) -> list[int]:
    """Position of the first byte of the schema's page and of the last table's root page."""
    with closing(sqlite3.connect(path)) as opened:
        size = opened.execute("pragma page_size").fetchone()[0]
        root = opened.execute("select max(rootpage) from sqlite_master").fetchone()[0]
    return [100, (root - 1) * size]


@pytest.mark.parametrize("pattern", SCRATCH)
def test_a_flipped_byte_in_scratch_stops_nothing(home: Path, pattern: str):
    path = files_of(home, pattern)[0]
    if path.stat().st_size == 0:
        path.write_bytes(b"x")
    with flipped(path, path.stat().st_size // 2):
        assert all(check.ok for check in examine(home))


def test_the_command_survives_what_it_finds(home: Path):
    """Damage to several files at once, also where other checks have to read them."""
    paths = [files_of(home, kind.pattern)[0] for kind in (*KINDS[:3], *DATABASES)]
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        flip(path, 100)
    ran = weathervane("doctor", "--home", home)
    for path, content in before.items():
        path.write_bytes(content)
    assert ran.code == 1
    assert ran.error_line.startswith("E_UNHEALTHY: ")
    wrong = [line.split()[1] for line in ran.out.splitlines() if line.startswith("BAD")]
    assert {"store:", "ledger:", "histories:"} <= set(wrong)
    assert ran.out.count("heal: ") == len(wrong)


@pytest.mark.parametrize("name", ["weathervane.duckdb", commits.LEDGER])
@pytest.mark.parametrize("at", [0.5, 1.0])
def test_restoring_heals_the_store(home: Path, tmp_path: Path, name: str, at: float):
    own = moved_copy(home, tmp_path / "home")
    path = Home(own).store / name
    flip(path, int(path.stat().st_size * at) - 2)
    assert not look(own, "store").ok
    ran = weathervane("restore", "--home", own)
    assert ran.code == 0, ran.err
    assert all(check.ok for check in examine(own))


def run_again(home: Path) -> Ran:
    """Type the command that the advice names, as the chain was run before.

    In a process of its own: MLflow remembers for a process where the files of a run are, and a
    copied home has runs of the same name.
    """
    command = ["-m", "pipeline", "run", "--home", str(home), *AGAIN]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
def test_what_doctor_advises_heals_every_published_file_and_model(home: Path, tmp_path: Path):
    own = moved_copy(home, tmp_path / "home")
    before = (Home(own).parameters / "latest.json").read_bytes()
    # One copy of the document stays: what no file holds any more, nothing brings back.
    spared = ("exports/parameters/2*.json", f"*{SIDECAR}")
    for kind in KINDS:
        if kind.check in ("files", "registry") and kind.pattern not in spared:
            path = files_of(own, kind.pattern)[-1]
            flip(path, path.stat().st_size // 2)
    flip(files_of(own, f"*{SIDECAR}")[0], 3)
    deleted = 0
    while not (check := look(own, "files")).ok:
        assert check.heal == FILES
        path = Path(next(p for p in check.found.split(", ") if p.startswith(str(own))))
        path.unlink(missing_ok=True)
        path.with_name(path.name + SIDECAR).unlink()
        deleted += 1
    assert deleted > 20
    ran = run_again(own)
    assert ran.code == 0, ran.err
    assert [check for check in examine(own) if not check.ok] == []
    assert (Home(own).parameters / "latest.json").read_bytes() == before
    for kind in KINDS:
        assert files_of(own, kind.pattern), f"{kind.pattern} came back"


@pytest.mark.slow
def test_moving_a_damaged_ledger_and_databases_away_and_running_heals(home: Path, tmp_path: Path):
    own = moved_copy(home, tmp_path / "home")
    flip(Home(own).exports / "ledger.jsonl", 40)
    for kind in DATABASES:
        path = files_of(own, kind.pattern)[0]
        flip(path, live_pages(path)[0])
    for name, folder in (
        ("ledger", Home(own).exports),
        ("histories", Home(own).dagster),
        ("histories", Home(own).mlflow),
    ):
        assert "away" in look(own, name).heal
        folder.rename(tmp_path / folder.name)
    # Here, because without its history nobody knows that this process's run is over.
    ran = weathervane("run", "--home", own, *AGAIN)
    assert ran.code == 0, ran.err
    assert [check for check in examine(own) if not check.ok] == []
