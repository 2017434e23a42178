"""Rows of one universe into a table and out of it: what every slice of the store shares.

For: connections, the moment a row became known, and the latest version of each row. Not for: what
the rows mean (``slices``).
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from backtest.market.calendar import DEFAULT_CALENDAR
from pipeline.store import connection
from pipeline.store.commits import Writer
from pipeline.store.knowledge import first_known, knowledge_cut
from pipeline.store.schema import ANSWERED, ANSWERS, BARS, Table
from pipeline.store.upsert import RowAccount, Slice, latest, upsert

if TYPE_CHECKING:
    from pipeline.config import Home

WAIT_S = 10.0


class Rows:
    """Tables of one universe in one home; ``Store`` says what its parameters are."""

    def __init__(
        self,
        home: "Home",
        *,
        universe: str,
        calendar: str | None = None,
        wait_s: float = WAIT_S,
        ended: Callable[[str], bool] | None = None,
    ):
        self.home = home
        self.universe = universe
        self.calendar = calendar
        self.wait_s = wait_s
        self.ended = ended

    @property
    def main_calendar(self) -> str:
        """Calendar of results that belong to no single symbol."""
        return self.calendar or DEFAULT_CALENDAR

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the database for reading, under the shared lock."""
        return connection.reading(self.home.database, wait_s=self.wait_s)

    @contextmanager
    def writing(self, part: Slice) -> Iterator[tuple[duckdb.DuckDBPyConnection, Slice]]:
        """Open the database for one transaction, under the lock for one alone.

        Yields
        ------
        connection : duckdb.DuckDBPyConnection
        part : Slice
            The same, arrived later than everything before it.
        """
        writer = Writer(part.universe, part.run_id, part.arrived, self.ended)
        opened = connection.writing(self.home.database, writer, wait_s=self.wait_s)
        with opened as (open_store, at):
            yield open_store, dataclasses.replace(part, arrived=at)

    def _slice(
        self,
        run_id: str,
        arrived: datetime | None,
        *,
        until: date | None = None,
        scope: Mapping[str, str | date] | None = None,
        source: str | None = None,
    ) -> Slice:
        return Slice(
            universe=self.universe,
            run_id=run_id,
            arrived=arrived or datetime.now(UTC),
            until=until,
            scope=scope or {},
            source=source,
        )

    def _known(
        self, table: Table, rows: pl.DataFrame, part: Slice, calendars: Mapping[str, str] | str
    ) -> pl.DataFrame:
        """Keep the table's columns and add when each row became known."""
        return first_known(
            rows.select(*table.key, *table.values),
            session=table.session,
            arrived=part.arrived,
            calendars=calendars,
        )

    def _write(
        self,
        table: Table,
        rows: pl.DataFrame,
        run_id: str,
        arrived: datetime | None,
        *,
        until: date | None,
        scope: Mapping[str, str | date] | None = None,
    ) -> RowAccount:
        part = self._slice(run_id, arrived, until=until, scope=scope)
        known = self._known(table, rows, part, self.main_calendar)
        with self.writing(part) as (open_store, part):
            return upsert(open_store, table, known, part=part)

    def _latest(
        self,
        open_store: duckdb.DuckDBPyConnection,
        table: Table,
        *,
        until: date | None = None,
        as_of: date | datetime | None = None,
        where: str = "true",
        given: Mapping[str, Any] | None = None,
        newest: int | None = None,
    ) -> pl.DataFrame:
        """Rows as last known (before the cut), without versions, in the order of the key.

        ``where`` limits the rows by columns of the key, or by what no later version changes;
        ``newest`` keeps the last rows of each symbol.
        """
        query, values = self._query(
            open_store, table, until=until, as_of=as_of, where=where, given=given or {}
        )
        if newest is not None:
            order = f"partition by symbol order by {table.key[-1]} desc"
            query += f" qualify row_number() over ({order}) <= {newest:d}"
        return open_store.sql(f"{query} order by {', '.join(table.key)}", params=values).pl()

    def _count(self, open_store: duckdb.DuckDBPyConnection, table: Table, *, until: date) -> int:
        """Number of rows as last known, up to a session."""
        query, values = self._query(open_store, table, until=until)
        return int(open_store.execute(f"select count(*) from ({query})", values).fetchall()[0][0])

    def _query(
        self,
        open_store: duckdb.DuckDBPyConnection,
        table: Table,
        *,
        until: date | None = None,
        as_of: date | datetime | None = None,
        where: str = "true",
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> tuple[str, dict[str, Any]]:
        """Statement behind :meth:`_latest` and its parameters."""
        values: dict[str, Any] = {"universe": self.universe, **given}
        limit = None
        if as_of is not None:
            values["cut"] = knowledge_cut(as_of, self.main_calendar)
            limit = limit_of(open_store, table, values)
        last = min((d for d in (until, _session(as_of)) if d is not None), default=None)
        names = list(dict.fromkeys((*table.key, *table.values)))
        query = (
            f"select {', '.join(names)} from ({latest(table, limit=limit, where=where)})"
            " where vintage <> 'withdrawn'"
        )
        if last is not None:
            query += f" and ({table.session} is null or {table.session} <= $last)"
            values["last"] = last
        return query, values

    def _table(
        self, name: str, order: str, *, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        values: dict[str, Any] = {"universe": self.universe}
        query = f"select * exclude (universe) from {name} where universe = $universe"
        if as_of is not None:
            query += " and known_at < $cut"
            values["cut"] = knowledge_cut(as_of, self.main_calendar)
        with self.reading() as open_store:
            return open_store.sql(f"{query} order by {order}", params=values).pl()


def limit_of(open_store: duckdb.DuckDBPyConnection, table: Table, values: Mapping[str, Any]) -> str:
    """Column whose moment must lie before the cut, for a row to have been seen by then.

    A home that kept the universe at the time saw what it had ingested, and no more. For a time
    before that, nobody saw anything here: what could have been known then is what counts.
    The bars say it for all tables: one that was empty then has no batch of its own. What feeds
    answered is there before any bar, so that the answers say it for their tables.
    """
    witness = ANSWERS if table in ANSWERED else BARS
    query = (
        "select count(*) from batches where universe = $universe and ingested_at < $cut"
        f" and table_name = '{witness.name}'"
    )
    values = {name: values[name] for name in ("universe", "cut")}
    kept = open_store.execute(query, values).fetchall()[0][0]
    return "ingested_at" if kept else "known_at"


def _session(as_of: date | datetime | None) -> date | None:
    """Last session that an ``as_of`` given as a date can see."""
    return None if isinstance(as_of, datetime) else as_of
