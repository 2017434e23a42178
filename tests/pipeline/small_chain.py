"""A market small enough that the whole chain runs on it in some seconds.

For: tests of the wiring. Not for: numbers that mean anything.
"""

from datetime import date
from pathlib import Path

import dagster as dg

from pipeline.chain import RunSummary, run_chain
from pipeline.config import Home, Settings, load_settings, open_home
from pipeline.instance import open_instance
from pipeline.partitions import add_sessions, partition_of
from pipeline.progress import QUIET
from pipeline.snapshots import Snapshots
from pipeline.workbench import Workbench

SESSION = date(2024, 3, 28)
OVERRIDES = (
    "world.symbols=8",
    "data.first_session=2023-01-03",
    "policy.train=252",
    "policy.refit=40",
    "gate.first_look=60",
    'strategies.names=["rsi_swing","ma_cross"]',
)


def small_settings(*overrides: str) -> Settings:
    """Eight symbols, fifteen months, two strategies."""
    return load_settings("demo", overrides=[*OVERRIDES, *overrides])


def run_small(home: Path, *, session: date = SESSION, told: list[str] | None = None) -> RunSummary:
    """Run the whole chain in ``home``."""
    lines = told if told is not None else []
    return run_chain(small_settings(), open_home(home), session=session, progress=lines.append)


def bench_of(home: Path) -> Workbench:
    """Files of the small market's research."""
    files = Snapshots(Home(home), small_settings())
    return files.workbench(files.current())


def export_again(home: Path, days: list[date]) -> list[dg.ExecuteInProcessResult]:
    """Materialise only the document, for each of some sessions."""
    from pipeline.definitions import defs

    told = {"document": small_settings().model_dump_json(), "home": str(home)}
    job = defs.resolve_job_def("daily")
    with open_instance(Home(home).dagster) as instance:
        add_sessions(instance, days)
        return [
            job.execute_in_process(
                run_config={"resources": {"settings": {"config": told}}, **QUIET},
                instance=instance,
                partition_key=partition_of(day),
                asset_selection=[dg.AssetKey("regime_parameters")],
            )
            for day in days
        ]


def stamps(*folders: Path) -> dict[str, tuple[int, int]]:
    """When each file below some folders was last written, and its size."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
