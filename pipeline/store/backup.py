"""Copies of the whole database, and the way back to the last one.

For: ``keep_backup`` after a chain, ``restore`` when the database is damaged or lost. Not for: what
a run saw (``pipeline.snapshots``): a backup holds every version of every row, so that history as
it was known survives.
"""

import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StoreError
from pipeline.journal import EMPTY, unwritable
from pipeline.publish import replace_file, sidecar_of
from pipeline.store import connection
from pipeline.store.blocks import damage_of
from pipeline.store.commits import LEDGER, add_lines, last_commit, last_confirmed, read_commits
from pipeline.store.lock import held
from pipeline.store.rows import WAIT_S

if TYPE_CHECKING:
    from pipeline.config import Home

logger = logging.getLogger(__name__)

KEPT = 2
"""Backups that stay."""
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Backup:
    """One copy of the database.

    Parameters
    ----------
    path : pathlib.Path
    number : int
        Its last commit.
    written : bool
        False where a copy of that commit stood there already.
    """

    path: Path
    number: int
    written: bool = False


@dataclass(frozen=True)
class Restored:
    """What a restoration did.

    Parameters
    ----------
    backup : Backup
    lost : int
        Confirmed commits that the copy does not hold.
    aside : pathlib.Path, optional
        Where what stood there before was moved.
    """

    backup: Backup
    lost: int
    aside: Path | None


def backups(home: "Home") -> list[Backup]:
    """Copies that are there, oldest first."""
    found = [
        Backup(path, int(path.stem.rpartition("-")[2]))
        for path in home.backups.glob("weathervane-*.duckdb")
    ]
    return sorted(found, key=lambda one: one.number)


def keep_backup(home: "Home", *, wait_s: float = WAIT_S) -> Backup | None:
    """Copy the database, unless its last commit has a copy; older copies beyond ``KEPT`` go.

    Returns
    -------
    Backup or None
        None where there is no database, or nothing was ever committed to it.

    Raises
    ------
    StoreError
        ``E_STORE_FULL``: no room for a copy; ``E_STORE_CORRUPT``: a block is damaged, also one
        that no query reads. The copies that were there still are. What ``connection.reading``
        raises.
    """
    if not home.database.exists():
        return None
    with held(home.store, writing=True, wait_s=wait_s):
        known = backups(home)
        if known and known[-1].number == last_confirmed(read_commits(home.store))[0]:
            return known[-1]
        number = connection.settled(home.database, wait_s=wait_s)
        if not number:
            return None
        if damage := _damage_of(home.database, wait_s=wait_s):
            raise damage
        made = home.backups / f"weathervane-{number:09d}.duckdb"
        digest = _copy(home.database, made)
        replace_file(sidecar_of(made), f"{digest}  {made.name}\n".encode())
    for old in [*known, Backup(made, number)][:-KEPT]:
        sidecar_of(old.path).unlink(missing_ok=True)
        old.path.unlink(missing_ok=True)
    return Backup(made, number, written=True)


def restore(home: "Home", *, wait_s: float = WAIT_S) -> Restored:
    """Put the last sound copy in the place of the database; what stood there is moved aside.

    Raises
    ------
    StoreError
        ``E_MISSING``: no sound copy is there.
    """
    sound = next(
        (one for one in reversed(backups(home)) if _is_sound(one.path, wait_s=wait_s)), None
    )
    if sound is None:
        raise StoreError(
            "no backup of the store is there, or none is sound",
            where=str(home.backups),
            fix=f"move {home.store} away and run again: bars are fetched anew",
            code="E_MISSING",
        )
    with held(home.store, writing=True, wait_s=wait_s):
        try:
            ledger = read_commits(home.store)
        except StoreError as error:
            logger.warning("the ledger is begun anew (%s)", error)
            ledger = None
        before = 0 if ledger is None else last_confirmed(ledger)[0]
        aside = _move_aside(home, ledger=ledger is None)
        _copy(sound.path, home.database)
        with connection.opened(home.database, wait_s=wait_s) as made:
            number, commit = last_commit(made)
        line = {
            "kind": "restored",
            "number": number,
            "commit": commit,
            "at": datetime.now(UTC).isoformat(),
        }
        add_lines(home.store, EMPTY if ledger is None else ledger, line)
    return Restored(sound, max(before - number, 0), aside)


def _move_aside(home: "Home", *, ledger: bool) -> Path | None:
    """Move the database (with its ledger) into a folder of its own; none if nothing is there."""
    log = home.database.with_name(home.database.name + ".wal")
    given = [home.database, log, *([home.store / LEDGER] if ledger else [])]
    present = [path for path in given if path.exists()]
    if not present:
        return None
    aside = home.store / f"aside-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    aside.mkdir()
    for path in present:
        path.rename(aside / path.name)
    return aside


def _copy(source: Path, target: Path) -> str:
    """Copy a file under a temporary name, flush it, rename it; the SHA-256 of its bytes."""
    part = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as taken, part.open("wb") as given:
            while chunk := taken.read(_CHUNK):
                digest.update(chunk)
                given.write(chunk)
            given.flush()
            os.fsync(given.fileno())
        shutil.copymode(source, part)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(target, error, name="copy of the store") from error
    return digest.hexdigest()


def _damage_of(database: Path, *, wait_s: float) -> StoreError | None:
    """What is wrong with a file that no log belongs to, if anything is: one read of it."""
    try:
        with connection.opened(database, wait_s=wait_s, read_only=True) as found:
            return damage_of(found, database)
    except StoreError as error:
        return error


def _is_sound(path: Path, *, wait_s: float) -> bool:
    """Say whether a copy is what its SHA-256 says, and was sound when it was taken."""
    try:
        said = sidecar_of(path).read_text(encoding="ascii").split()[0]
        with path.open("rb") as file:
            as_copied = hashlib.file_digest(file, "sha256").hexdigest() == said
    except (OSError, IndexError, UnicodeDecodeError):
        return False
    return as_copied and _damage_of(path, wait_s=wait_s) is None
