"""A file of JSON lines, each chained to the one before: what was acknowledged stays provable.

For: appending durably, reading with every line checked, and telling a torn last line from a damaged
one. Not for: what the lines say (``exports.ledger``, ``store.commits``) or who may write (each has
a lock of its own).
"""

import errno
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtest.errors import StoreError

logger = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
HASH = "line_sha256"


@dataclass(frozen=True)
class Journal:
    """Lines of one file, oldest first, and the hash that the next line chains to.

    Parameters
    ----------
    lines : tuple of dict
        Values without their hash.
    head : str
        Empty before the first line.
    size : int
        Bytes of the whole lines.
    """

    lines: tuple[dict[str, Any], ...] = ()
    head: str = ""
    size: int = 0


EMPTY = Journal()


def chained(values: dict[str, Any], before: str) -> str:
    """SHA-256 over a line's values and the same of the line before it."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def read_journal(path: Path, *, name: str, heal: str, known: Journal = EMPTY) -> Journal:
    """Read all lines, or those after the ``known`` ones; none if the file is not there.

    What a killed process left of a line does not count: it was never acknowledged.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        What the file is, for messages.
    heal : str
        What a person does about a damaged one.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: a line was changed, lost or put in; ``E_HOME``: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(known.size)
            content = file.read()
    except FileNotFoundError:
        return EMPTY
    except OSError as error:
        raise StoreError(
            f"the {name} cannot be read ({error.strerror or error})",
            where=str(path),
            fix="make it readable",
            code="E_HOME",
        ) from None
    found = list(known.lines)
    head = known.head
    *lines, rest = content.split(b"\n")
    for number, line in enumerate(lines, start=len(found) + 1):
        parsed = _parsed(line, head)
        if isinstance(parsed, str):
            raise corrupt(f"{parsed} of the {name}", f"{path} line {number}", heal)
        values, head = parsed
        found.append(values)
    if rest and any(not isinstance(_parsed(line, head), str) for line in (rest, rest[:-1])):
        raise corrupt(f"the end of the last line of the {name} was changed", str(path), heal)
    return Journal(tuple(found), head, known.size + len(content) - len(rest))


def corrupt(what: str, where: str, heal: str) -> StoreError:
    """Make the error for a journal that is not what was written."""
    return StoreError(what, where=where, fix=heal, code="E_CORRUPT")


def _parsed(line: bytes, before: str) -> tuple[dict[str, Any], str] | str:
    """Values of a line and its hash, or what is wrong with it."""
    try:
        values = json.loads(line)
        said = values.pop(HASH)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "an unreadable line"
    if said != chained(values, before):
        return "a changed line"
    return values, said


def append_lines(path: Path, journal: Journal, *lines: dict[str, Any], name: str) -> Journal:
    """Add lines and flush them to the disk; only the holder of the file's lock may call it.

    Raises
    ------
    StoreError
        ``E_STORE_FULL`` or ``E_HOME``; the file is then as it was.
    """
    head, text = journal.head, b""
    for values in lines:
        head = chained(values, head)
        text += json.dumps({**values, HASH: head}).encode() + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            whole = os.pread(handle, size, 0).rfind(b"\n") + 1
            if whole < size:
                logger.warning("%s: dropped %d bytes of an unfinished line", path, size - whole)
                os.ftruncate(handle, whole)
            _write(handle, text, whole)
        finally:
            os.close(handle)
    except OSError as error:
        raise unwritable(path, error, name=name) from error
    return Journal((*journal.lines, *lines), head, whole + len(text))


def _write(handle: int, text: bytes, at: int) -> None:
    """Write lines at the end of an open file; on an error the file is cut back to ``at``."""
    try:
        if os.pwrite(handle, text, at) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, at)
        raise


def unwritable(path: Path, error: OSError, *, name: str) -> StoreError:
    """Make the error for a place where nothing can be written."""
    return StoreError(
        f"the {name} cannot be written ({error.strerror or error})",
        where=str(path),
        fix="make room or give a writable folder by --home, then run again",
        code="E_STORE_FULL" if error.errno in FULL else "E_HOME",
    )
