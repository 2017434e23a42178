"""Small bars for the tests of the store. For: rows that keep every rule. Not for: markets."""

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from backtest.market.bars import QUARANTINE, Prepared, prepare
from backtest.market.calendar import sessions
from pipeline.config import open_home
from pipeline.store import Store

FRIDAY = date(2020, 3, 6)
MONDAY = date(2020, 3, 9)
TUESDAY = date(2020, 3, 10)


def at(day: date, hour: int) -> datetime:
    """An hour of a day, UTC."""
    return datetime.combine(day, time(hour), tzinfo=UTC)


def raw_of(symbols: list[str], count: int, *, until: date) -> pl.DataFrame:
    """Raw bars of the last ``count`` sessions up to ``until``."""
    days = sessions("XNYS", until - timedelta(days=2 * count + 10), until)[-count:]
    rows = [
        (symbol, day, 10.0 + i, 11.0 + i, 9.0 + i, 10.5 + i, 1000.0 + i)
        for symbol in symbols
        for i, day in enumerate(days)
    ]
    columns = ["symbol", "date", "open", "high", "low", "close", "volume"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def prepared_of(symbols: list[str], count: int, *, until: date) -> Prepared:
    """Cleaned bars of the last ``count`` sessions up to ``until``."""
    return prepare(raw_of(symbols, count, until=until), calendar="XNYS")


def bars_of(symbol: str, closes: dict[date, float]) -> Prepared:
    """Bars of one symbol with the given closes, as if they had been cleaned."""
    bars = pl.DataFrame(
        {
            "symbol": [symbol] * len(closes),
            "date": list(closes),
            **{name: list(closes.values()) for name in ("open", "high", "low", "close")},
            "volume": [1.0] * len(closes),
            "close_raw": list(closes.values()),
            "currency": ["USD"] * len(closes),
        },
        schema={
            "symbol": pl.String,
            "date": pl.Date,
            **dict.fromkeys(("open", "high", "low", "close", "volume", "close_raw"), pl.Float64),
            "currency": pl.String,
        },
    )
    text = dict.fromkeys(("symbol", "rule", "detail"), pl.String)
    types = {name: pl.Float64 for name in QUARANTINE} | text | {"date": pl.Date}
    nothing = pl.DataFrame(schema={name: types[name] for name in QUARANTINE})
    missing = pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date})
    return Prepared(bars, nothing, missing, (), len(closes))


def fresh(folder, universe="u", calendar="XNYS") -> Store:
    """A store that waits little."""
    return Store(open_home(folder), universe=universe, calendar=calendar, wait_s=5.0)
