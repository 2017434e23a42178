"""Long proofs made of many small ones: side by side, each kept in a file, resumable.

For: the markets of a scorecard and of the board. Not for: what is computed on a market.

A cell is a file of its own, named by what it was made with, so that a run that was cut short goes
on where it stopped, and changed code or terms make new cells. It says what it is for and holds a
digest of its content; what does not fit is made again.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from pipeline.exports import code_facts, source_sha256
from pipeline.publish import replace_file

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


class Plain(Protocol):
    """What a task makes."""

    def plain(self) -> dict[str, Any]:
        """Plain values, as they stand in a file."""
        ...


class Task(Protocol):
    """One cell to make; it is sent to another process."""

    @property
    def name(self) -> str:
        """File name of the cell, without its ending."""
        ...

    def walk(self) -> Plain:
        """Make the cell."""
        ...


def make_cells(
    tasks: Sequence[Task], kept: Path, *, workers: int | None, progress: Progress | None
) -> list[dict[str, Any]]:
    """Make the cells that are not there yet, or are not what was written, and read them all.

    Parameters
    ----------
    tasks : sequence of Task
    kept : pathlib.Path
        Folder of the cells; made where it is missing.
    workers : int, optional
        Processes; one per core by default.
    progress : callable, optional
        Told how many cells are there, and how many there will be.
    """
    kept.mkdir(parents=True, exist_ok=True)
    names = [task.name for task in tasks]
    found = {name: cell for name in names if (cell := read_cell(kept, name)) is not None}
    left = {name: task for name, task in zip(names, tasks, strict=True) if name not in found}
    report = progress or (lambda _done, _total: None)
    report(len(tasks) - len(left), len(tasks))
    for name in THREADS:  # read by each worker when it starts: processes are the threads here
        os.environ.setdefault(name, "1")
    if left:
        workers = min(workers or os.cpu_count() or 1, len(left))
        found |= _make(left, kept, workers, total=len(tasks), report=report)
    return [found[name] for name in names]


def _make(
    left: Mapping[str, Task], kept: Path, workers: int, *, total: int, report: Progress
) -> dict[str, dict[str, Any]]:
    """Make cells by name; each is written once it is there."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )
    made = {}
    try:
        running = {pool.submit(task.walk): name for name, task in left.items()}
        for done, future in enumerate(as_completed(running), start=total - len(left) + 1):
            name = running[future]
            made[name] = json.loads(plain_json(future.result().plain()))
            content = {"of": name, "sha256": _digest(made[name]), "cell": made[name]}
            replace_file(kept / f"{name}.json", plain_json(content))
            report(done, total)
    finally:  # a failure or Ctrl-C does not wait for markets that nobody asks for any more
        pool.shutdown(wait=False, cancel_futures=True)
    return made


def read_cell(kept: Path, name: str) -> dict[str, Any] | None:
    """Content of a cell; None where there is none, or not the one that was written."""
    path = kept / f"{name}.json"
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_bytes())
        cell: dict[str, Any] = held["cell"]
        whole = held["of"] == name and held["sha256"] == _digest(cell)
    except (ValueError, KeyError, TypeError):
        whole = False
    if whole:
        return cell
    logger.warning("%s is damaged or another market's; it is made again", path)
    return None


def _digest(cell: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def cell_key(*terms: Any, sources: Sequence[Path] = ()) -> str:
    """Digest of what makes a cell: terms, source code, locked libraries, and given files."""
    code = f"{source_sha256(('backtest', 'ml'))} {code_facts().lock}"
    told = {"terms": repr(terms), "code": code, "sources": [_content(one) for one in sources]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _content(source: Path) -> str:
    """Digest of a file, or of a folder's files."""
    files = sorted(p for p in source.iterdir() if p.is_file()) if source.is_dir() else [source]
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def plain_json(value: Any) -> bytes:
    """Plain values as the bytes of a file."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
