"""For: one flipped byte in a file or its database, and a home that was moved. Not for: tests."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from backtest.errors import StoreError
from pipeline.config import Home
from pipeline.store import Store
from pipeline.tracker.client import ARTIFACTS, DATABASE

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database names folders by their absolute address."""


def flip(path: Path, at: int = 40) -> None:
    """Flip the lowest bit of one byte; from the end where ``at`` is negative."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


@contextmanager
def flipped(path: Path, at: int) -> Iterator[None]:
    """Flip a byte for a block, and put the bytes back."""
    before = path.read_bytes()
    flip(path, at)
    try:
        yield
    finally:
        path.write_bytes(before)


def unread_place(store: Store) -> int:
    """Position in a block of the database that no query of ``findings`` reads."""
    path, size = store.home.database, 1 << 18
    for place in range(12_288 + size // 2, path.stat().st_size, size):
        with flipped(path, place):
            try:
                if store.findings():
                    return place
            except StoreError:
                continue
    raise AssertionError("a query reads every block: then none has to be looked at by itself")


def moved_copy(source: Path, target: Path) -> Path:
    """Copy a home so that its tracker looks into the copy."""
    shutil.copytree(source, target)
    old, new = (f"{Home(home).mlflow / ARTIFACTS}" for home in (source, target))
    with closing(sqlite3.connect(Home(target).mlflow / DATABASE)) as opened, opened:
        for table, column in PLACES:
            opened.execute(f"update {table} set {column} = replace({column}, ?, ?)", (old, new))
    return target
