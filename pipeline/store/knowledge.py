"""When a row became known: the rule that lets the past be read as it was seen.

For: ``known_at`` of first versions, and the moment up to which a session's decision could know
anything. Not for: deciding whether a row changed (``upsert``).

The first version of a row that arrives while at most five later sessions have closed is known from
its arrival on (``live``). Later than that it is taken as known at its session's close
(``backfill``), or no history could ever be loaded. A restated row is always known from its true
arrival on. Nothing is known before its session's close.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from backtest.market.calendar import (
    DATA,
    DEFAULT_CALENDAR,
    closes,
    next_session,
)

LATE_SESSIONS = 5
_LOOK_BACK = timedelta(days=45)


def knowledge_cut(as_of: date | datetime, calendar: str) -> datetime:
    """First moment that the decision of session ``as_of`` can no longer know.

    Parameters
    ----------
    as_of : date or datetime
        A date: everything that arrived before 00:00 UTC on the day of the next session after it
        counts. A datetime with a time zone is taken as it stands.
    calendar : str

    Returns
    -------
    datetime
        UTC, exclusive.
    """
    if isinstance(as_of, datetime):
        return as_of.astimezone(UTC)
    after = as_of + timedelta(days=1) if calendar == DATA else next_session(calendar, as_of)
    return datetime.combine(after, time(), tzinfo=UTC)


def session_closes(calendar: str, days: list[date]) -> dict[date, datetime]:
    """Close of each day in UTC; the end of the day where the exchange names none."""
    if not days:
        return {}
    listed = {} if calendar == DATA else closes(calendar, min(days), max(days))
    return {day: listed.get(day) or _end_of(day) for day in sorted(set(days))}


def first_known(
    rows: pl.DataFrame, *, session: str, arrived: datetime, calendars: Mapping[str, str] | str
) -> pl.DataFrame:
    """Add when each row would be known if this is its first version.

    Parameters
    ----------
    rows : polars.DataFrame
        With the column ``session``, and ``symbol`` where calendars are given by symbol.
    session : str
    arrived : datetime
        When the rows came in, with a time zone.
    calendars : mapping of symbol to calendar, or one calendar
        A symbol that it does not name follows ``XNYS``.

    Returns
    -------
    polars.DataFrame
        The rows with ``_calendar, first_known_at, first_vintage``, in the same order. A row
        without a session is known from its arrival on.
    """
    if isinstance(calendars, str):
        named = rows.with_columns(pl.lit(calendars).alias("_calendar"))
    else:
        by_symbol = pl.col("symbol").replace_strict(
            dict(calendars), default=DEFAULT_CALENDAR, return_dtype=pl.String
        )
        named = rows.with_columns(by_symbol.alias("_calendar"))
    parts = [
        _moments(str(name), group[session].unique().to_list(), arrived)
        for (name,), group in named.drop_nulls(session).group_by("_calendar")
    ]
    moments = pl.concat([_no_moments(), *parts])
    joined = named.join(
        moments,
        left_on=["_calendar", session],
        right_on=["_calendar", "_day"],
        how="left",
        maintain_order="left",
    )
    return joined.with_columns(
        pl.col("first_known_at").fill_null(pl.lit(arrived).cast(_STAMP)),
        pl.col("first_vintage").fill_null("live"),
    ).drop("_calendar")


_STAMP = pl.Datetime("us", "UTC")


def _no_moments() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "_calendar": pl.String,
            "_day": pl.Date,
            "first_known_at": _STAMP,
            "first_vintage": pl.String,
        }
    )


def _moments(calendar: str, days: list[date], arrived: datetime) -> pl.DataFrame:
    """When rows of each day are known, if they first arrive at ``arrived``."""
    moments = session_closes(calendar, days)
    edge = _oldest_live(calendar, arrived)
    records = [
        (
            calendar,
            day,
            max(arrived, close) if day >= edge else close,
            "live" if day >= edge else "backfill",
        )
        for day, close in moments.items()
    ]
    return pl.DataFrame(records, schema=_no_moments().schema, orient="row")


def _oldest_live(calendar: str, arrived: datetime) -> date:
    """Oldest session whose rows, arriving now, are not more than five sessions late."""
    today = arrived.astimezone(UTC).date()
    if calendar == DATA:
        return today - timedelta(days=7)
    recent = closes(calendar, today - _LOOK_BACK, today)
    closed = [day for day, close in recent.items() if close < arrived]
    return closed[-LATE_SESSIONS - 1] if len(closed) > LATE_SESSIONS else today - _LOOK_BACK


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), tzinfo=UTC)
