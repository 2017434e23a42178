"""Dagster's own storage: one set of settings for the project's page and for every home.

For: ``dagster.yaml`` at the root, the same file under a home, and opening an instance on it. Not
for: runs (``chain``). ``python -m pipeline.instance`` writes the root's file anew; a test refuses
one that differs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StoreError

if TYPE_CHECKING:
    import dagster as dg

ROOT_BASE = ".weathervane/dagster"
"""Where a plain ``dg dev`` in the project's folder keeps its history: the default home."""

# What SQLite says of a full disk, and of a size limit.
_FULL = ("SQLITE_FULL", *(f"SQLITE_IOERR_{name}" for name in ("WRITE", "SHMSIZE", "SHMOPEN")))

_LAST_MADE = "storage/schedules/schedules.db"
"""Database that the last of the questions to a new folder makes."""

_TEMPLATE = """\
# Written by `python -m pipeline.instance`; change it there. Dagster's own storage and manners.
telemetry:
  enabled: false

# No sign-up form on the first visit.
nux:
  enabled: false

storage:
  sqlite:
    base_dir: {storage}

local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: {artifacts}

compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config:
    base_dir: {compute_logs}

# After a crash of the machine a run would stay "started" for ever without a maximum.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 7200
  poll_interval_seconds: 30

# A crashed run is tried once more; a step that failed for a reason is not.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false

# Two runs of one session never overlap, whoever asked for them.
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - key: weathervane/session
        limit: 1
        value:
          applyLimitPerUniqueValue: true

# Log lines of the pure rooms appear in the run's page.
python_logs:
  python_log_level: INFO
  managed_python_loggers:
    - pipeline
    - assets
    - ml
    - backtest
"""


def instance_settings(base: str) -> str:
    """Text of a ``dagster.yaml`` that keeps everything under ``base``."""
    places = {
        name: json.dumps(f"{base}/{folder}")
        for name, folder in (
            ("storage", "storage"),
            ("artifacts", "artifacts"),
            ("compute_logs", "compute_logs"),
        )
    }
    return _TEMPLATE.format(**places)


def prepare_instance(folder: Path) -> Path:
    """Write the ``dagster.yaml`` of the instance kept in ``folder``, unless it stands already.

    Returns
    -------
    pathlib.Path
        The folder, absolute: a value for ``DAGSTER_HOME``.
    """
    path = folder.resolve() / "dagster.yaml"
    text = instance_settings(path.parent.as_posix())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"the run history cannot be written ({error.strerror or error})",
            where=str(path.parent),
            fix="give a writable folder by --home",
            code="E_HOME",
        ) from None
    return path.parent


def open_instance(folder: Path) -> "dg.DagsterInstance":
    """Open the instance kept in ``folder``, made where missing."""
    import dagster as dg
    from filelock import FileLock

    # Two processes that make the tables of one new folder at once would trip over each other.
    with FileLock(prepare_instance(folder) / ".opening.lock"):
        instance = dg.DagsterInstance.from_config(str(folder.resolve()))
        if not (folder / _LAST_MADE).is_file():
            instance.get_runs_count()
            instance.all_asset_keys()
            instance.all_instigator_state()
        return instance


@contextmanager
def run_history(folder: Path) -> Iterator["dg.DagsterInstance"]:
    """Open the instance kept in ``folder`` for a block, and close it.

    Raises
    ------
    StoreError
        ``E_STORE_FULL``: no room to write its database. ``E_HOME``: it cannot be written or read.
    """
    from sqlalchemy.exc import DatabaseError

    try:
        with open_instance(folder) as instance:
            yield instance
    except DatabaseError as error:
        # A name of SQLite's; other databases have none.
        full = getattr(error.orig, "sqlite_errorname", "") in _FULL
        raise StoreError(
            f"the run history cannot be {'written' if full else 'used'} ({error.orig})",
            where=str(folder),
            fix="make room or give a writable folder by --home, then run again"
            if full
            else "move the folder away (it holds only the history of runs), then run again",
            code="E_STORE_FULL" if full else "E_HOME",
        ) from error


def is_over(instance: "dg.DagsterInstance", run_id: str) -> bool:
    """Say whether a run is known to be over, whatever its process does."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("dagster.yaml").write_text(
        instance_settings(ROOT_BASE), encoding="utf-8"
    )
