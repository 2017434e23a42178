"""Long proofs made of many small ones: side by side, each kept in a file, resumable.

For: the markets of a scorecard and of the board. Not for: what is computed on a market.

A cell is a file of its own, named by what it was made with, so that a run that was cut short goes
on where it stopped, and changed code or terms make new cells.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from pipeline.exports import code_facts, source_sha256
from pipeline.publish import replace_file

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
    """Make the cells that are not there yet, and read them all.

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
    paths = [kept / f"{task.name}.json" for task in tasks]
    left = [(task, path) for task, path in zip(tasks, paths, strict=True) if not path.is_file()]
    report = progress or (lambda _done, _total: None)
    report(len(tasks) - len(left), len(tasks))
    for name in THREADS:  # read by each worker when it starts: processes are the threads here
        os.environ.setdefault(name, "1")
    if left:
        _make(left, min(workers or os.cpu_count() or 1, len(left)), len(tasks), report)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _make(left: list[tuple[Task, Path]], workers: int, total: int, report: Progress) -> None:
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )
    try:
        running = {pool.submit(task.walk): path for task, path in left}
        for done, future in enumerate(as_completed(running), start=total - len(left) + 1):
            replace_file(running[future], plain_json(future.result().plain()))
            report(done, total)
    finally:  # a failure or Ctrl-C does not wait for markets that nobody asks for any more
        pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def cell_key(*terms: Any, source: Path | None) -> str:
    """Digest of what makes a cell: terms, source code, locked libraries, and given files."""
    code = f"{source_sha256(('backtest', 'ml'))} {code_facts().lock}"
    told = {"terms": repr(terms), "code": code, "source": _content(source)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _content(source: Path | None) -> str:
    """Digest of a file, or of a folder's files; empty without either."""
    if source is None:
        return ""
    files = sorted(p for p in source.iterdir() if p.is_file()) if source.is_dir() else [source]
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def plain_json(value: Any) -> bytes:
    """Plain values as the bytes of a file."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
