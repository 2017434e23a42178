"""Reading a chart of Yahoo: rows, gaps, splits and dividends, as an answer of the socket.

For: prices as traded, in the exchange's own days. Not for: asking (``wire``) or judging the bars.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.feed import (
    DAILY,
    QUOTE_COLUMNS,
    Answer,
    Question,
    SymbolUnknown,
    no_actions,
    undo_splits,
)

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

LENGTHS = {DAILY: None, "1h": timedelta(hours=1), "5m": timedelta(minutes=5)}
"""Timeframes that are asked for; the length of a bar where it is shorter than a session."""

_log = logging.getLogger(__name__)


def read(question: Question, frame: "pd.DataFrame", chart: Mapping[str, Any]) -> Answer:
    """Turn the client's frame, and what it leaves out of the chart, into an answer."""
    import polars as pl

    meta = chart["meta"]
    zone, currency = str(meta["exchangeTimezoneName"]), meta.get("currency")
    events = _actions(chart.get("events") or {}, ZoneInfo(zone), currency, question.symbol)
    length = LENGTHS[question.timeframe]
    within = pl.col("date").is_between(question.first, question.last)
    columns = QUOTE_COLUMNS if length is None else ("ts", *QUOTE_COLUMNS)
    traded = undo_splits(_quotes(frame, chart, length), events)
    # In one go: most answers are a fortnight, and what costs then is each call.
    quotes = traded.lazy().filter(within).sort(columns[0]).select(columns).collect()
    if quotes.is_empty():
        raise nothing(question.symbol, f"from {question.first} to {question.last}")
    if events.height:
        events = events.filter(within)
    return Answer(question.symbol, quotes, events, currency, zone)


def _quotes(
    frame: "pd.DataFrame", chart: Mapping[str, Any], length: timedelta | None
) -> "pl.DataFrame":
    """Rows of the client with Yahoo's own gaps, prices as Yahoo divides them."""
    import polars as pl

    names = {
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "adj_close": "Adj Close",
    }
    columns = {name: frame[theirs].to_numpy(dtype="float64") for name, theirs in names.items()}
    starts = list(frame.index.to_pydatetime())
    days = [start.date() for start in starts]
    # The client turns an empty volume into 0.
    empty, keys = _empty_volumes(chart, daily=length is None), days if length is None else starts
    told = np.array([key not in empty for key in keys], dtype=bool)
    # So does it for a row that it adds itself, for an action on a day without a quote.
    priced = ~np.isnan(columns["close"]) | (columns["volume"] != 0.0)
    columns["volume"] = np.where(told & priced, columns["volume"], np.nan)
    if length is not None:
        columns["adj_close"] = np.full(len(days), np.nan)  # the client repeats the close here
    made = pl.DataFrame(
        {"date": days, **columns}, schema_overrides={"date": pl.Date}, nan_to_null=True
    )
    if length is None:
        return made
    ends = _ends(chart["meta"], starts, length)
    return made.with_columns(pl.Series("ts", ends, dtype=pl.Datetime("us", "UTC")))


def _empty_volumes(chart: Mapping[str, Any], *, daily: bool) -> set[Any]:
    """Sessions (or starts of bars) for which Yahoo lists no volume, and no other row does."""
    zone = ZoneInfo(chart["meta"]["exchangeTimezoneName"])
    volumes = chart["indicators"]["quote"][0]["volume"]
    if None not in volumes:
        return set()
    last: dict[Any, Any] = {}
    for stamp, volume in zip(chart["timestamp"], volumes, strict=True):
        start = datetime.fromtimestamp(stamp, zone)
        if daily and start.hour in (22, 23) and start.minute == 0:
            start += timedelta(hours=24 - start.hour)  # midnight, where Yahoo misses a clock change
        last[start.date() if daily else start] = volume
    return {key for key, volume in last.items() if volume is None}


def _ends(meta: Mapping[str, Any], starts: list[datetime], length: timedelta) -> list[datetime]:
    """Closes of bars in UTC; the last of a session ends with the session, be it shorter."""
    closes = {}
    for periods in meta.get("tradingPeriods") or []:
        for period in periods:
            opened = datetime.fromtimestamp(period["start"], UTC)
            zone = ZoneInfo(meta["exchangeTimezoneName"])
            closes[opened.astimezone(zone).date()] = datetime.fromtimestamp(period["end"], UTC)
    ends = []
    for start in starts:
        end, close = start.astimezone(UTC) + length, closes.get(start.date())
        ends.append(close if close is not None and start < close < end else end)
    return ends


def _actions(
    events: Mapping[str, Any], zone: ZoneInfo, currency: str | None, symbol: str
) -> "pl.DataFrame":
    """Splits, and dividends as traded: Yahoo divides both prices and dividends by later splits."""
    import polars as pl

    splits: list[tuple[date, float]] = [
        (_day(event, zone), float(event["numerator"]) / float(event["denominator"]))
        for event in (events.get("splits") or {}).values()
    ]
    rows: list[tuple[date, str, float]] = [(day, "split", ratio) for day, ratio in splits]
    for event in (events.get("dividends") or {}).values():
        if (event.get("currency") or currency) != currency:
            _log.warning("%s: a dividend in %s is left out", symbol, event["currency"])
            continue
        day, value = _day(event, zone), float(event["amount"])
        for later, ratio in splits:
            value *= ratio if day < later else 1.0
        rows.append((day, "dividend", value))
    return pl.DataFrame(sorted(rows), no_actions().schema, orient="row")


def _day(event: Mapping[str, Any], zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(event["date"], zone).date()


def nothing(symbol: str, span: str = "") -> SymbolUnknown:
    """Error of a symbol, or a span, that Yahoo has no row of."""
    return SymbolUnknown(
        f"Yahoo lists nothing {span}".strip(),
        where=symbol,
        fix="check the spelling and the span, or end its membership",
    )
