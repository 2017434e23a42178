"""Connections that open late and close early, and the database's errors in the house's words.

For: ``reading`` and ``writing``, the only two ways to the database file. Not for: SQL.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from backtest.errors import StoreError
from pipeline.journal import Journal
from pipeline.store.commits import (
    HEAL,
    Writer,
    add_lines,
    admit_writer,
    confirmation,
    drafted,
    intent,
    last_commit,
    last_confirmed,
    lost,
    moment,
    read_commits,
    verify,
)
from pipeline.store.lock import held, locked, unwritable
from pipeline.store.schema import VERSION, migrate, version_of

# Nothing may be fetched from a network, and one process should not take the whole machine.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "2GiB",
}
_FULL = re.compile(r"no space left|file too large|disk quota|out of disk|EFBIG|ENOSPC", re.I)
_HELD = re.compile(r"could not set lock|conflicting lock", re.I)
_REFUSED = re.compile(r"permission denied|read-only file system", re.I)
_RETRY_S = 0.1
_DAMAGED = re.compile(
    r"not a valid duckdb|checksum|corrupt|deserializ|could not read enough bytes", re.I
)
_FATAL = (duckdb.FatalException, duckdb.SerializationException)
_PID = re.compile(r"PID (\d+)")


@contextmanager
def reading(path: Path, *, wait_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the database at ``path`` for reading, made and brought up to date where needed.

    Raises
    ------
    StoreError
        As :func:`explained`, and ``E_STORE_NEWER`` for the file of a later version.
    """
    for behind in (not path.exists(), True):
        if behind:
            with held(path.parent, writing=True, wait_s=wait_s):
                _ledger_of(path)
                with opened(path, wait_s=wait_s) as made:
                    _bring_up_to_date(made, path)
        with (
            held(path.parent, writing=False, wait_s=wait_s),
            opened(path, read_only=True, wait_s=wait_s) as found,
        ):
            if _current(found, path):
                verify(read_commits(path.parent), found, path)
                yield found
                return


@contextmanager
def writing(
    path: Path, writer: Writer, *, wait_s: float
) -> Iterator[tuple[duckdb.DuckDBPyConnection, datetime]]:
    """Open the database for one transaction: all of it is kept, or nothing if anything fails.

    Yields
    ------
    connection : duckdb.DuckDBPyConnection
    at : datetime
        When the rows count as ingested.

    Raises
    ------
    StoreError
        As :func:`explained`, ``E_STORE_NEWER`` for the file of a later version, ``E_STORE_LOST``
        for one that lacks what was committed, and what ``commits.admit_writer`` and
        ``commits.moment`` raise.
    """
    folder = path.parent
    with held(folder, writing=True, wait_s=wait_s):
        ledger = _ledger_of(path)
        claim = admit_writer(ledger, writer, folder)
        with opened(path, read_only=False, wait_s=wait_s) as made:
            _bring_up_to_date(made, path)
            if missing := verify(ledger, made, path):
                ledger = add_lines(folder, ledger, missing)
            made.execute("begin transaction")
            at = moment(made, writer)
            yield made, at
            commit = drafted(made, writer, at)
            if commit is not None:
                lines = [line for line in (claim, intent(commit)) if line]
                ledger = add_lines(folder, ledger, *lines)
            made.execute("commit")
        if commit is not None:
            add_lines(folder, ledger, confirmation(commit))


def settled(path: Path, *, wait_s: float) -> int:
    """Bring the file up to date and its log into it, for the holder of the write lock.

    Returns
    -------
    int
        Its last commit; 0 before the first.
    """
    ledger = _ledger_of(path)
    with opened(path, wait_s=wait_s) as made:
        _bring_up_to_date(made, path)
        if missing := verify(ledger, made, path):
            add_lines(path.parent, ledger, missing)
        made.execute("checkpoint")
        return last_commit(made)[0]


def _ledger_of(path: Path) -> Journal:
    """Read the ledger beside the database; refuse a database that was there and is gone."""
    ledger = read_commits(path.parent)
    number, _ = last_confirmed(ledger)
    if number and not path.exists():
        raise lost(f"the database with {number} confirmed commits is gone", path)
    return ledger


def _bring_up_to_date(made: duckdb.DuckDBPyConnection, path: Path) -> None:
    if not _current(made, path):
        migrate(made)


@contextmanager
def opened(
    path: Path, *, wait_s: float, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open and close one connection, for the holder of the lock; a transaction ends unkept."""
    connection = _connected(path, read_only=read_only, wait_s=wait_s)
    try:
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    except duckdb.Error as error:
        raise explained(error, path) from error
    finally:
        connection.close()


def _connected(path: Path, *, read_only: bool, wait_s: float) -> duckdb.DuckDBPyConnection:
    """Connect; a program that opened the file without our lock is waited for as well."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=_CONFIG)
        except duckdb.Error as error:
            if not _HELD.search(str(error)) or time.monotonic() >= deadline:
                raise explained(error, path) from error
        time.sleep(_RETRY_S)


def _current(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Say whether the file has this program's schema; refuse that of a later program."""
    found = version_of(connection)
    if found > VERSION:
        raise StoreError(
            f"the store has schema version {found}, this program knows {VERSION}",
            where=str(path),
            fix="update the program, or give another folder by --home",
            code="E_STORE_NEWER",
        )
    return found == VERSION


def explained(error: duckdb.Error, path: Path) -> StoreError:
    """Say in one line what the database's error means to the person who must act.

    Returns
    -------
    StoreError
        ``E_STORE_LOCKED``, ``E_STORE_FULL``, ``E_HOME``, ``E_STORE_CORRUPT`` or ``E_STORE``.
    """
    text = str(error)
    first = text.strip().splitlines()[0][:200]
    if _HELD.search(text):
        return locked(path.parent, [int(pid) for pid in _PID.findall(text)])
    if _FULL.search(text):
        return StoreError(
            "no room to write the store",
            where=str(path),
            fix="free space or raise the size limit, then run again; earlier rows are untouched",
            code="E_STORE_FULL",
        )
    if _REFUSED.search(text):
        return unwritable(path.parent, OSError(first))
    if isinstance(error, _FATAL) or _DAMAGED.search(text):
        return StoreError(
            f"the store's file is damaged ({first})",
            where=str(path),
            fix=HEAL,
            code="E_STORE_CORRUPT",
        )
    return StoreError(
        f"the store refused ({first})",
        where=str(path),
        fix="earlier rows are untouched; mend the cause and run again",
    )
