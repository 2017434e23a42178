"""What remote sources answered, as they answered it, in every version that was ever known.

For: quotes as traded with their adjusted close, corporate actions, and how far each symbol has been
asked. Not for: judged bars (``slices``) or asking (``pipeline.collecting``).

The key of a quote is its symbol, timeframe and ``ts``: the close of a finer bar, and midnight of
its session for a daily one, whose close an exchange may still change.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl

from backtest.market.calendar import calendar_of
from pipeline.feed import DAILY
from pipeline.store import schema
from pipeline.store.rows import Rows
from pipeline.store.upsert import RowAccount, upsert


class Quotes(Rows):
    """The part of the store that feeds write to; ``Store`` says what its parameters are."""

    def write_answers(
        self,
        quotes: pl.DataFrame,
        actions: pl.DataFrame,
        answers: pl.DataFrame,
        *,
        run_id: str,
        source: str,
        gone: pl.DataFrame | None = None,
        ended: pl.DataFrame | None = None,
        exchanges: Mapping[str, str] | None = None,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write what some symbols' sources answered, all of it in one transaction.

        Parameters
        ----------
        quotes : polars.DataFrame
            ``symbol, timeframe, date, open, high, low, close, volume, adj_close, currency``, and
            ``ts`` for finer timeframes.
        actions : polars.DataFrame
            ``symbol, date, kind, value``.
        answers : polars.DataFrame
            ``symbol, timeframe, until, outcome, detail``: how far each was asked. The detail of a
            complete answer is the first date of the history that was asked for, else the reason.
        run_id, source : str
        gone : polars.DataFrame, optional
            Quotes (``symbol, timeframe, ts``) that the source no longer has: withdrawn.
        ended : polars.DataFrame, optional
            Actions (``symbol, date, kind``) that it no longer has: withdrawn.
        exchanges : mapping of str to str, optional
            Exchange by symbol, where its suffix does not say it.
        arrived : datetime, optional
            With a time zone; now if missing.

        Returns
        -------
        RowAccount
            Of the table ``quotes``.
        """
        part = self._slice(run_id, arrived, source=source)
        symbols = answers["symbol"].unique().to_list()
        named = exchanges or {}
        calendars = self.calendar or {s: calendar_of(s, named.get(s)) for s in symbols}
        if "ts" not in quotes.columns:
            quotes = quotes.with_columns(ts=midnight("date"))
        known = [
            self._known(table, rows, part, calendars)
            for table, rows in (
                (schema.QUOTES, quotes),
                (schema.ACTIONS, actions),
                (schema.ANSWERS, answers),
            )
        ]
        with self.writing(part) as (open_store, part):
            account = upsert(open_store, schema.QUOTES, known[0], part=part.without(gone))
            upsert(open_store, schema.ACTIONS, known[1], part=part.without(ended))
            upsert(open_store, schema.ANSWERS, known[2], part=part.without(None))
        return account

    def read_quotes(
        self,
        *,
        timeframe: str = DAILY,
        since: date | None = None,
        until: date | None = None,
        as_of: date | datetime | None = None,
        symbols: Sequence[str] = (),
    ) -> pl.DataFrame:
        """Read quotes as last known, sorted by symbol and time.

        Returns
        -------
        polars.DataFrame
            ``symbol, timeframe, ts, date, open, high, low, close, volume, adj_close, currency``.
        """
        where = "timeframe = $timeframe"
        given: dict[str, object] = {"timeframe": timeframe}
        if since is not None:
            where, given = f"{where} and date >= $since", {**given, "since": since}
        if symbols:
            where += " and list_contains($symbols, symbol)"
            given["symbols"] = list(symbols)
        with self.reading() as open_store:
            return self._latest(
                open_store, schema.QUOTES, until=until, as_of=as_of, where=where, given=given
            )

    def newest_quotes(self, count: int, *, timeframe: str = DAILY) -> pl.DataFrame:
        """Last ``count`` quotes of every symbol; as :meth:`read_quotes`."""
        with self.reading() as open_store:
            return self._latest(
                open_store,
                schema.QUOTES,
                where="timeframe = $timeframe",
                given={"timeframe": timeframe},
                newest=count,
            )

    def read_actions(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Corporate actions as last known: ``symbol, date, kind, value``."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.ACTIONS, until=until, as_of=as_of)

    def read_answers(self, *, timeframe: str = DAILY) -> pl.DataFrame:
        """How far each symbol was asked: ``symbol, timeframe, until, outcome, detail``."""
        with self.reading() as open_store:
            rows = self._latest(open_store, schema.ANSWERS)
        return rows.filter(pl.col("timeframe") == timeframe)


def midnight(name: str) -> pl.Expr:
    """Key of a daily quote: midnight of its session, UTC."""
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
