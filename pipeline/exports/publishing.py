"""Changing what is exported: publish, replace, roll back.

For: files that are whole or not there, one ledger line for each change, and every version kept so
that a rollback restores the same bytes. Not for: what a document says (``ml.export.document``) or
reading it (``reading``).
"""

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StoreError
from pipeline.exports.ledger import Entry, Ledger, append, exclusive, read_ledger
from pipeline.publish import publish_bytes, read_published

if TYPE_CHECKING:
    from ml.export.document import ParameterDocument
    from pipeline.config import Home

logger = logging.getLogger(__name__)

LATEST = "latest.json"


@dataclass(frozen=True)
class Exported:
    """What a call left behind.

    Parameters
    ----------
    entry : Entry
        Ledger entry now in force for the session.
    path : pathlib.Path
        File of the document.
    written : bool
        False where everything stood there already; then no entry was added.
    """

    entry: Entry
    path: Path
    written: bool


def session_path(session: date) -> str:
    """Path of a session's document, relative to the folder of exports."""
    return f"parameters/{session.isoformat()}.json"


def version_path(home: "Home", sha256: str) -> Path:
    """Where the bytes of a version stay for good."""
    return home.exports / "versions" / f"{sha256}.json"


def publish_document(
    home: "Home", document: "ParameterDocument", *, run_id: str | None = None
) -> Exported:
    """Export a document: its own file, ``latest.json`` and a ledger line.

    Content that the session's file already has is not rewritten and adds no line. After a rollback
    the content that was rolled away stays away: only new content or a new session moves on.
    ``latest.json`` follows the last line, except for a session older than the one it shows.

    The order is version, ledger, file, latest: a process killed between them leaves a line whose
    files the next call completes.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: the ledger was damaged; ``E_HOME``: it cannot be written;
        ``E_EXPORT_LOCKED``: another process is publishing.
    """
    from ml.export.document import encode

    with exclusive(home.exports):
        ledger = read_ledger(home.exports)
        same = _standing(ledger, document)
        if same is not None:
            written = _complete(home, ledger, same)
            return Exported(same, home.exports / same.path, written=written)
        content = encode(document)
        entry = Entry(
            entry=len(ledger.entries) + 1,
            session=document.session,
            path=session_path(document.session),
            sha256=hashlib.sha256(content).hexdigest(),
            content_sha256=document.content_sha256,
            previous_sha256=document.previous_sha256,
            action="replace" if document.session in ledger.in_force else "publish",
            at=_now(),
            run_id=run_id,
        )
        publish_bytes(version_path(home, entry.sha256), content)
        _complete(home, append(home.exports, ledger, entry), entry)
    logger.info("%s %s: entry %d", entry.action, entry.path, entry.entry)
    return Exported(entry, home.exports / entry.path, written=True)


def rollback(home: "Home", number: int, *, run_id: str | None = None) -> Exported:
    """Go back to a ledger entry: its bytes become the session's file and ``latest.json``.

    Raises
    ------
    DataError
        ``E_ENTRY``: no such entry.
    StoreError
        ``E_CORRUPT``: its bytes cannot be trusted any more.
    """
    with exclusive(home.exports):
        ledger = read_ledger(home.exports)
        wanted = ledger.entry(number, where=home.exports)
        version_bytes(home, wanted)
        count = len(ledger.entries)
        entry = replace(wanted, entry=count + 1, action="rollback", at=_now(), run_id=run_id)
        _complete(home, append(home.exports, ledger, entry), entry)
    logger.info("rollback to entry %d as entry %d", number, entry.entry)
    return Exported(entry, home.exports / entry.path, written=True)


def version_bytes(home: "Home", entry: Entry) -> bytes:
    """Return the bytes that an entry exported.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: neither the kept version nor the session's file holds them.
    """
    for path in (version_path(home, entry.sha256), home.exports / entry.path):
        try:
            content = read_published(path)
        except StoreError:
            logger.warning("%s: missing or damaged", path)
            continue
        if hashlib.sha256(content).hexdigest() == entry.sha256:
            return content
    raise StoreError(
        f"the bytes of entry {entry.entry} (session {entry.session}) are damaged or gone",
        where=str(version_path(home, entry.sha256)),
        fix="restore the file from a copy of your own, roll back to another entry, or move the"
        " exports folder away and run again",
        code="E_CORRUPT",
    )


def _standing(ledger: Ledger, document: "ParameterDocument") -> Entry | None:
    """Entry in force if it has this content, or was put there by a rollback instead of it."""
    mine = [entry for entry in ledger.entries if entry.session == document.session]
    if not mine:
        return None
    last = mine[-1]
    if last.content_sha256 == document.content_sha256:
        return last
    earlier = {entry.content_sha256 for entry in mine}
    rolled = last.action == "rollback" and document.content_sha256 in earlier
    return last if rolled else None


def _complete(home: "Home", ledger: Ledger, entry: Entry) -> bool:
    """Bring the files of an entry, and ``latest.json``, in line with the ledger.

    The file of another session comes back where it is gone; a damaged one is for a person to see.

    Returns
    -------
    bool
        Whether anything was written.
    """
    places = [(entry, home.exports / entry.path), (ledger.shown, home.parameters / LATEST)]
    others = [(other, home.exports / other.path) for other in ledger.in_force.values()]
    places += [(other, path) for other, path in others if not path.exists()]
    written = False
    for wanted, path in places:
        content = version_bytes(home, wanted)
        written |= publish_bytes(version_path(home, wanted.sha256), content).written
        written |= publish_bytes(path, content).written
    return written


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
