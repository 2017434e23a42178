"""A source on paper: a small market with splits and dividends, and faults on demand.

For: tests of what every feed shares. Not for: a protocol; those have servers of their own.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl

from backtest.market.calendar import sessions
from pipeline.collecting import Collected, collect
from pipeline.collecting.patience import Clock
from pipeline.config import load_settings
from pipeline.feed import Answer, Limits, Question, SymbolUnknown, no_actions, undo_splits

FIRST = date(2024, 1, 2)
LAST = date(2024, 3, 28)


FREE = Limits(rate_per_s=1e6, burst=1000, concurrent=4)


def evening(day: date) -> datetime:
    """After the close of New York."""
    return datetime(day.year, day.month, day.day, 23, tzinfo=UTC)


class Time:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.at, self.slept = 0.0, []
        self._lock = threading.Lock()

    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.sleep)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at += seconds
            self.slept.append(seconds)


def failing(times: int, error: Exception):
    """Fault that passes after some questions."""
    left = [times]

    def fault(_question):
        if left[0] > 0:
            left[0] -= 1
            raise error

    return fault


@dataclass
class PaperFeed:
    """Prices that grow by one a session; adjusted as of ``today`` like a real source's.

    Parameters
    ----------
    symbols : list of str
    today : date
        Last session that it has.
    actions : dict
        ``(date, kind, value)`` by symbol; those later than ``today`` are not known yet.
    faults : dict
        Called with the question, by symbol, before it is answered; may raise.
    edits : dict
        Applied to the quotes, by symbol.
    currencies : dict
        What the answer names, by symbol, where it is not USD.
    """

    symbols: list[str]
    today: date = LAST
    actions: dict[str, list[tuple[date, str, float]]] = field(default_factory=dict)
    faults: dict[str, Callable[[Question], None]] = field(default_factory=dict)
    edits: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = field(default_factory=dict)
    currencies: dict[str, str | None] = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)
    questions: list[Question] = field(default_factory=list)
    limits: Limits = FREE
    place: str = "on paper"
    closed: int = 0

    def open(self, settings):
        return self

    def close(self):
        self.closed += 1

    def ask(self, question: Question) -> Answer:
        self.asked[question.symbol] += 1
        self.questions.append(question)
        if fault := self.faults.get(question.symbol):
            fault(question)
        if question.symbol not in self.symbols:
            raise SymbolUnknown("no such symbol", where=question.symbol)
        quotes, actions = self.market(question.symbol)
        span = pl.col("date").is_between(question.first, question.last)
        edit = self.edits.get(question.symbol, lambda rows: rows)
        return Answer(
            question.symbol,
            edit(quotes.filter(span)),
            actions.filter(span),
            currency=self.currencies.get(question.symbol, "USD"),
            zone="America/New_York",
        )

    def market(self, symbol: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Quotes as traded and actions, all that is known today."""
        days = [day for day in sessions("XNYS", FIRST, LAST) if day <= self.today]
        start = 100.0 + 10.0 * self.symbols.index(symbol)
        known = [a for a in self.actions.get(symbol, []) if a[0] <= self.today]
        actions = pl.DataFrame(known, schema=no_actions().schema, orient="row")
        close = [start + i for i in range(len(days))]
        adjusted = []
        for day, price in zip(days, close, strict=True):
            factor = 1.0
            for ex, kind, value in known:
                if ex > day:
                    factor *= 1.0 / value if kind == "split" else 1.0 - value / 100.0
            adjusted.append(price * factor)
        rows = pl.DataFrame(
            {
                "date": days,
                "open": close,
                "high": [p + 1.0 for p in close],
                "low": [p - 1.0 for p in close],
                "close": close,
                "volume": [1000.0] * len(days),
                "adj_close": adjusted,
            },
            schema_overrides={"date": pl.Date},
        )
        # Prices as a real source gives them: divided by later splits, and so is what is undone.
        smaller = rows
        for ex, kind, value in known:
            if kind == "split":
                before = pl.col("date") < ex
                smaller = smaller.with_columns(
                    *(
                        pl.when(before).then(pl.col(n) / value).otherwise(pl.col(n)).alias(n)
                        for n in ("open", "high", "low", "close")
                    ),
                    pl.when(before)
                    .then(pl.col("volume") * value)
                    .otherwise(pl.col("volume"))
                    .alias("volume"),
                )
        return undo_splits(smaller, actions), actions


def settings_of(*overrides: str):
    """Settings of a run that asks a feed from ``FIRST`` on."""
    return load_settings(
        "demo",
        overrides=[f"feed.first={FIRST}", "feed.first_wait_s=0.01", *overrides],
    )


def days_before(day: date, count: int) -> date:
    """Session that many sessions earlier."""
    return sessions("XNYS", day - timedelta(days=3 * count + 10), day)[-count - 1]


def one_pass(
    feed: PaperFeed, store, *, day: date = LAST, run: str = "r", names=None, told=()
) -> Collected:
    """Ask for some symbols, all that the feed has if none is named, on the evening of a day."""
    feed.today = day
    return collect(
        feed,
        settings_of(*told),
        store,
        dict.fromkeys(feed.symbols if names is None else names),
        run_id=run,
        until=day,
        now=evening(day),
        clock=Time().clock(),
    )
