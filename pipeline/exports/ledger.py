"""The ledger of exports: one line for every change of what is exported, each naming the last.

For: entries, the lock, and which document is in force. Not for: how a chained file is kept
(``journal``) or the documents themselves (``publishing``, ``reading``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from backtest.errors import DataError, StoreError
from pipeline.journal import EMPTY, Journal, append_lines, corrupt, read_journal, unwritable

LEDGER = "ledger.jsonl"
WAIT_S = 30.0
"""How long a process waits for another that is publishing, seconds."""

NAME = "export ledger"
HEAL = "restore the file from a backup, or move the exports folder away and run again"

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


@dataclass(frozen=True)
class Ledger:
    """All entries, oldest first, and the lines that they stand in."""

    entries: tuple[Entry, ...] = ()
    journal: Journal = EMPTY

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
    kept = read_journal(path, name=NAME, heal=HEAL)
    found: list[Entry] = []
    for number, values in enumerate(kept.lines, start=1):
        where = f"{path} line {number}"
        try:
            entry = Entry(**{**values, "session": date.fromisoformat(values["session"])})
        except (ValueError, TypeError, KeyError):
            raise corrupt(f"an unreadable line of the {NAME}", where, HEAL) from None
        if entry.entry != number:
            raise corrupt(f"entry {entry.entry} of the {NAME} stands in line {number}", where, HEAL)
        found.append(entry)
    return Ledger(tuple(found), kept)


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
        raise unwritable(exports, error, name=NAME) from None
    try:
        yield
    finally:
        lock.release()


def append(exports: Path, ledger: Ledger, entry: Entry) -> Ledger:
    """Add one entry and flush it to the disk; call it while holding :func:`exclusive`.

    Raises
    ------
    StoreError
        ``E_STORE_FULL`` or ``E_HOME``; the ledger is then as it was.
    """
    kept = append_lines(exports / LEDGER, ledger.journal, entry.plain(), name=NAME)
    return Ledger((*ledger.entries, entry), kept)
