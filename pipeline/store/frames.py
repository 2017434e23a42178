"""Between the frames that other rooms speak and the rows that tables hold.

For: labels of symbols, quarantined rows, sessions, raw states, and rows that were lost. Not for:
SQL of versions.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl

from pipeline.store.schema import TRIALS, VERSIONED

LABELS = ("sector", "region", "asset_class", "exchange")
_QUARANTINED = ("symbol", "date", "rule", "detail", "open", "high", "low", "close", "volume")


def symbols_of(bars: pl.DataFrame, *, source: str, synthetic: bool) -> pl.DataFrame:
    """One row per symbol: its first session, the first labels it had, where it came from.

    First, because a later label must not change what an earlier session was told.
    """
    named = [name for name in LABELS if name in bars.columns]
    labels = [
        pl.col(name).filter(pl.col(name) != "").first() if name in named else _none(name)
        for name in LABELS
    ]
    return (
        bars.sort("symbol", "date")
        .group_by("symbol", maintain_order=True)
        .agg(pl.col("date").min().alias("first"), *labels)
        .with_columns(pl.lit(source).alias("source"), pl.lit(synthetic).alias("synthetic"))
    )


def _none(name: str) -> pl.Expr:
    return pl.lit(None, dtype=pl.String).alias(name)


def quarantine_rows(quarantined: pl.DataFrame) -> pl.DataFrame:
    """Give each row held back an identity of its own, also where symbol or date are missing.

    The identity is a hash of the row's content and of how many equal rows came before it, so the
    same file gives the same identities again.
    """
    rows = quarantined.select(_QUARANTINED)
    texts = [pl.col(name).cast(pl.String).fill_null("\0") for name in _QUARANTINED]
    named = rows.with_columns(pl.concat_str(texts, separator="\x1f").alias("_text"))
    named = named.with_columns(pl.int_range(pl.len()).over("_text").alias("_occurrence"))
    hashes = [
        hashlib.sha256(f"{text}\x1f{n}".encode()).hexdigest()
        for text, n in named.select("_text", "_occurrence").iter_rows()
    ]
    return rows.with_columns(pl.Series("row_hash", hashes, dtype=pl.String))


def session_rows(calendar: str, closes: Mapping[date, datetime]) -> pl.DataFrame:
    """Rows of the table ``sessions``."""
    return pl.DataFrame(
        {"calendar": [calendar] * len(closes), "date": list(closes), "close_at": closes.values()},
        schema={
            "calendar": pl.String,
            "date": pl.Date,
            "close_at": pl.Datetime("us", "UTC"),
        },
    )


def pack_states(published: pl.DataFrame) -> pl.DataFrame:
    """Put the columns ``state_0..`` into one list.

    Zeros at its end are cut, because a later model with more states widens all earlier rows.
    """
    names = sorted(
        (n for n in published.columns if n.removeprefix("state_").isdigit()),
        key=lambda n: int(n.removeprefix("state_")),
    )
    lists = [_trimmed(row) for row in published.select(names).iter_rows()]
    packed = pl.Series("state_probabilities", lists, dtype=pl.List(pl.Float64))
    return published.drop(names).with_columns(packed, pl.col("state").cast(pl.Int32))


def _trimmed(row: tuple[float | None, ...]) -> list[float] | None:
    """Probabilities without the zeros at their end; nothing where there is none."""
    known = [value or 0.0 for value in row]
    while known and known[-1] == 0.0:
        known.pop()
    return known or None


def unpack_states(rows: pl.DataFrame) -> pl.DataFrame:
    """Put the list of state probabilities back into the columns ``state_0..``."""
    packed = rows["state_probabilities"].to_list()
    width = max((len(row) for row in packed if row), default=0)
    columns = [
        pl.Series(
            f"state_{k}",
            [None if row is None else row[k] if k < len(row) else 0.0 for row in packed],
            dtype=pl.Float64,
        )
        for k in range(width)
    ]
    wide = rows.drop("state_probabilities").with_columns(pl.col("state").cast(pl.Int64))
    return wide.with_columns(*columns)


def counted(open_store: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int]:
    """Rows that a table holds, and rows that its batches say they wrote."""
    written = "new" if name == "trials" else "new + restated + withdrawn"
    held = open_store.execute(f"select count(*) from {name}").fetchall()
    promised = open_store.execute(
        f"select cast(coalesce(sum({written}), 0) as bigint) from batches where table_name = ?",
        [name],
    ).fetchall()
    return int(held[0][0]), int(promised[0][0])


def changed_rows(open_store: duckdb.DuckDBPyConnection, database: Path) -> list[str]:
    """One line for every commit whose rows are not those that it wrote."""
    found = []
    for table in VERSIONED:
        # A digest of another way of hashing cannot be compared.
        differ = open_store.execute(
            "select b.commit_number from batches b left join (select universe, ingested_at,"
            f" bit_xor(hash({table.digested})) as found from {table.name} group by all) t"
            " on t.universe = b.universe and t.ingested_at = b.ingested_at"
            f" where b.table_name = '{table.name}'"
            " and starts_with(b.digest, format('{:x}-', hash('weathervane')))"
            " and b.digest <> format('{:x}-{:x}', hash('weathervane'), coalesce(t.found, 0))"
            " order by 1"
        ).fetchall()
        found += [
            f"E_STORE_LOST: rows of commit {number} in table {table.name} are not those that were"
            f" written, {database}, run `weathervane restore`"
            for (number,) in differ
        ]
    return found


def lost_rows(open_store: duckdb.DuckDBPyConnection, database: Path) -> list[str]:
    """One line for every table that does not hold what was committed."""
    found = []
    for table in (*VERSIONED, TRIALS):
        held, promised = counted(open_store, table.name)
        if held != promised:
            found.append(
                f"E_STORE_LOST: table {table.name} holds {held} rows and its batches"
                f" wrote {promised}, {database}, run `weathervane restore`"
            )
    return found
