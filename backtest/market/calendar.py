"""Exchange calendars: which sessions must exist, when each closes, and which bars are absent.

For: every question about sessions, whatever the exchange. Not for: the partition keys of the
asset graph, which come from a table, and never for filling an absent session.

``exchange_calendars`` (and pandas with it) is imported on first use only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import polars as pl

from backtest.errors import DataError
from backtest.registry import closest

DATA = "data"
ALWAYS = "24/7"
DEFAULT_CALENDAR = "XNYS"
SUFFIXES = {
    "DE": "XETR",
    "L": "XLON",
    "PA": "XPAR",
    "AS": "XAMS",
    "BR": "XBRU",
    "LS": "XLIS",
    "MC": "XMAD",
    "MI": "XMIL",
    "IR": "XDUB",
    "HE": "XHEL",
    "VI": "XWBO",
    "SW": "XSWX",
    "ST": "XSTO",
    "CO": "XCSE",
    "OL": "XOSL",
    "WA": "XWAR",
    "TO": "XTSE",
    "SA": "BVMF",
    "MX": "XMEX",
    "JO": "XJSE",
    "T": "XTKS",
    "HK": "XHKG",
    "SS": "XSHG",
    "SZ": "XSHG",
    "TW": "XTAI",
    "KS": "XKRX",
    "SI": "XSES",
    "BO": "XBOM",
    "NS": "XBOM",
    "AX": "XASX",
    "NZ": "XNZE",
}
"""Exchange by what stands after the last dot of a symbol, as Yahoo spells it; Shenzhen and India's
NSE keep the days of their neighbours."""
UNKNOWN_CURRENCY = "XXX"
"""Code of ISO 4217 for no currency: neither the rows nor the exchange say it."""
_QUOTED_IN = {
    "EUR": "XETR XPAR XAMS XBRU XLIS XMAD XMIL XDUB XHEL XWBO XFRA XDUS XHAM XSTU XLUX ASEX XCYS "
    "XBRA XLJU XLIT XRIS XTAL XZAG",
    "USD": "XNYS CMES XCBF us_futures",
    "GBP": "XLON",
    "CNY": "XSHG XSHE",
    "INR": "XBOM XNSE",
    "CHF": "XSWX",
    "SEK": "XSTO",
    "DKK": "XCSE",
    "NOK": "XOSL",
    "ISK": "XICE",
    "PLN": "XWAR",
    "CZK": "XPRA",
    "HUF": "XBUD",
    "RON": "XBSE",
    "RSD": "XBEL",
    "TRY": "XIST",
    "RUB": "XMOS",
    "JPY": "XTKS",
    "HKD": "XHKG",
    "KRW": "XKRX",
    "TWD": "XTAI",
    "SGD": "XSES",
    "THB": "XBKK",
    "MYR": "XKLS",
    "IDR": "XIDX",
    "PHP": "XPHS",
    "PKR": "XKAR",
    "SAR": "XSAU",
    "ILA": "XTAE",
    "AUD": "XASX",
    "NZD": "XNZE",
    "ZAc": "XJSE",
    "CAD": "XTSE",
    "MXN": "XMEX",
    "BRL": "BVMF",
    "ARS": "XBUE",
    "CLP": "XSGO",
    "COP": "XBOG",
    "PEN": "XLIM",
    "BMD": "XBDA",
}
CURRENCIES = {name: money for money, names in _QUOTED_IN.items() for name in names.split()}
"""Unit in which an exchange quotes most of its shares today; London's, mostly pence, in pounds."""
PERIODS_PER_YEAR = {"XNYS": 252, "XETR": 254, "XLON": 253, "XPAR": 256}
_STAMP = pl.Datetime("us", "UTC")
_EPOCH = date(1990, 1, 1)
_LONG_EPOCH = date(1900, 1, 1)


def calendar_of(
    symbol: str, exchange: str | None = None, *, default: str = DEFAULT_CALENDAR
) -> str:
    """Name the calendar of a symbol: its exchange's, else by suffix, else ``default``.

    Examples
    --------
    >>> calendar_of("SAP.DE"), calendar_of("BRK.B"), calendar_of("SPY", "XLON")
    ('XETR', 'XNYS', 'XLON')
    """
    if exchange:
        return exchange.strip().upper()
    _, dot, suffix = symbol.upper().rpartition(".")
    return SUFFIXES.get(suffix, default) if dot else default


def sessions(name: str, start: date, end: date) -> list[date]:
    """Sessions of the exchange from ``start`` to ``end``, both included, ascending.

    Days outside the years that the exchange's holidays are recorded for hold no session.

    Raises
    ------
    DataError
        No exchange of that name.
    """
    calendar = _calendar(name, start, end)
    first = max(start, calendar.first_session.date())
    last = min(end, calendar.last_session.date())
    if last < first:
        return []
    return [stamp.date() for stamp in calendar.sessions_in_range(str(first), str(last))]


def last_finished_session(name: str, now: datetime) -> date:
    """Last session whose close lies at or before ``now``, a datetime with a time zone."""
    _require_zone(now)
    today = now.astimezone(UTC).date() + timedelta(days=1)
    for day in reversed(sessions(name, today - timedelta(days=30), today)):
        if close_at(name, day) <= now:
            return day
    raise DataError(f"no session of {name} in the 30 days before {now}", code="E_CALENDAR")


def next_session(name: str, day: date) -> date:
    """First session after ``day``, which itself need not be one."""
    after = sessions(name, day + timedelta(days=1), day + timedelta(days=30))
    if not after:
        raise DataError(f"no session of {name} in the 30 days after {day}", code="E_CALENDAR")
    return after[0]


def close_at(name: str, day: date) -> datetime:
    """Close of the session in UTC; on a half day that is the early close.

    Raises
    ------
    DataError
        ``day`` is no session of the exchange.
    """
    calendar = _calendar(name, day, day)
    if not calendar.is_session(str(day)):
        raise DataError(
            f"{day} is no session of {name}",
            fix=f"the next one is {next_session(name, day)}",
            code="E_CALENDAR",
        )
    stamp: datetime = calendar.session_close(str(day)).to_pydatetime()
    return stamp.astimezone(UTC)


def closes(name: str, start: date, end: date) -> dict[date, datetime]:
    """Closes in UTC of the sessions from ``start`` to ``end``, by session; as :func:`close_at`."""
    days = sessions(name, start, end)
    if not days:
        return {}
    stamps = _calendar(name, start, end).closes.loc[str(days[0]) : str(days[-1])]
    moments = (stamp.astimezone(UTC) for stamp in stamps.dt.to_pydatetime())
    return dict(zip(days, moments, strict=True))


def periods_per_year(name: str) -> int:
    """Sessions per year: the long-run count of the exchange (2015 to 2024), 252 for ``data``."""
    if name == DATA:
        return PERIODS_PER_YEAR[DEFAULT_CALENDAR]
    if name not in PERIODS_PER_YEAR:
        return round(len(sessions(name, date(2015, 1, 1), date(2024, 12, 31))) / 10)
    return PERIODS_PER_YEAR[name]


def calendars_of(bars: pl.DataFrame, calendar: str | None = None) -> dict[str, str]:
    """Calendar by symbol.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol`` and optionally ``exchange``.
    calendar : str, optional
        One name for all symbols (``data`` included) in place of each symbol's own.
    """
    if calendar is not None:
        return dict.fromkeys(_names(bars), calendar)
    return _own_calendars(bars, DEFAULT_CALENDAR)


def currencies_of(bars: pl.DataFrame, calendar: str | None = None) -> dict[str, str]:
    """Currency by symbol, as its exchange quotes: a guess for symbols whose rows name none.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol`` and optionally ``exchange``.
    calendar : str, optional
        Exchange of the symbols that neither a label nor a suffix places; ``XNYS`` if missing, or
        if it is no exchange (``data``, ``24/7``).

    Returns
    -------
    dict of str to str
        ``UNKNOWN_CURRENCY`` where the exchange is not in ``CURRENCIES``.
    """
    default = DEFAULT_CALENDAR if calendar in (None, DATA, ALWAYS) else str(calendar)
    own = _own_calendars(bars, default)
    quoted = {name: CURRENCIES.get(_main_name(name), UNKNOWN_CURRENCY) for name in own.values()}
    return {symbol: quoted[name] for symbol, name in own.items()}


def _names(bars: pl.DataFrame) -> list[str]:
    return bars["symbol"].drop_nulls().unique(maintain_order=True).to_list()


def _own_calendars(bars: pl.DataFrame, default: str) -> dict[str, str]:
    """Calendar of each symbol by its label or suffix."""
    exchanges: dict[str, str | None] = {}
    if "exchange" in bars.columns:
        known = bars.drop_nulls("exchange").group_by("symbol").agg(pl.col("exchange").first())
        exchanges = dict(known.iter_rows())
    return {s: calendar_of(s, exchanges.get(s), default=default) for s in _names(bars)}


def _main_name(name: str) -> str:
    """Name of the calendar that another name, as ``NASDAQ``, stands for; itself if it is none."""
    if name in CURRENCIES:
        return name
    import exchange_calendars

    known = exchange_calendars.get_calendar_names()
    return exchange_calendars.resolve_alias(name) if name in known else name


def session_grid(bars: pl.DataFrame, calendar: str | None = None) -> pl.DataFrame:
    """Sessions that each symbol should have between its first and its last bar.

    Returns
    -------
    polars.DataFrame
        ``symbol, date``, sorted.
    """
    spans = bars.group_by("symbol").agg(
        pl.col("date").min().alias("first"), pl.col("date").max().alias("last")
    )
    named = calendars_of(bars, calendar)
    spans = spans.with_columns(
        pl.col("symbol").replace_strict(named, return_dtype=pl.String).alias("calendar")
    )
    parts = [pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date})]
    for (name,), group in spans.group_by("calendar"):
        days = _days(str(name), bars["date"], group)
        crossed = group.join(pl.DataFrame({"date": pl.Series(days, dtype=pl.Date)}), how="cross")
        within = crossed.filter(pl.col("date").is_between("first", "last"))
        parts.append(within.select("symbol", "date"))
    return pl.concat(parts).sort("symbol", "date")


def missing_sessions(bars: pl.DataFrame, calendar: str | None = None) -> pl.DataFrame:
    """Sessions without a bar between each symbol's first and last; reported, never filled.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, date`` and optionally ``exchange``.
    calendar : str, optional
        As in :func:`calendars_of`; ``data`` expects the union of all dates present.

    Returns
    -------
    polars.DataFrame
        ``symbol, date``, sorted.
    """
    return session_grid(bars, calendar).join(bars, on=["symbol", "date"], how="anti")


def _days(name: str, present: pl.Series, group: pl.DataFrame) -> Iterable[date]:
    if name == DATA:
        return present.unique().sort().to_list()
    first, last = group["first"].min(), group["last"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    return sessions(name, first, last)


def _calendar(name: str, start: date, end: date) -> Any:
    """Calendar object that covers the span."""
    first = _EPOCH if start >= _EPOCH else _LONG_EPOCH
    return _load(name, first, max(end.year + 2, 2028))


@lru_cache(maxsize=16)
def _load(name: str, first: date, last_year: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import exchange_calendars
        from exchange_calendars.errors import CalendarError

        try:
            # Its class is wanted, whose bounds no function tells: a year is quickly made.
            made = type(exchange_calendars.get_calendar(name, start="2024-01-01", end="2024-12-31"))
        except CalendarError:
            known = [*exchange_calendars.get_calendar_names(), DATA]
            near = closest(name, known).split(", ")
            raise DataError(
                f"unknown exchange calendar {name!r}",
                fix=", ".join(near[:8]) + (", ..." if len(near) > 8 else ""),
                code="E_CALENDAR",
            ) from None
        lowest, highest = made.bound_min(), made.bound_max()
        start, end = str(first), str(date(last_year, 1, 1))
        return made(
            start=max(start, str(lowest.date())) if lowest is not None else start,
            end=min(end, str(highest.date())) if highest is not None else end,
        )


def _require_zone(now: datetime) -> None:
    if now.tzinfo is None:
        raise DataError(
            f"{now} has no time zone", fix="give a datetime with one", code="E_CALENDAR"
        )


def parts(name: str, start: date, end: date) -> pl.DataFrame:
    """Continuous trading parts of the sessions from ``start`` to ``end``, both included.

    A session is one part, or two around a lunch break. ``data`` has no hours of its own: its
    sessions are the days of UTC, as those of ``24/7``.

    Returns
    -------
    polars.DataFrame
        ``date`` (session), ``part_open, part_close`` (UTC, microseconds), ``session_open,
        session_close``, sorted by ``part_open``; early closes are in it.
    """
    name = ALWAYS if name == DATA else name
    days = sessions(name, start, end)
    if not days:
        stamps = ("part_open", "part_close", "session_open", "session_close")
        return pl.DataFrame(schema={"date": pl.Date, **dict.fromkeys(stamps, _STAMP)})
    table = _calendar(name, start, end).schedule.loc[str(days[0]) : str(days[-1])]
    moments = {
        column: pl.Series(table[column].dt.tz_localize(None).to_numpy("datetime64[us]"))
        for column in ("open", "break_start", "break_end", "close")
    }
    whole = pl.DataFrame({"date": days, **moments}).with_columns(
        pl.col(list(moments)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    rest = pl.col("break_start").is_not_null()
    edges = {"session_open": pl.col("open"), "session_close": pl.col("close")}
    morning = whole.select(
        "date", part_open="open", part_close=pl.coalesce("break_start", "close"), **edges
    )
    evening = whole.filter(rest).select("date", part_open="break_end", part_close="close", **edges)
    return pl.concat([morning, evening]).sort("part_open")
