"""One slice of rows into one table: only what changed is written, and every row is accounted for.

For: the versioned upsert behind every ``write_*`` of the store. Not for: what the rows mean.
A changed row is added as a new version, never overwritten, so that a read as of an earlier time
finds what was known then. A row that the source no longer has is withdrawn, also as a version.
"""

import dataclasses
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import duckdb
import polars as pl

from backtest.errors import StoreError
from pipeline.store.schema import Table

LATER = ("restated", "withdrawn")
"""Vintages of every version but a row's first: few, so that looking for them is cheap."""


@dataclass(frozen=True)
class RowAccount:
    """What became of the rows of one slice.

    Parameters
    ----------
    table : str
    rows_in : int
        Rows that came in, good and bad.
    new, restated, unchanged : int
        Rows written for the first time, rows written as a later version, rows known already.
    withdrawn : int
        Rows known before that the source no longer has; not among ``rows_in``.
    reasons : dict of str to int
        Rows that were not written to the table, by the name of the rule.
    """

    table: str
    rows_in: int
    new: int
    restated: int
    unchanged: int
    withdrawn: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows written: new, restated and withdrawn versions."""
        return self.new + self.restated + self.withdrawn

    @property
    def quarantined(self) -> int:
        """Rows left out with a named reason."""
        return sum(self.reasons.values())

    def check(self) -> "RowAccount":
        """Refuse an account that does not add up.

        Raises
        ------
        StoreError
            ``E_STORE_ROWS``.
        """
        out = self.new + self.restated + self.unchanged
        if self.rows_in != out + self.quarantined:
            raise StoreError(
                f"{self.rows_in} rows came in, {out} went out and {self.quarantined} have a"
                f" reason {self.reasons}",
                where=f"table {self.table}",
                fix="nothing was written; report this",
                code="E_STORE_ROWS",
            )
        return self


@dataclass(frozen=True)
class Slice:
    """Where a slice of rows belongs and what it stands for.

    Parameters
    ----------
    universe : str
    run_id : str
    arrived : datetime
        With a time zone.
    until : date, optional
        The rows are all there are up to this session: known rows that are not among them are
        withdrawn. Without it the rows are only added.
    scope : mapping of str to str or date
        Column values that limit what may be withdrawn.
    source : str, optional
    gone : polars.DataFrame, optional
        Keys of known rows that the source no longer has, where ``until`` does not say it.
    """

    universe: str
    run_id: str
    arrived: datetime
    until: date | None = None
    scope: Mapping[str, str | date] = field(default_factory=dict)
    source: str | None = None
    gone: pl.DataFrame | None = None

    def without(self, gone: pl.DataFrame | None) -> "Slice":
        """Return the same for a table that is without some rows from now on, named by their key."""
        return dataclasses.replace(self, gone=gone)


def upsert(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    rows: pl.DataFrame,
    *,
    part: Slice,
    reasons: Mapping[str, int] | None = None,
) -> RowAccount:
    """Write the new and changed rows of a slice inside the open transaction.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        In a transaction.
    table : Table
    rows : polars.DataFrame
        Key and value columns, with ``first_known_at`` and ``first_vintage``.
    part : Slice
    reasons : mapping of str to int, optional
        Rows that came in beside ``rows`` and were left out, by rule.

    Raises
    ------
    StoreError
        ``E_STORE_ROWS``: a key stands twice, or the counts do not add up.
    """
    refuse_twins(table, rows)
    connection.register("incoming", rows)
    if part.gone is not None:
        connection.register("gone", part.gone)
    statement = _change(table, part)
    given = {"universe": part.universe, "until": part.until, **part.scope}
    # The database refuses a parameter that the statement does not name.
    connection.execute(statement, {k: v for k, v in given.items() if f"${k}" in statement})
    account = account_of(connection, table, rows.height, dict(reasons or {}))
    if account.written:
        _insert(connection, table, part, account)
    put_away(connection)
    if part.gone is not None:
        connection.unregister("gone")
    return account


def account_of(
    connection: duckdb.DuckDBPyConnection, table: Table, rows: int, reasons: dict[str, int]
) -> RowAccount:
    """Count the table ``change`` by status, and refuse what does not add up."""
    counts = dict(
        connection.execute("select status, count(*) from change group by status").fetchall()
    )
    return RowAccount(
        table=table.name,
        rows_in=rows + sum(reasons.values()),
        new=counts.get("new", 0),
        restated=counts.get("restated", 0),
        unchanged=counts.get("unchanged", 0),
        withdrawn=counts.get("withdrawn", 0),
        reasons=reasons,
    ).check()


def put_away(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop what a slice was compared with; after a failure the connection is closed instead."""
    connection.execute("drop table change")
    connection.unregister("incoming")


def latest(table: Table, *, limit: str | None = None, where: str = "true") -> str:
    """Query for the latest known version of every row of ``$universe``, withdrawn ones too.

    With ``limit``, only versions for which that column lies before ``$cut``; with ``where``, only
    of the rows that it selects.
    """
    known = f" and {limit} < $cut" if limit else ""
    chosen = f"from {table.name} where universe = $universe and {where}{known}"
    later = f"vintage in ({', '.join(repr(name) for name in LATER)})"
    same = " and ".join(f"b.{name} = r.{name}" for name in table.key)
    return (
        f"select * from (select * {chosen}) b"
        f" anti join (select {', '.join(table.key)}, known_at {chosen} and {later}) r"
        f" on {same} and r.known_at > b.known_at"
    )


def refuse_twins(table: Table, rows: pl.DataFrame) -> None:
    """Refuse rows whose key stands twice."""
    twins = rows.select(table.key).is_duplicated()
    if twins.any():
        first = rows.select(table.key).filter(twins).row(0)
        raise StoreError(
            f"{int(twins.sum())} rows share their key",
            where=f"table {table.name}, first {', '.join(str(part) for part in first)}",
            fix="nothing was written; give each key once",
            code="E_STORE_ROWS",
        )


def refuse_unread(table: Table, found: int, *, rows: int, until: date) -> None:
    """Refuse to commit unless the table reads back exactly the rows of the slice."""
    if found != rows:
        raise StoreError(
            f"{rows} rows were handed over and {found} can be read back",
            where=f"table {table.name} up to {until}",
            fix="nothing was written; check that no row is later than that session",
            code="E_STORE_ROWS",
        )


def _change(table: Table, part: Slice) -> str:
    """Statement that says of every row whether it is new, restated, unchanged or withdrawn."""
    differ = " or ".join(f"i.{name} is distinct from k.{name}" for name in table.values)
    columns = ", ".join(
        f"case when i.first_vintage is null then k.{name} else i.{name} end as {name}"
        for name in (*table.key, *table.values)
    )
    same = " and ".join(f"i.{name} = k.{name}" for name in table.key)
    gone, where = "false", "true"
    if part.gone is not None:
        key = ", ".join(f"k.{name}" for name in table.key)
        listed = f"({key}) in (select ({', '.join(table.key)}) from gone)"
        gone = f"i.first_vintage is null and k.vintage <> 'withdrawn' and {listed}"
    if part.until is None and table.key[0] == "symbol":
        # What other symbols hold, or earlier bars, is neither compared nor withdrawn: leave it.
        sources = ["incoming"] if part.gone is None else ["incoming", "gone"]
        named = " union all ".join(f"select {{0}} from {s}" for s in sources)
        where = f"symbol in ({named.format('symbol')})"
        if "ts" in table.key:
            where += f" and ts >= (select min(ts) from ({named.format('ts')}))"
    if part.until is not None:
        gone = " and ".join(
            [
                "i.first_vintage is null",
                "k.vintage <> 'withdrawn'",
                f"(k.{table.session} is null or k.{table.session} <= $until)",
                *(f"k.{name} = ${name}" for name in part.scope),
            ]
        )
    return (
        f"create temp table change as with known as ({latest(table, where=where)})"
        f" select {columns}, i.first_known_at, i.first_vintage, k.known_at as was_known_at,"
        " case when i.first_vintage is null then 'withdrawn'"
        " when k.vintage is null then 'new'"
        f" when k.vintage = 'withdrawn' or {differ} then 'restated'"
        " else 'unchanged' end as status"
        f" from incoming i full join known k on {same}"
        f" where i.first_vintage is not null or ({gone})"
    )


def _insert(
    connection: duckdb.DuckDBPyConnection, table: Table, part: Slice, account: RowAccount
) -> None:
    """Add the changed rows and their batch, and count them again in the table itself."""
    before = _count(connection, table)
    columns = ", ".join((*table.key, *table.values))
    # A clock that went backwards must not hide a later version behind an earlier one.
    later = "greatest($arrived, was_known_at + interval 1 microsecond)"
    connection.execute(
        f"insert into {table.name} by name select $universe as universe, {columns},"
        " case when status = 'new' then first_vintage else status end as vintage,"
        f" case when status = 'new' then first_known_at else {later} end as known_at,"
        " $arrived as ingested_at, $run_id as run_id from change where status <> 'unchanged'",
        {"universe": part.universe, "arrived": part.arrived, "run_id": part.run_id},
    )
    added = _count(connection, table) - before
    if added != account.written:
        raise StoreError(
            f"{account.written} rows were to be written and {added} were",
            where=f"table {table.name}",
            fix="nothing was kept; report this",
            code="E_STORE_ROWS",
        )
    record_batch(connection, part, account, digest=digest_of(connection, table, part))


def digest_of(connection: duckdb.DuckDBPyConnection, table: Table, part: Slice) -> str:
    """Digest of the rows of one commit, whatever their order: equal rows, equal digest.

    It opens with the database's own hash of a fixed word, because a later version of the database
    may hash in another way; digests of different ways cannot be compared.
    """
    found = connection.execute(
        f"select hash('weathervane'), coalesce(bit_xor(hash({table.digested})), 0)"
        f" from {table.name} where universe = $universe and ingested_at = $arrived",
        {"universe": part.universe, "arrived": part.arrived},
    ).fetchall()
    return f"{found[0][0]:x}-{found[0][1]:x}"


def record_batch(
    connection: duckdb.DuckDBPyConnection,
    part: Slice,
    account: RowAccount,
    *,
    digest: str | None = None,
) -> None:
    """Keep the account of a slice that changed something."""
    connection.execute(
        "insert into batches by name select $batch_id as batch_id, $universe as universe,"
        " $table_name as table_name, $source as source, $rows_in as rows_in, $new as new,"
        " $restated as restated, $withdrawn as withdrawn, $unchanged as unchanged,"
        " $reasons as reasons, $arrived as known_at, $arrived as ingested_at, $run_id as run_id,"
        " $digest as digest,"
        " (select coalesce(max(number), 0) + 1 from commits) as commit_number",
        {
            "digest": digest,
            "batch_id": uuid.uuid4().hex,
            "universe": part.universe,
            "table_name": account.table,
            "source": part.source,
            "rows_in": account.rows_in,
            "new": account.new,
            "restated": account.restated,
            "withdrawn": account.withdrawn,
            "unchanged": account.unchanged,
            "reasons": json.dumps(account.reasons, sort_keys=True),
            "arrived": part.arrived,
            "run_id": part.run_id,
        },
    )


def _count(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    return int(connection.execute(f"select count(*) from {table.name}").fetchall()[0][0])
