"""One run at a time for one universe, whoever started it.

For: ``take_turn``, with which a run begins, and ``end_turn``. Not for: the store's own lock, which
is held for one transaction (``store.lock``), or refusing the writes of a run that was given up
(``store.commits``).

The turn is a file lock that the kernel frees when its process dies. A run that is over by its own
record while its process still lives (cancelled, or ended by monitoring) does not keep the others
waiting: its lock is passed by, and its writes are refused.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil

from backtest.errors import StoreError
from pipeline.journal import unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import FileLock

    from pipeline.config import Home

logger = logging.getLogger(__name__)

WAIT_S = 3600.0
POLL_S = 0.5

_HELD: dict["Path", "FileLock"] = {}
_WHOLE: set["Path"] = set()
"""Turns that were taken for a process as a whole, whatever becomes of its single runs."""


def take_turn(
    home: "Home",
    universe: str,
    run_id: str,
    *,
    ended: Callable[[str], bool],
    tell: Callable[[str], None] = logger.info,
    wait_s: float = WAIT_S,
) -> None:
    """Wait until no other run works on the universe, then keep the others waiting.

    A process that has the turn already keeps it for its next run.

    Parameters
    ----------
    home : Home
    universe : str
    run_id : str
        Empty for a process that does several runs in one turn.
    ended : callable
        Says of a run whether it is over, whatever its process does.
    tell : callable
        Told once whom the run waits for.
    wait_s : float

    Raises
    ------
    StoreError
        ``E_RUN_BUSY``: the other run did not end in time. ``E_STORE_FULL`` or ``E_HOME``: nothing
        can be written.
    """
    path = home.store / f".turn-{universe}.lock"
    if path not in _HELD:
        lock = _waited(path, universe, ended=ended, tell=tell, wait_s=wait_s)
        if lock is None:
            return
        _HELD[path] = lock
        if not run_id:
            _WHOLE.add(path)
    if path not in _WHOLE or not run_id:
        told = json.dumps({"run_id": run_id, "pid": os.getpid()})
        try:
            _note(path).write_text(told, encoding="utf-8")
        except OSError as error:
            raise unwritable(_note(path), error, name="note of whose turn it is") from None


def _waited(
    path: "Path",
    universe: str,
    *,
    ended: Callable[[str], bool],
    tell: Callable[[str], None],
    wait_s: float,
) -> "FileLock | None":
    """Lock of a turn, once it is free; none where its holder is over and need not be waited for."""
    from filelock import FileLock, Timeout

    lock, deadline, told = FileLock(path), time.monotonic() + wait_s, False
    while True:
        try:
            lock.acquire(timeout=POLL_S)
            return lock
        except Timeout:
            holder = _read(path)
        run, pid = holder["run_id"], holder["pid"]
        # A note of a process that is gone is its predecessor's: the holder is writing its own.
        if run and psutil.pid_exists(pid) and ended(run):
            logger.warning("run %s is over, process %s lives on", run, pid)
            return None
        who = f"run {run} of process {pid}" if run else f"a run of process {pid}"
        if time.monotonic() >= deadline:
            raise StoreError(
                f"{who} is under way",
                where=f"universe {universe}, {path.parent}",
                fix="wait until it ends, or end it, and run again",
                code="E_RUN_BUSY",
            )
        if not told:
            tell(f"waiting for {who}")
            told = True


def end_turn(home: "Home", universe: str) -> None:
    """Let the next run begin; nothing if this process has no turn."""
    path = home.store / f".turn-{universe}.lock"
    lock = _HELD.pop(path, None)
    _WHOLE.discard(path)
    if lock is not None:
        lock.release()


def _note(path: "Path") -> "Path":
    """File beside a lock that says who holds it."""
    return path.with_suffix(".json")


def _read(path: "Path") -> dict[str, Any]:
    """Who has the turn; unknown while that is being written, or where it is damaged."""
    unknown = {"run_id": "", "pid": 0}
    try:
        return unknown | json.loads(_note(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return unknown
