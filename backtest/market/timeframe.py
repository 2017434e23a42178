"""Bars finer than a session: their schema, and resampling that never leaves a session.

For: the names of timeframes, placing a stamp in its session, and making coarser bars of finer
ones. Not for: files (``intraday``), making finer bars of coarser ones, or stamps at the start of
a bar: a stamp is the bar's close, the moment from which it is known.

A bar belongs to the session in whose trading hours its close lies: after the open, up to and with
the close. Buckets start at the open of the session, and again after a lunch break, so the first
of an hour is not on the hour of the clock and the last may be short. Sessions that open on the
evening before follow the calendar too, but no test of ours covers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import dataframely as dy
import polars as pl

from backtest.errors import DataError
from backtest.market import calendar as calendars
from backtest.market import quality_rows
from backtest.registry import closest

DAILY = "1d"
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}
TIMEFRAMES = (*MINUTES, DAILY)
STAMP = pl.Datetime("us", "UTC")
_LAST = ("close_raw", "adj_close", "currency", "sector", "region", "asset_class", "exchange")
_INSTANT = timedelta(microseconds=1)


class FinerBars(dy.Schema):
    """Bars of any timeframe: the daily columns, with the timeframe and the moment of the close.

    ``close_raw``, ``adj_close`` and the labels stand beside them where the source has them.
    """

    symbol = dy.String(primary_key=True, min_length=1)
    timeframe = dy.Enum(list(TIMEFRAMES), primary_key=True)
    ts = dy.Datetime(primary_key=True, time_zone="UTC", time_unit="us")
    date = dy.Date()
    open = dy.Float64(min_exclusive=0.0)
    high = dy.Float64(min_exclusive=0.0)
    low = dy.Float64(min_exclusive=0.0)
    close = dy.Float64(min_exclusive=0.0)
    volume = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def high_not_below_low(cls) -> pl.Expr:
        """Keep the high at or above the low."""
        return ~quality_rows.high_below_low()


def checked_timeframe(name: str) -> str:
    """Return ``name`` if it is a timeframe.

    Raises
    ------
    DataError
        ``E_TIMEFRAME`` with the known ones.
    """
    if name not in TIMEFRAMES:
        raise DataError(
            f"unknown timeframe {name!r}", fix=closest(name, TIMEFRAMES), code="E_TIMEFRAME"
        )
    return name


def bars_per_session(calendar: str, timeframe: str, day: date) -> int:
    """Count the bars of one whole session, short ones included; 0 where there is no session.

    Examples
    --------
    >>> bars_per_session("XNYS", "1h", date(2024, 1, 2))
    7
    """
    table = calendars.parts(calendar, day, day)
    if table.is_empty() or checked_timeframe(timeframe) == DAILY:
        return min(table.height, 1)
    step = timedelta(minutes=MINUTES[timeframe])
    return sum(-(-(stop - start) // step) for start, stop in table[:, 1:3].iter_rows())


def placed(bars: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    """Put every stamp into the session of its symbol's calendar.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol`` and ``ts``, in any order; the order stays.
    named : mapping of str to str
        Calendar by symbol.

    Returns
    -------
    polars.DataFrame
        The rows with ``date`` and the columns of ``calendar.parts``; null outside all sessions.
    """
    made = ("date", "part_open", "part_close", "session_open", "session_close")
    rows = bars.drop(made, strict=False).with_row_index("at_row")
    found = []
    for name in sorted(set(named.values())):
        own = rows.filter(pl.col("symbol").is_in([s for s, n in named.items() if n == name]))
        own = own.drop_nulls("ts").select("at_row", "ts").sort("ts")
        if own.is_empty():
            continue
        edge = timedelta(days=4)
        table = calendars.parts(name, own["ts"][0].date() - edge, own["ts"][-1].date() + edge)
        own = own.with_columns(moment=pl.col("ts") - _INSTANT)  # a close at the open is outside
        joined = own.join_asof(table, left_on="moment", right_on="part_open", coalesce=False)
        found.append(joined.filter(pl.col("ts") <= pl.col("part_close")).select("at_row", *made))
    none = rows.head(0).select(
        "at_row",
        pl.lit(None, pl.Date).alias("date"),
        *(pl.lit(None, STAMP).alias(name) for name in made[1:]),
    )
    placing = pl.concat([none, *found])
    return rows.join(placing, on="at_row", how="left", maintain_order="left").drop("at_row")


def resample(
    bars: pl.DataFrame, to: str, *, calendar: str | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Make coarser bars of finer ones, within sessions.

    Open is the first, close the last, high and low the extremes, volume the sum (unknown only
    where all are unknown); ``close_raw``, ``adj_close`` and labels are the last. A bucket without
    any bar stays absent. Rows outside all sessions are in no bar.

    Parameters
    ----------
    bars : polars.DataFrame
        As ``FinerBars``, in any order, one timeframe per call.
    to : str
        One of ``TIMEFRAMES``, a whole multiple of the bars' own.
    calendar : str, optional
        Of all symbols; each symbol's own if missing.
    until : datetime, optional
        Moment up to which the bars are known, with a time zone; the last stamp if missing. A
        bar whose close lies after it is not finished and not returned. Give it where bars are
        resampled in steps, or the first step's last stamp counts.

    Returns
    -------
    polars.DataFrame
        As ``FinerBars``, sorted by symbol and ``ts``, which is the close of the bucket: a later
        cut of the input changes no earlier bar.

    Raises
    ------
    DataError
        ``E_TIMEFRAME``: an unknown timeframe, several at once, or one that is not finer.
    """
    step = _refuse_steps(bars, to)
    rows = placed(bars, calendars.calendars_of(bars, calendar)).drop_nulls("date")
    rows = rows.with_columns(ends=bucket_close(step))
    known = until if until is not None else bars["ts"].max()
    finished = rows.filter(pl.col("ends") <= pl.lit(known, STAMP))
    return (
        folded(finished)
        .with_columns(timeframe=pl.lit(to, pl.Enum(list(TIMEFRAMES))))
        .select(*FinerBars.column_names(), pl.exclude(FinerBars.column_names()))
    )


def bucket_close(step: timedelta | None) -> pl.Expr:
    """Close of the bucket that a placed row belongs to; of its session without a step."""
    if step is None:
        return pl.col("session_close")
    width = step // _INSTANT
    passed = (pl.col("ts") - pl.col("part_open")).dt.total_microseconds() - 1
    ends = pl.col("part_open") + pl.duration(microseconds=(passed // width + 1) * width)
    return pl.min_horizontal(ends, pl.col("part_close"))


def folded(rows: pl.DataFrame) -> pl.DataFrame:
    """Make one bar of the rows that share a symbol and ``ends``; ``ends`` becomes ``ts``.

    Parameters
    ----------
    rows : polars.DataFrame
        ``symbol, ts, date, ends, open, high, low, close`` and optional ``volume`` and last-value
        columns.
    """
    held = [name for name in _LAST if name in rows.columns]
    volume = pl.col("volume") if "volume" in rows.columns else pl.lit(None, pl.Float64)
    return (
        rows.sort("symbol", "ts")
        .with_columns(volume.alias("volume"))
        .group_by("symbol", "ends", maintain_order=True)
        .agg(
            pl.col("date").last(),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.when(pl.col("volume").count() > 0).then(pl.col("volume").sum()).alias("volume"),
            *(pl.col(name).last() for name in held),
        )
        .rename({"ends": "ts"})
        .sort("symbol", "ts")
    )


def _refuse_steps(bars: pl.DataFrame, to: str) -> timedelta | None:
    """Length of the buckets; refuse what cannot be made of these bars."""
    given = bars["timeframe"].cast(pl.String).unique().sort().to_list()
    if len(given) != 1:
        raise DataError(
            f"bars of {len(given)} timeframes ({', '.join(map(str, given))})",
            fix="resample one at a time",
            code="E_TIMEFRAME",
        )
    own = checked_timeframe(given[0])
    if checked_timeframe(to) == DAILY:
        return None
    if own == DAILY or MINUTES[to] % MINUTES[own]:
        raise DataError(
            f"no {to} bars can be made of {own} bars",
            fix="ask for a whole multiple",
            code="E_TIMEFRAME",
        )
    return timedelta(minutes=MINUTES[to])
