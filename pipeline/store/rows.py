"""Rows of one universe into a table and out of it: what every slice of the store shares.

For: connections, the moment a row became known, and the latest version of each row. Not for: what
the rows mean (``slices``).
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from backtest.market.calendar import DEFAULT_CALENDAR
from pipeline.store import connection
from pipeline.store.knowledge import first_known, knowledge_cut
from pipeline.store.schema import Table
from pipeline.store.upsert import RowAccount, Slice, latest, upsert

if TYPE_CHECKING:
    from pipeline.config import Home

WAIT_S = 10.0


class Rows:
    """Tables of one universe in one home; ``Store`` says what its parameters are."""

    def __init__(
        self, home: "Home", *, universe: str, calendar: str | None = None, wait_s: float = WAIT_S
    ):
        self.home = home
        self.universe = universe
        self.calendar = calendar
        self.wait_s = wait_s

    @property
    def main_calendar(self) -> str:
        """Calendar of results that belong to no single symbol."""
        return self.calendar or DEFAULT_CALENDAR

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the database for reading, under the shared lock."""
        return connection.reading(self.home.database, wait_s=self.wait_s)

    def writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the database for one transaction, under the lock for one alone."""
        return connection.writing(self.home.database, wait_s=self.wait_s)

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
        with self.writing() as open_store:
            return upsert(open_store, table, known, part=part)

    def _latest(
        self,
        open_store: duckdb.DuckDBPyConnection,
        table: Table,
        *,
        until: date | None = None,
        as_of: date | datetime | None = None,
    ) -> pl.DataFrame:
        """Rows as last known (before the cut), without versions, in the order of the key."""
        values: dict[str, Any] = {"universe": self.universe}
        if as_of is not None:
            values["cut"] = knowledge_cut(as_of, self.main_calendar)
        last = min((d for d in (until, _session(as_of)) if d is not None), default=None)
        names = list(dict.fromkeys((*table.key, *table.values)))
        query = (
            f"select {', '.join(names)} from ({latest(table, cut=as_of is not None)})"
            " where vintage <> 'withdrawn'"
        )
        if last is not None:
            query += f" and ({table.session} is null or {table.session} <= $last)"
            values["last"] = last
        return open_store.sql(f"{query} order by {', '.join(table.key)}", params=values).pl()

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


def _session(as_of: date | datetime | None) -> date | None:
    """Last session that an ``as_of`` given as a date can see."""
    return None if isinstance(as_of, datetime) else as_of
