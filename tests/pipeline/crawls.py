"""A recorded source: daily crawls of real quotes, replayed through ``collect`` day by day.

For: the bitemporal file of 2015 to 2017 as a feed, a store whose clock stands on the crawl's day,
and a plain second opinion on what could be known on any day. Not for: judging bars, and not for
the file itself, which belongs to its owners and is not in this repository.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.collecting import Collected, collect
from pipeline.config import Home, load_settings
from pipeline.feed import (
    QUOTE_COLUMNS,
    Answer,
    Limits,
    Question,
    SymbolUnknown,
    no_actions,
)
from pipeline.store import Store

FILE = "pystock_us_vintages_2015_2017"
CALENDAR = "XNYS"
UNIVERSE = "crawls"
TOLERANCE = 1e-4
VALUES = QUOTE_COLUMNS[1:]


def evening(day: date) -> datetime:
    """When a crawl counts as made: after the close; the file names the day and no hour."""
    return datetime(day.year, day.month, day.day, 23, tzinfo=UTC)


@dataclass
class CrawledFeed:
    """Answers with what one crawl holds of a symbol, row by row, and reaches no further back.

    Parameters
    ----------
    rows : dict of str to polars.DataFrame
        ``QUOTE_COLUMNS`` by symbol, of the crawl of the day.
    """

    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    limits: Limits = field(default=Limits(rate_per_s=1e6, burst=10_000, concurrent=1))
    place: str = "recorded crawls"

    def show(self, crawl: pl.DataFrame) -> None:
        """Turn to another crawl."""
        self.rows = {
            str(symbol): rows.select(QUOTE_COLUMNS).sort("date", maintain_order=True)
            for (symbol,), rows in crawl.group_by("symbol", maintain_order=True)
        }

    def open(self, settings):
        return self

    def close(self) -> None:
        pass

    def ask(self, question: Question) -> Answer:
        rows = self.rows.get(question.symbol)
        if rows is None:
            raise SymbolUnknown("not in this crawl", where=question.symbol)
        within = pl.col("date").is_between(question.first, question.last)
        return Answer(question.symbol, rows.filter(within), no_actions(), currency="USD")


class DatedStore(Store):
    """A store to which rows arrive at a time that is told, a second later with each write."""

    clock: datetime

    def write_answers(self, *args: Any, **named: Any):
        self.clock += timedelta(seconds=1)
        return super().write_answers(*args, **named, arrived=self.clock)


def store_of(home: Home) -> DatedStore:
    """The store of a replay."""
    return DatedStore(home, universe=UNIVERSE, calendar=CALENDAR)


@dataclass(frozen=True)
class Pass:
    """One crawl, as it went through ``collect``."""

    day: date
    done: Collected
    seconds: float


def read_crawls(folder: Path) -> pl.DataFrame:
    """The file's quotes with symbol and crawl, in the order of the crawls."""
    columns = ("symbol", "as_of", *QUOTE_COLUMNS)
    rows = pl.read_parquet(folder / f"{FILE}.parquet", columns=list(columns))
    return rows.sort("as_of", "symbol", "date", maintain_order=True)


def replay(crawls: pl.DataFrame, store: DatedStore) -> Iterator[Pass]:
    """Collect crawl after crawl, each on its own day and before the next one is looked at.

    Parameters
    ----------
    crawls : polars.DataFrame
        As :func:`read_crawls`.
    store : DatedStore
    """
    feed, symbols = CrawledFeed(), crawls["symbol"].unique().sort().to_list()
    settings = load_settings("demo", overrides=[f"feed.first={crawls['date'].min()}"])
    for (day,), crawl in crawls.group_by("as_of", maintain_order=True):
        feed.show(crawl)
        store.clock = evening(day)
        began = time.perf_counter()
        done = collect(
            feed,
            settings,
            store,
            dict.fromkeys(symbols, CALENDAR),
            run_id=f"crawl {day}",
            until=day,
            now=store.clock,
        )
        yield Pass(day, done, time.perf_counter() - began)


def pairs_of(crawls: pl.DataFrame) -> pl.DataFrame:
    """Same symbol and session in two consecutive vintages: how far each value moved.

    Of rows that share symbol, session and crawl the last counts.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, as_of``, each value and ``{value}_before``, ``moved`` (share by which the
        adjusted close moved), ``factor`` (new over old).
    """
    before = pl.col(*VALUES).shift(1).over("symbol", "date").name.suffix("_before")
    factor = pl.col("adj_close") / pl.col("adj_close_before")
    return (
        crawls.unique(["symbol", "date", "as_of"], keep="last", maintain_order=True)
        .sort("symbol", "date", "as_of")
        .with_columns(before)
        .filter(pl.col("adj_close_before").is_not_null())
        .with_columns(factor=factor, moved=(factor - 1.0).abs())
    )


def near(one: float, other: float) -> bool:
    """Whether two values are the same within the tolerance."""
    return abs(one - other) <= TOLERANCE * abs(other)


@dataclass
class ByHand:
    """What could be known, kept by a loop over rows that shares no code with the program.

    Parameters
    ----------
    known : dict
        Open, high, low, close, volume and adjusted close by symbol and session.
    moved : list of tuple
        ``symbol, date, crawl`` of each known row whose close or adjustment moved.
    carried : list of tuple
        ``symbol, crawl, factor, rows`` of each restatement carried back.
    apart, disputed, passed_over : list of tuple
        ``symbol, crawl``: nothing in common with what was known; two different rows of one
        session; nothing newer than what was known.
    """

    known: dict[str, dict[date, list[float]]] = field(default_factory=dict)
    moved: list[tuple[str, date, date]] = field(default_factory=list)
    carried: list[tuple[str, date, float, int]] = field(default_factory=list)
    apart: list[tuple[str, date]] = field(default_factory=list)
    disputed: list[tuple[str, date]] = field(default_factory=list)
    passed_over: list[tuple[str, date]] = field(default_factory=list)

    def see(self, crawl: date, last: date, symbol: str, rows: Sequence[tuple]) -> None:
        """Take in what a crawl holds of one symbol.

        Parameters
        ----------
        crawl : date
        last : date
            Last session that has closed.
        symbol : str
        rows : sequence of tuple
            ``date`` and the values.
        """
        known = self.known.setdefault(symbol, {})
        if known and max(known) >= last:
            self.passed_over.append((symbol, crawl))
            return
        answer: dict[date, list[float]] = {}
        for day, *values in rows:
            if day in answer and answer[day] != values:
                self.disputed.append((symbol, crawl))
                return
            answer[day] = values
        common = sorted(day for day in answer if day in known)
        if known and not common:
            self.apart.append((symbol, crawl))
        moved = [day for day in common if self._moved(known[day], answer[day])]
        self.moved += [(symbol, day, crawl) for day in moved]
        if moved:
            self._carry(symbol, crawl, min(answer), self._factor(common[0], known, answer))
        for day, values in answer.items():
            if day in known and all(near(*two) for two in zip(values, known[day], strict=True)):
                continue
            known[day] = values

    @staticmethod
    def _moved(old: list[float], new: list[float]) -> bool:
        return not (near(new[3], old[3]) and near(new[5] / new[3], old[5] / old[3]))

    @staticmethod
    def _factor(day: date, known: dict[date, list[float]], answer: dict[date, list[float]]):
        old, new = known[day], answer[day]
        return (new[5] / new[3]) / (old[5] / old[3])

    def _carry(self, symbol: str, crawl: date, first: date, factor: float) -> None:
        if abs(factor - 1.0) <= TOLERANCE:
            return
        earlier = [day for day in self.known[symbol] if day < first]
        for day in earlier:
            row = self.known[symbol][day]
            self.known[symbol][day] = [*row[:5], row[5] * factor]
        self.carried.append((symbol, crawl, factor, len(earlier)))

    def panel(self) -> pl.DataFrame:
        """``symbol, date`` and values of all that is known."""
        rows = [(s, day, *v) for s, days in self.known.items() for day, v in days.items()]
        schema = ["symbol", "date", *VALUES]
        types = {"symbol": pl.String, "date": pl.Date, **dict.fromkeys(VALUES, pl.Float64)}
        frame = pl.DataFrame(rows, schema=schema, orient="row", schema_overrides=types)
        return frame.sort("symbol", "date")
