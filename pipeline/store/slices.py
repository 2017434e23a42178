"""What the store keeps, slice by slice: each is written in one transaction and read as of a day.

For: the methods that the asset graph and the command line call. Not for: what they share
(``rows``), SQL of versions (``upsert``) or when a row became known (``knowledge``).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import polars as pl

from backtest.market.calendar import calendars_of
from backtest.market.calendar import sessions as sessions_between
from pipeline.store import frames, schema
from pipeline.store.blocks import damage_of
from pipeline.store.identity import refuse_foreign
from pipeline.store.knowledge import knowledge_cut, session_closes
from pipeline.store.quotes import Quotes
from pipeline.store.rows import limit_of
from pipeline.store.snapshot import content_hash
from pipeline.store.trials import extend_trials
from pipeline.store.upsert import RowAccount, refuse_unread, upsert

if TYPE_CHECKING:
    from backtest.market.bars import Prepared


class Store(Quotes):
    """The bars and results of one universe in one home.

    A connection is opened for each call and closed at its end, so that several processes can
    take turns; compute outside, hand over finished frames.

    Parameters
    ----------
    home : Home
    universe : str
        Everything written and read belongs to it.
    calendar : str, optional
        One exchange calendar for all symbols, or ``data``; each symbol's own if missing.
    wait_s : float
        How long a call waits for other processes, seconds.
    ended : callable, optional
        Says of a run whether it is over, whatever its process does.

    Raises
    ------
    StoreError
        From every method: ``E_STORE_LOCKED``, ``E_STORE_FULL``, ``E_STORE_NEWER``,
        ``E_STORE_CORRUPT``, ``E_STORE_ROWS``, ``E_HOME`` or ``E_STORE``. Earlier rows are
        untouched, and the same call heals when its cause is gone.
    """

    def write_bars(
        self,
        prepared: "Prepared",
        *,
        run_id: str,
        source: str,
        until: date,
        synthetic: bool = False,
        place: str | None = None,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write a provider's whole history up to ``until``: bars, symbols and quarantined rows.

        Parameters
        ----------
        prepared : Prepared
            All there is up to ``until``; what is known and not among it is withdrawn.
        run_id : str
        source : str
            Where the rows came from, for people.
        until : date
        synthetic : bool
        place : str, optional
            Where the source lies; ``source`` if missing.
        arrived : datetime, optional
            With a time zone; now if missing.

        Returns
        -------
        RowAccount
            Of the table ``bars``; its reasons are the rules that rows were quarantined by.
        """
        part = self._slice(run_id, arrived, until=until, source=place or source)
        counts = prepared.accounting()
        reasons = {k: n for k, n in counts.items() if k not in ("rows_in", "rows_out")}
        calendars = calendars_of(prepared.bars, self.calendar)
        bars = self._known(schema.BARS, prepared.bars, part, calendars)
        symbols = frames.symbols_of(prepared.bars, source=source, synthetic=synthetic)
        symbols = self._known(schema.UNIVERSE, symbols, part, calendars)
        bad = frames.quarantine_rows(prepared.quarantined)
        bad = self._known(schema.QUARANTINE, bad, part, calendars)
        with self.writing(part) as (open_store, part):
            refuse_foreign(open_store, self.universe, symbols["symbol"], source=place or source)
            upsert(open_store, schema.UNIVERSE, symbols, part=part)
            upsert(open_store, schema.QUARANTINE, bad, part=part)
            account = upsert(open_store, schema.BARS, bars, part=part, reasons=reasons)
            for table, rows in ((schema.BARS, bars), (schema.QUARANTINE, bad)):
                found = self._count(open_store, table, until=until)
                refuse_unread(table, found, rows=rows.height, until=until)
        return account

    def admit(self, symbols: Sequence[str], *, place: str) -> None:
        """Refuse symbols that belong to another data set, by ``E_UNIVERSE``; writes nothing."""
        with self.reading() as open_store:
            refuse_foreign(open_store, self.universe, symbols, source=place)

    def kept_bars(self, as_of: date | datetime) -> bool:
        """Whether this home already kept bars of the universe at that session or moment."""
        with self.reading() as open_store:
            values = {"universe": self.universe}
            values["cut"] = knowledge_cut(as_of, self.main_calendar)
            return limit_of(open_store, schema.BARS, values) == "ingested_at"

    def write_sessions(
        self,
        first: date,
        last: date,
        *,
        run_id: str,
        days: Sequence[date] | None = None,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write the sessions from ``first`` to ``last``; ``days`` where no exchange names them."""
        named = sessions_between(self.main_calendar, first, last) if days is None else list(days)
        closes = session_closes(self.main_calendar, named)
        rows = frames.session_rows(self.main_calendar, closes)
        return self._write(schema.SESSIONS, rows, run_id, arrived, until=None)

    def write_regimes(
        self,
        published: pl.DataFrame,
        *,
        model: str,
        run_id: str,
        until: date,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write the published regime probabilities of one model up to ``until``."""
        rows = frames.pack_states(published).with_columns(pl.lit(model).alias("model"))
        scope = {"model": model}
        return self._write(schema.REGIMES, rows, run_id, arrived, until=until, scope=scope)

    def write_decisions(
        self,
        decisions: pl.DataFrame,
        *,
        run_id: str,
        until: date,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write the walk-forward's decisions up to ``until``."""
        return self._write(schema.DECISIONS, decisions, run_id, arrived, until=until)

    def write_returns(
        self,
        returns: pl.DataFrame,
        *,
        run_id: str,
        until: date,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write the out-of-sample returns of every strategy and variant up to ``until``."""
        return self._write(schema.RETURNS, returns, run_id, arrived, until=until)

    def write_evidence(
        self,
        session: date,
        *,
        document: str,
        snapshot: str,
        settings: str,
        run_id: str,
        arrived: datetime | None = None,
    ) -> RowAccount:
        """Write the evidence of one session: a JSON text, what it saw, and what was set."""
        values = {"document": document, "snapshot": snapshot, "settings": settings}
        rows = pl.DataFrame([{"date": session, **values}])
        return self._write(schema.EVIDENCE, rows, run_id, arrived, until=None)

    def write_robustness(
        self,
        tables: Mapping[str, pl.DataFrame],
        session: date,
        *,
        run_id: str,
        arrived: datetime | None = None,
    ) -> dict[str, RowAccount]:
        """Write the robustness tables of one session's research, all of them in one transaction.

        Parameters
        ----------
        tables : mapping of str to polars.DataFrame
            By the names of ``ROBUSTNESS``, without a date.
        session : date
            Rows that an earlier run of the same session wrote and this one lacks are withdrawn.
        """
        part = self._slice(run_id, arrived, until=session, scope={"date": session})
        dated = {
            name: self._known(
                schema.ROBUSTNESS[name],
                rows.with_columns(pl.lit(session).alias("date")),
                part,
                self.main_calendar,
            )
            for name, rows in tables.items()
        }
        with self.writing(part) as (open_store, part):
            return {
                name: upsert(open_store, schema.ROBUSTNESS[name], rows, part=part)
                for name, rows in dated.items()
            }

    def write_trials(
        self, trials: pl.DataFrame, *, run_id: str, arrived: datetime | None = None
    ) -> RowAccount:
        """Count trials: a new key is added, a known one has its span extended.

        Parameters
        ----------
        trials : polars.DataFrame
            ``kind, strategy, config_hash, span_start, span_end, sharpe, observations``.
        """
        part = self._slice(run_id, arrived)
        with self.writing(part) as (open_store, part):
            return extend_trials(open_store, trials, part=part)

    def read_bars(
        self,
        *,
        until: date | None = None,
        as_of: date | datetime | None = None,
        symbols: Sequence[str] = (),
    ) -> pl.DataFrame:
        """Read bars with their symbols' labels, sorted by symbol then date.

        Parameters
        ----------
        until : date, optional
            Last session.
        as_of : date or datetime, optional
            Only versions that the decision of that session could know; of a date, also only bars
            up to it.
        symbols : sequence of str
            Keep these alone; all if empty.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, open, high, low, close, volume, close_raw, currency, sector, region,
            asset_class, exchange``.
        """
        with self.reading() as open_store:
            bars = self._latest(open_store, schema.BARS, until=until, as_of=as_of)
            labels = self._latest(open_store, schema.UNIVERSE, as_of=as_of)
        if symbols:
            bars = bars.filter(pl.col("symbol").is_in(list(symbols)))
        labels = labels.select("symbol", *frames.LABELS)
        return bars.join(labels, on="symbol", how="left").sort("symbol", "date")

    def count_bars(self, *, until: date) -> int:
        """Bars as last known up to a session, counted in the database."""
        with self.reading() as open_store:
            return self._count(open_store, schema.BARS, until=until)

    def symbols(self, *, as_of: date | datetime | None = None) -> pl.DataFrame:
        """Symbols with their labels, source, and whether they are synthetic."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.UNIVERSE, as_of=as_of)

    def quarantine(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Rows held back now (or as of a session), each with the rule that it broke."""
        with self.reading() as open_store:
            rows = self._latest(open_store, schema.QUARANTINE, until=until, as_of=as_of)
        return rows.drop("row_hash").sort("symbol", "date", "rule")

    def sessions(self, *, calendar: str | None = None) -> pl.DataFrame:
        """Sessions that must exist: ``calendar, date, close_at``."""
        with self.reading() as open_store:
            rows = self._latest(open_store, schema.SESSIONS)
        return rows.filter(pl.col("calendar") == (calendar or self.main_calendar))

    def read_regimes(
        self, *, model: str, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Read published regime probabilities, with one column per raw state."""
        with self.reading() as open_store:
            rows = self._latest(open_store, schema.REGIMES, until=until, as_of=as_of)
        return frames.unpack_states(rows.filter(pl.col("model") == model).drop("model"))

    def read_decisions(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Decisions by strategy and session."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.DECISIONS, until=until, as_of=as_of)

    def read_returns(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Out-of-sample returns by strategy, variant and session."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.RETURNS, until=until, as_of=as_of)

    def read_evidence(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """Evidence by session: ``date, document, snapshot, settings``."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.EVIDENCE, until=until, as_of=as_of)

    def read_robustness(
        self, name: str, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> pl.DataFrame:
        """One robustness table, with the session (``date``) of each research."""
        with self.reading() as open_store:
            return self._latest(open_store, schema.ROBUSTNESS[name], until=until, as_of=as_of)

    def read_trials(self, *, as_of: date | datetime | None = None) -> pl.DataFrame:
        """Every trial ever counted in this universe, or first looked at before the cut."""
        return self._table("trials", "kind, strategy, config_hash, span_start", as_of=as_of)

    def universes(self) -> list[str]:
        """Names of all universes in the home, sorted."""
        with self.reading() as open_store:
            found = open_store.execute("select distinct universe from batches order by 1")
            return [str(name) for (name,) in found.fetchall()]

    def batches(self) -> pl.DataFrame:
        """Accounts of all slices that changed something, oldest first."""
        return self._table("batches", "ingested_at, table_name")

    def snapshot_hash(
        self, *, until: date | None = None, as_of: date | datetime | None = None
    ) -> str:
        """Content hash of the bars and labels that a run with these limits sees."""
        return content_hash(self.read_bars(until=until, as_of=as_of))

    def findings(self) -> list[str]:
        """Say what is wrong with the store; empty when every table holds what was committed."""
        with self.reading() as open_store:
            database = self.home.database
            lost = frames.lost_rows(open_store, database)
            changed = lost or frames.changed_rows(open_store, database)
            damage = None if changed else damage_of(open_store, database)
            return changed if damage is None else [str(damage)]
