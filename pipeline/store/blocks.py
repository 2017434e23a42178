"""Whether each block of a database file still is what was written, also one that no query reads.

For: ``doctor`` and backups, because a key's index is only read when rows are added, so that a
flipped byte in it would be met by a later run, and copied into every backup until then. Not for:
rows; what they should be, the batches say (``frames``).

A block is 8 bytes of checksum and what it covers: the words of 64 bits, each times ``_FACTOR``,
folded by exclusive or (DuckDB, ``src/common/checksum.cpp``). A file whose three headers do not fit
that was made by another DuckDB, and nothing is said of it. A block of zeros alone is a hole.
"""

from pathlib import Path

import duckdb
import numpy as np

from backtest.errors import StoreError

_HEADER = 4096
_HEADERS = 3
_WORD = 8
_FACTOR = 0xBF58476D1CE4E5B9
_START = 5381


def damaged_blocks(open_store: duckdb.DuckDBPyConnection, database: Path) -> list[int]:
    """Numbers of the blocks that do not fit their checksum.

    Parameters
    ----------
    open_store : duckdb.DuckDBPyConnection
        Open on ``database``, whose lock is held: nobody writes meanwhile.
    database : pathlib.Path
    """
    query = "select block_size, total_blocks from pragma_database_size()"
    size, count = open_store.execute(query).fetchall()[0]
    with database.open("rb") as file:
        if not all(_fits(file.read(_HEADER)) for _ in range(_HEADERS)):
            return []
        return [number for number in range(count) if not _fits(file.read(size))]


def damage_of(open_store: duckdb.DuckDBPyConnection, database: Path) -> StoreError | None:
    """Say in one line which blocks are damaged, if any is; as :func:`damaged_blocks`."""
    found = damaged_blocks(open_store, database)
    if not found:
        return None
    return StoreError(
        f"{len(found)} blocks of the store's file are damaged, the first is block {found[0]} (of"
        " an index, a table without digest, or unused)",
        where=str(database),
        fix="run `weathervane restore`",
        code="E_STORE_CORRUPT",
    )


def _fits(block: bytes) -> bool:
    """Say whether a block fits the checksum at its start."""
    words = np.frombuffer(block[_WORD:], dtype="<u8")
    found = _START ^ int(np.bitwise_xor.reduce(words * np.uint64(_FACTOR)))
    return found == int.from_bytes(block[:_WORD], "little") or not any(block)
