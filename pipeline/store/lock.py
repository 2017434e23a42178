"""The lock beside the database: many readers or one writer, freed when its process dies.

For: letting processes take turns, and naming the one that is in the way. Not for: the database's
own consistency, which its transactions keep.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import ReadWriteLock, Timeout

from backtest.errors import StoreError

LOCK = "weathervane.lock"
_NOTE = ".held-by-"


@contextmanager
def held(folder: Path, *, writing: bool, wait_s: float) -> Iterator[None]:
    """Hold the lock of the store in ``folder``, shared for reading, alone for writing.

    Parameters
    ----------
    folder : pathlib.Path
    writing : bool
    wait_s : float
        How long to wait for others, seconds.

    Raises
    ------
    StoreError
        ``E_STORE_LOCKED`` with the process that holds it; ``E_HOME`` where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = ReadWriteLock(folder / LOCK, is_singleton=False)
        proxy = lock.acquire_write(wait_s) if writing else lock.acquire_read(wait_s)
    except Timeout:
        raise locked(folder, _holders(folder)) from None
    except OSError as error:
        raise unwritable(folder, error) from None
    note = folder / f"{_NOTE}{os.getpid()}"
    try:
        with proxy:
            _leave(note)
            try:
                yield
            finally:
                note.unlink(missing_ok=True)
    finally:
        lock.close()


def locked(folder: Path, holders: list[int]) -> StoreError:
    """Make the error for a store that other processes hold."""
    names = ", ".join(str(pid) for pid in holders)
    return StoreError(
        f"the store is in use by process {names}" if names else "the store is in use",
        where=str(folder),
        fix="wait until it ends, or end it, and run again",
        code="E_STORE_LOCKED",
    )


def unwritable(folder: Path, error: OSError) -> StoreError:
    """Make the error for a folder in which nothing can be written."""
    return StoreError(
        f"the store cannot be written ({error.strerror or error})",
        where=str(folder),
        fix="give a writable folder by --home",
        code="E_HOME",
    )


def _leave(note: Path) -> None:
    """Leave the holder's process number where others can read it."""
    try:
        note.touch()
    except OSError:
        # The number only serves a message: holding the lock matters more than naming its holder.
        return


def _holders(folder: Path) -> list[int]:
    """Process numbers of those that hold the lock; notes of dead ones are removed."""
    alive = []
    for note in sorted(folder.glob(f"{_NOTE}*")):
        pid = int(note.name.removeprefix(_NOTE))
        if psutil.pid_exists(pid):
            alive.append(pid)
        else:
            note.unlink(missing_ok=True)
    return alive
