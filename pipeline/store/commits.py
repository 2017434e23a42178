"""The commit ledger: a witness outside the database of everything that was committed to it.

For: telling that a database lost commits (a deleted or cut write-ahead log opens without an error),
that it is another one, or that a run which was given up still tries to write. Not for: the rows
(``upsert``) or the transaction (``connection``).

A commit leaves three marks: its intent here, its row in the table ``commits`` in the same
transaction as the data, its confirmation here. In the database but unconfirmed was killed between
the last two, and is confirmed; confirmed but not in the database is lost. What the database holds
beyond the ledger (the file was deleted or cut) is adopted, with a line and a warning: no row is
missing.
"""

import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psutil

from backtest.errors import StoreError
from pipeline.journal import EMPTY, Journal, append_lines, read_journal

logger = logging.getLogger(__name__)

LEDGER = "commits.jsonl"
NAME = "commit ledger"
HEAL = (
    "run `weathervane restore`, or move the folder away and run again: the provider is asked anew"
)
MOST_BEHIND = timedelta(days=1)
"""How far the clock may have gone back since the last commit; more is refused."""

_KNOWN: dict[Path, tuple[int, int, int, Journal]] = {}


@dataclass(frozen=True)
class Commit:
    """One transaction that changed something.

    Parameters
    ----------
    number : int
        From 1 on, without gaps.
    commit : str
        Its identity.
    universe, run_id : str
    at : str
        When its rows were ingested, UTC, ISO.
    rows : int
    tables : dict of str to int
        Rows written by table.
    digest : str
        Of the batches' digests.
    """

    number: int
    commit: str
    universe: str
    run_id: str
    at: str
    rows: int
    tables: dict[str, int]
    digest: str


@dataclass(frozen=True)
class Writer:
    """On whose behalf a transaction writes.

    Parameters
    ----------
    universe, run_id : str
    arrived : datetime
        When the rows came in, with a time zone.
    ended : callable, optional
        Says of a run whether it is over, whatever its process does; none means nobody knows.
    """

    universe: str
    run_id: str
    arrived: datetime
    ended: Callable[[str], bool] | None = None


def read_commits(folder: Path) -> Journal:
    """Read the ledger of the store in ``folder``; what this process has read is not read again."""
    path = folder / LEDGER
    try:
        found = path.stat()
    except FileNotFoundError:
        _KNOWN.pop(path, None)
        return EMPTY
    inode, size, changed, known = _KNOWN.get(path, (0, 0, 0, EMPTY))
    if (inode, size, changed) == (found.st_ino, found.st_size, found.st_mtime_ns):
        return known
    after = known if inode == found.st_ino and found.st_size > size else EMPTY
    read = read_journal(path, name=NAME, heal=HEAL, known=after)
    _KNOWN[path] = (found.st_ino, found.st_size, found.st_mtime_ns, read)
    return read


def add_lines(folder: Path, journal: Journal, *lines: dict[str, Any]) -> Journal:
    """Append to the ledger; only the holder of the store's write lock may call it."""
    return append_lines(folder / LEDGER, journal, *lines, name=NAME)


def last_confirmed(journal: Journal) -> tuple[int, str]:
    """Number and identity of the last commit that must be in the database; 0 if none."""
    for line in reversed(journal.lines):
        if line["kind"] in ("confirmed", "adopted", "restored"):
            return line["number"], line["commit"]
    return 0, ""


def verify(journal: Journal, connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Any]:
    """Compare the database with its ledger.

    Returns
    -------
    dict
        The line that the ledger lacks; empty if it lacks none.

    Raises
    ------
    StoreError
        ``E_STORE_LOST``: the database lacks confirmed commits, or is another one.
    """
    number, commit = last_confirmed(journal)
    last, identity = last_commit(connection)
    if last < number:
        raise lost(f"{number - last} of {number} confirmed commits are not in the database", path)
    at = connection.execute("select commit_id from commits where number = ?", [number]).fetchall()
    if number and at[0][0] != commit:
        raise lost(f"commit {number} of the database is not the one that was confirmed", path)
    if last == number:
        return {}
    meant = {(x["number"], x["commit"]) for x in journal.lines[-8:] if x["kind"] == "intent"}
    known = last == number + 1 and (last, identity) in meant
    if not known:
        logger.warning("%s holds %d commits without a line in its ledger", path, last - number)
    kind = "confirmed" if known else "adopted"
    return {"kind": kind, "number": last, "commit": identity}


def lost(what: str, path: Path) -> StoreError:
    """Make the error for a database that lacks what it held."""
    return StoreError(what, where=str(path), fix=HEAL, code="E_STORE_LOST")


def last_commit(connection: duckdb.DuckDBPyConnection) -> tuple[int, str]:
    """Number and identity of the last commit in the database; 0 if none."""
    found = connection.execute(
        "select number, commit_id from commits order by number desc limit 1"
    ).fetchall()
    return (int(found[0][0]), str(found[0][1])) if found else (0, "")


def admit_writer(journal: Journal, writer: Writer, folder: Path) -> dict[str, Any]:
    """Say whether a run may write, and with which line it takes the universe over.

    The run that claimed the universe last may write. One that never did takes over from a run
    that is over; the run it took over from can never write again.

    Returns
    -------
    dict
        The claim to add before the intent; empty for the run that holds the universe already.

    Raises
    ------
    StoreError
        ``E_FENCED``: another run took over meanwhile. ``E_RUN_BUSY``: another run is under way.
    """
    claims = [
        line
        for line in journal.lines
        if line["kind"] == "claim" and line["universe"] == writer.universe
    ]
    holder = claims[-1] if claims else None
    if writer.ended is not None and writer.ended(writer.run_id):
        raise StoreError(
            f"run {writer.run_id} is over, its step went on",
            where=f"universe {writer.universe}",
            fix="nothing: its rows are not written; run again",
            code="E_FENCED",
        )
    if holder is None or holder["run_id"] != writer.run_id:
        if any(line["run_id"] == writer.run_id for line in claims) and holder is not None:
            raise StoreError(
                f"run {writer.run_id} was given up, run {holder['run_id']} took over",
                where=f"universe {writer.universe}",
                fix="nothing: its rows are not written, those of the later run stand",
                code="E_FENCED",
            )
        if holder is not None and under_way(holder, writer.ended):
            raise StoreError(
                f"run {holder['run_id']} of process {holder['pid']} is under way",
                where=f"universe {writer.universe}, {folder}",
                fix="wait until it ends, or end it, and run again",
                code="E_RUN_BUSY",
            )
        return {
            "kind": "claim",
            "universe": writer.universe,
            "run_id": writer.run_id,
            "at": datetime.now(UTC).isoformat(),
            **this_process(),
        }
    return {}


def this_process() -> dict[str, Any]:
    """Tell this process from every other that ever had its number."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def under_way(holder: dict[str, Any], ended: Callable[[str], bool] | None) -> bool:
    """Say whether another process still works on the run of a claim."""
    if holder["pid"] == os.getpid() or (ended is not None and ended(holder["run_id"])):
        return False
    return lives(holder)


def lives(process: dict[str, Any]) -> bool:
    """Say whether the process that :func:`this_process` told of is still there."""
    try:
        return bool(psutil.Process(process["pid"]).create_time() == process["started"])
    except psutil.NoSuchProcess:
        return False


def moment(connection: duckdb.DuckDBPyConnection, writer: Writer) -> datetime:
    """When the rows of this transaction count as ingested: later than all before, always.

    Raises
    ------
    StoreError
        ``E_CLOCK``: the clock has gone back by more than ``MOST_BEHIND``.
    """
    query = "select max(ingested_at) from commits where universe = ?"
    last = connection.execute(query, [writer.universe]).fetchall()[0][0]
    if last is None or writer.arrived > last:
        return writer.arrived
    behind = last - writer.arrived
    if behind > MOST_BEHIND:
        raise StoreError(
            f"the clock says {writer.arrived:%Y-%m-%d %H:%M}, the last commit is of "
            f"{last:%Y-%m-%d %H:%M}",
            where=f"universe {writer.universe}",
            fix="set the clock right, and run again; nothing was written",
            code="E_CLOCK",
        )
    logger.warning("the clock is %s behind the last commit; rows count as later than it", behind)
    return last.astimezone(UTC) + timedelta(microseconds=1)


def drafted(connection: duckdb.DuckDBPyConnection, writer: Writer, at: datetime) -> Commit | None:
    """Put together the commit of the open transaction; none if it changed nothing."""
    number = last_commit(connection)[0] + 1
    batches = connection.execute(
        "select table_name, cast(sum(new + restated + withdrawn) as bigint), string_agg(digest, '/'"
        " order by batch_id) from batches where commit_number = ? group by all order by 1",
        [number],
    ).fetchall()
    if not batches:
        return None
    commit = Commit(
        number=number,
        commit=uuid.uuid4().hex,
        universe=writer.universe,
        run_id=writer.run_id,
        at=at.isoformat(),
        rows=sum(int(rows) for _, rows, _ in batches),
        tables={str(name): int(rows) for name, rows, _ in batches},
        digest="/".join(str(digest) for *_, digest in batches),
    )
    connection.execute(
        "insert into commits by name select $number as number, $commit as commit_id,"
        " $universe as universe, $run_id as run_id, $rows as rows, $ingested_at as known_at,"
        " $ingested_at as ingested_at",
        {k: v for k, v in asdict(commit).items() if k not in ("tables", "digest", "at")}
        | {"ingested_at": at},
    )
    return commit


def intent(commit: Commit) -> dict[str, Any]:
    """Line that announces a commit."""
    return {"kind": "intent", **asdict(commit)}


def confirmation(commit: Commit) -> dict[str, Any]:
    """Line that confirms a commit."""
    return {"kind": "confirmed", "number": commit.number, "commit": commit.commit}
