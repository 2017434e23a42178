"""Reading what was exported, with every hash checked.

For: one document, the one before a session, and the ledger with the state of its files. Not for:
words about them (``telling``).
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import DataError, StoreError
from pipeline.exports.ledger import Entry, read_ledger
from pipeline.exports.publishing import LATEST, session_path, version_bytes, version_path
from pipeline.publish import read_published

if TYPE_CHECKING:
    from ml.export.document import ParameterDocument
    from pipeline.config import Home

_NAMED = 3


@dataclass(frozen=True)
class History:
    """The ledger and which of its entries are in force.

    Parameters
    ----------
    entries : tuple of Entry
        Oldest first.
    in_force : frozenset of int
        Numbers of the entries that a session's file now shows.
    latest : int
        Number of the entry that ``latest.json`` shows.
    """

    entries: tuple[Entry, ...]
    in_force: frozenset[int]
    latest: int


def read_document(home: "Home", session: date | str | None = None) -> "ParameterDocument":
    """Read the document of a session, or the latest.

    Raises
    ------
    DataError
        ``E_SESSION``: not a date, or no document of that session, with those that exist.
    StoreError
        ``E_MISSING``: nothing was exported yet. ``E_CORRUPT``: bytes or content changed.
    """
    from ml.export.document import decode

    ledger = read_ledger(home.exports)
    if not ledger.entries:
        raise StoreError(
            "nothing was exported yet",
            where=str(home.parameters),
            fix="run `weathervane run`",
            code="E_MISSING",
        )
    if session is None:
        path = home.parameters / LATEST
    else:
        day = _session(session, list(ledger.in_force))
        path = home.exports / session_path(day)
    return decode(read_published(path), where=str(path))


def preceding(home: "Home", session: date) -> "ParameterDocument | None":
    """Read the document of the last session before ``session`` that has one.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: its bytes or the ledger changed.
    """
    from ml.export.document import decode

    ledger = read_ledger(home.exports)
    before = [entry for day, entry in ledger.in_force.items() if day < session]
    if not before:
        return None
    return decode(version_bytes(home, before[-1]), where=str(home.exports / before[-1].path))


def _session(session: date | str, known: list[date]) -> date:
    """Read a session and check that it has a document."""
    try:
        day = session if isinstance(session, date) else date.fromisoformat(session)
    except ValueError:
        raise DataError(
            f"{session!r} is not a session", fix="write it as YYYY-MM-DD", code="E_SESSION"
        ) from None
    if day in known:
        return day
    near = sorted(sorted(known, key=lambda other: abs(other - day))[:_NAMED])
    raise DataError(
        f"no document of session {day}",
        where=f"{len(known)} sessions from {known[0]} to {known[-1]}",
        fix="the nearest are " + ", ".join(str(other) for other in near),
        code="E_SESSION",
    )


def history(home: "Home") -> History:
    """Read the ledger and check every version, every session's file and ``latest.json``.

    Raises
    ------
    StoreError
        ``E_CORRUPT`` for the first file that is not what the ledger says; ``E_MISSING`` if nothing
        was exported yet, or a file is gone.
    """
    ledger = read_ledger(home.exports)
    if not ledger.entries:
        read_document(home)
    shown = ledger.shown
    places = [(entry, version_path(home, entry.sha256)) for entry in ledger.entries]
    places += [(entry, home.exports / entry.path) for entry in ledger.in_force.values()]
    places.append((shown, home.parameters / LATEST))
    for entry, path in dict.fromkeys(places):
        _check(entry, path)
    in_force = frozenset(entry.entry for entry in ledger.in_force.values())
    return History(ledger.entries, in_force, shown.entry)


def _check(entry: Entry, path: Path) -> None:
    """Compare a file with what the ledger says about it."""
    found = hashlib.sha256(read_published(path)).hexdigest()
    if found != entry.sha256:
        raise StoreError(
            f"the file's SHA-256 {found[:12]} is not the {entry.sha256[:12]} of ledger entry"
            f" {entry.entry}",
            where=str(path),
            fix=f"run `weathervane rollback {entry.entry}` or run again",
            code="E_CORRUPT",
        )
