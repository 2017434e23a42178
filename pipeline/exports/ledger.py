"""The ledger of exports: one line for every change of what is exported, each naming the last.

For: appending durably under a lock, and reading with every line checked. Not for: the documents
themselves (``publishing``, ``reading``).
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from backtest.errors import DataError, StoreError

logger = logging.getLogger(__name__)

LEDGER = "ledger.jsonl"
WAIT_S = 30.0
"""How long a process waits for another that is publishing, seconds."""

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

Action = Literal["publish", "replace", "rollback"]


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Parameters
    ----------
    entry : int
        Number, from 1 on.
    session : date
        Of the document.
    path : str
        Of the document's file, relative to the folder of exports.
    sha256 : str
        Of the file's bytes.
    content_sha256, previous_sha256 : str
        As in the document.
    action : str
        ``publish`` (first document of its session), ``replace`` (another one) or ``rollback``.
    at : str
        Moment in UTC, ISO.
    run_id : str, optional
        Run that published it.
    """

    entry: int
    session: date
    path: str
    sha256: str
    content_sha256: str
    previous_sha256: str | None
    action: Action
    at: str
    run_id: str | None = None

    def plain(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "session": self.session.isoformat()}


def chained(values: dict[str, Any], before: str) -> str:
    """SHA-256 over a line's values and the same of the line before it."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


@dataclass(frozen=True)
class Ledger:
    """All entries, oldest first, and the hash that the next line chains to."""

    entries: tuple[Entry, ...] = ()
    head: str = ""

    @property
    def in_force(self) -> dict[date, Entry]:
        """Last entry of each session, by session in order."""
        last = {entry.session: entry for entry in self.entries}
        return {session: last[session] for session in sorted(last)}

    @property
    def shown(self) -> Entry:
        """Entry that the latest document is: the last rollback, or the newest session after it."""
        shown = self.entries[0]
        for entry in self.entries[1:]:
            if entry.action == "rollback" or entry.session >= shown.session:
                shown = entry
        return shown

    def entry(self, number: int, *, where: Path) -> Entry:
        """Return an entry by its number.

        Raises
        ------
        DataError
            ``E_ENTRY`` with the numbers that exist.
        """
        count = len(self.entries)
        if not 1 <= number <= count:
            known = f"entries 1 to {count} exist" if count else "nothing was exported yet"
            raise DataError(
                f"no ledger entry {number}", where=str(where), fix=known, code="E_ENTRY"
            )
        return self.entries[number - 1]


def read_ledger(exports: Path) -> Ledger:
    """Read all entries; none if nothing was exported.

    What a killed process left of a line does not count: it was never acknowledged.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: a line was changed, lost or put in.
    """
    path = exports / LEDGER
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        raise StoreError(
            f"the ledger cannot be read ({error.strerror or error})",
            where=str(path),
            fix="make it readable",
            code="E_HOME",
        ) from None
    found: list[Entry] = []
    head = ""
    *lines, rest = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        entry, head = _parse(line, head, where=f"{path} line {number}")
        if entry.entry != number:
            raise _corrupt(f"entry {entry.entry} stands in line {number}", str(path))
        found.append(entry)
    if rest and _was_whole(rest, head):
        raise _corrupt("the end of the last line was changed", str(path))
    return Ledger(tuple(found), head)


def _was_whole(rest: bytes, head: str) -> bool:
    """Say whether an unfinished line is a finished one whose end was damaged."""
    for line in (rest, rest[:-1]):
        try:
            _parse(line, head, where="")
        except StoreError:
            continue
        return True
    return False


def _parse(line: bytes, before: str, where: str) -> tuple[Entry, str]:
    """Read one line and check the hash that chains it to the line before."""
    try:
        values = json.loads(line)
        said = values.pop("line_sha256")
        fits = said == chained(values, before)
        entry = Entry(**{**values, "session": date.fromisoformat(values["session"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _corrupt("a line of the ledger cannot be read", where) from None
    if not fits:
        raise _corrupt("a line of the ledger is not what was written", where)
    return entry, said


def _corrupt(what: str, where: str) -> StoreError:
    fix = "restore the file from a backup, or move the exports folder away and run again"
    return StoreError(what, where=where, fix=fix, code="E_CORRUPT")


@contextmanager
def exclusive(exports: Path) -> Iterator[None]:
    """Let one process at a time change what is exported.

    Raises
    ------
    StoreError
        ``E_EXPORT_LOCKED``: another process holds the lock for longer than ``WAIT_S``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(exports / ".ledger.lock", timeout=WAIT_S)
    try:
        exports.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreError(
            "another process is publishing",
            where=str(exports),
            fix="wait until it ends, or end it, and run again",
            code="E_EXPORT_LOCKED",
        ) from None
    except OSError as error:
        raise unwritable(exports, error) from None
    try:
        yield
    finally:
        lock.release()


def unwritable(path: Path, error: OSError) -> StoreError:
    """Make the error for a place where nothing can be written."""
    return StoreError(
        f"the ledger cannot be written ({error.strerror or error})",
        where=str(path),
        fix="make room or give a writable folder by --home, then run again",
        code="E_STORE_FULL" if error.errno in FULL else "E_HOME",
    )


def append(exports: Path, ledger: Ledger, entry: Entry) -> Ledger:
    """Add one entry and flush it to the disk; call it while holding :func:`exclusive`.

    Raises
    ------
    StoreError
        ``E_STORE_FULL`` or ``E_HOME``; the ledger is then as it was.
    """
    values = entry.plain()
    head = chained(values, ledger.head)
    line = json.dumps({**values, "line_sha256": head}).encode() + b"\n"
    path = exports / LEDGER
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            whole = os.pread(handle, size, 0).rfind(b"\n") + 1
            if whole < size:
                logger.warning("%s: dropped %d bytes of an unfinished line", path, size - whole)
                os.ftruncate(handle, whole)
            _write(handle, line, whole)
        finally:
            os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    return Ledger((*ledger.entries, entry), head)


def _write(handle: int, line: bytes, at: int) -> None:
    """Write a line at the end of an open file; on an error the file is cut back to ``at``."""
    try:
        if os.pwrite(handle, line, at) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, at)
        raise
