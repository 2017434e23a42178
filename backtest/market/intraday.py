"""Bars finer than a session, as files bring them, on their way to one bar a session.

For: reading stamps, putting each into the session of its symbol, and folding the bars of a
finished session into one. Not for: coarser bars that are still finer than a session
(``timeframe.resample``), or judging rows, which is done before they are folded, each by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from backtest.errors import DataError
from backtest.market import calendar as calendars
from backtest.market.timeframe import STAMP, bucket_close, folded, placed

CODE = "E_DATA_FINER"
_INSTANT = timedelta(microseconds=1)
_SELDOM = 0.1
_PLACING = ("date", "part_open", "part_close", "session_open", "session_close", "due")
_TEXT = (
    r"^\s*(\d{4}-?\d{2}-?\d{2})[T ](\d{2}:\d{2})(:\d{2})?(\.\d{1,6})?\d*"
    r"\s*(?:Z|UTC|([+-]\d{2}):?(\d{2}))?\s*$"
)


def stamps(column: str, dtype: pl.DataType) -> pl.Expr:
    """Moments of a column in UTC; one without a zone is in UTC, what is no moment is null.

    Parameters
    ----------
    column : str
    dtype : polars.DataType
        Of the column: a datetime, a date (its midnight), or text as ISO 8601 has it.
    """
    if dtype == pl.String:
        return _moment(pl.col(column)).alias(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return pl.col(column).dt.convert_time_zone("UTC").cast(STAMP)
    if dtype.base_type() in (pl.Datetime, pl.Date):
        return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.lit(None, STAMP).alias(column)


def are_finer(frame: pl.DataFrame) -> bool:
    """Tell whether any symbol has two moments ``ts`` of one ``date``."""
    keys = frame.drop_nulls(["symbol", "date", "ts"])
    return keys.select("symbol", "date", "ts").unique().height > (
        keys.select("symbol", "date").unique().height
    )


def in_sessions(frame: pl.DataFrame, calendar: str | None = None) -> pl.DataFrame:
    """Give rows with ``ts`` the date of their session; outside all of them it stays.

    Parameters
    ----------
    frame : polars.DataFrame
        ``symbol, date, ts`` and optionally ``exchange``, in any order; the order stays.
    calendar : str, optional
        Of all symbols; each symbol's own if missing.
    """
    found = _placed(frame, calendars.calendars_of(frame, calendar))["date"]
    return frame.with_columns(pl.coalesce(found.alias("date"), "date"))


def one_a_session(
    frame: pl.DataFrame, calendar: str | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """Fold rows with ``ts`` into one bar of each finished session.

    Open is the first, close and labels the last, high and low the extremes, volume the sum, and
    ``row`` the first. A bar that starts within the session and is stamped after its close, as a
    short last one may be, belongs to it; the length of bars is told by the session itself and
    those before it, so that a symbol may turn from hours to minutes. A session is finished if the
    frame has a stamp, of any symbol, at or after the one that its last bar would carry; so a cut
    of the rows within a session takes its bar away and changes no other.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows that keep the rules about single rows, with ``ts`` (null in daily bars) and ``row``.
    calendar : str, optional
        Of all symbols; each symbol's own if missing.

    Returns
    -------
    polars.DataFrame
        Without ``ts``: daily bars as they came, then the folded ones.
    list of str
        What was folded, and what was left out.

    Raises
    ------
    DataError
        ``E_DATA_FINER``: daily and finer bars of one symbol, no stamp within any session, no
        session that is over, or stamps that are starts of bars.
    """
    daily = frame.filter(pl.col("ts").is_null()).drop("ts")
    finer = frame.drop_nulls("ts")
    if finer.is_empty():
        return daily, []
    _refuse_mixed(daily, finer)
    named = calendars.calendars_of(finer, calendar)
    rows = _placed(finer, named)
    inside = rows.drop_nulls("date")
    if inside.is_empty():
        raise _outside(rows, named)
    inside = inside.with_columns(ends=bucket_close(None))
    _refuse_starts(rows, inside, named)
    over = inside.filter(pl.col("due") <= pl.lit(finer["ts"].max(), STAMP))
    if over.is_empty() and daily.is_empty():
        raise _none_over(inside)
    first = over.group_by("symbol", "date").agg(pl.col("row").min())
    bars = folded(over).join(first, on=["symbol", "date"], how="left")
    notes = _notes(rows, inside, over, f"{bars.height}, one a session of {_names(named)}")
    return pl.concat([daily, bars.select(daily.columns)]), notes


def _placed(frame: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    """Put stamps into sessions, and bars too that start in one and are stamped after its close.

    Beside each stand the usual ``length`` of bars then, and ``due``, the stamp of the last bar of
    the session: what is stamped after that is in none.
    """
    rows = placed(frame, named).with_row_index("place")
    known = rows.drop_nulls(["symbol", "ts"]).sort("ts")
    known = known.join_asof(
        _lengths(known), left_on="ts", right_on="began", by="symbol", check_sortedness=False
    )
    outside = known.filter(pl.col("date").is_null())
    start = pl.col("ts") - pl.col("length")
    begun = placed(outside.with_columns(ts=start + _INSTANT), named).with_columns(outside["ts"])
    within = pl.concat([known, begun.select(known.columns)]).drop_nulls("date").sort("ts")
    # Of the last stamp up to the close, which a cut after the close cannot take away.
    due = _last_stamp()
    due = pl.coalesce(due.filter(pl.col("ts") <= pl.col("session_close")).last(), due.first())
    within = within.with_columns(due=due.over("symbol", "date"))
    within = within.filter(pl.col("ts") <= pl.col("due")).select("place", *_PLACING)
    lengths = known.select("place", "length")
    rows = rows.drop(_PLACING, strict=False).join(lengths, on="place", how="left")
    return rows.join(within, on="place", how="left").sort("place").drop("place")


def _lengths(known: pl.DataFrame) -> pl.DataFrame:
    """Usual length of bars from the first one of each session on: ``symbol, began, length``.

    It is the gap between stamps that the session shows most often, if more than once, and else
    that of the session before it: later sessions say nothing of it. Before any is known it is the
    session's smallest gap, and a lone bar counts from the open.
    """
    stamped = known.drop_nulls("date").unique(["symbol", "ts"]).sort("symbol", "ts")
    gap = pl.col("gap").drop_nulls()
    return (
        stamped.with_columns(gap=pl.col("ts").diff().over("symbol", "date"))
        .group_by("symbol", "date", maintain_order=True)
        .agg(
            began=pl.col("ts").first(),
            length=gap.filter(gap.is_duplicated()).mode().min(),
            alone=pl.coalesce(gap.min(), (pl.col("ts") - pl.col("part_open")).first()),
        )
        .select(
            "symbol",
            "began",
            pl.coalesce(pl.col("length").forward_fill().over("symbol"), "alone").alias("length"),
        )
        .sort("began")
    )


def _last_stamp() -> pl.Expr:
    """Stamp of the last bar of the row's session, on the row's own grid of stamps."""
    left = (pl.col("session_close") - pl.col("ts")).dt.total_microseconds()
    step = pl.col("length").dt.total_microseconds()
    return pl.col("ts") + pl.duration(microseconds=-(-left // step) * step)


def _moment(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 text with a time of day; an offset is taken away, none means UTC."""
    part = text.str.extract_groups(_TEXT).struct.field
    day = part("1").str.replace_all("-", "")
    clock = pl.concat_str(
        day, part("2"), part("3").fill_null(":00"), part("4").fill_null(".0"), separator=" "
    )
    local = clock.str.to_datetime("%Y%m%d %H:%M :%S %.f", time_unit="us", strict=False)
    hours, minutes = (part(name).cast(pl.Int64).fill_null(0) for name in ("5", "6"))
    west = part("5").str.starts_with("-").fill_null(value=False)
    ahead = pl.duration(hours=hours, minutes=pl.when(west).then(-minutes).otherwise(minutes))
    return (local - ahead).dt.replace_time_zone("UTC")


def _names(named: Mapping[str, str]) -> str:
    return ", ".join(sorted(set(named.values())))


def _notes(rows: pl.DataFrame, inside: pl.DataFrame, over: pl.DataFrame, made: str) -> list[str]:
    notes = [f"{over.height} bars finer than a session were made into {made}"]
    if outside := rows.height - inside.height:
        symbol, stamp = rows.filter(pl.col("date").is_null()).select("symbol", "ts").row(0)
        notes.append(
            f"{outside} of {rows.height} finer bars lie outside trading hours and are in no bar, "
            f"first {symbol} {stamp:%Y-%m-%d %H:%M}"
        )
    if running := inside.height - over.height:
        notes.append(
            f"{running} finer bars are of a session that was not over at the last stamp, "
            f"{rows.select(pl.col('ts').max().dt.strftime('%Y-%m-%d %H:%M')).item()}, and are in "
            "no bar"
        )
    return notes


def _refuse_mixed(daily: pl.DataFrame, finer: pl.DataFrame) -> None:
    both = daily.filter(pl.col("symbol").is_in(finer["symbol"].unique().implode()))
    if both.height:
        symbol, day = both.sort("symbol", "date").select("symbol", "date").row(0)
        raise DataError(
            "daily and finer bars of one symbol",
            where=f"{symbol}, no ts on {day}",
            fix="give one of the two, with a readable ts in every finer bar",
            code=CODE,
        )


def _outside(rows: pl.DataFrame, named: Mapping[str, str]) -> DataError:
    symbol, stamp = rows.select("symbol", "ts").row(0)
    return DataError(
        f"no bar lies within the trading hours of {_names(named)}",
        where=f"first {symbol} {stamp:%Y-%m-%d %H:%M} UTC",
        fix="give the bars' closes in UTC, and the column exchange or a calendar (24/7)",
        code=CODE,
    )


def _none_over(inside: pl.DataFrame) -> DataError:
    symbol, stamp, due = inside.sort("ts").select("symbol", "ts", "due").row(-1)
    return DataError(
        f"no session is over: the last stamp is of {symbol}, {stamp:%Y-%m-%d %H:%M} UTC",
        where=f"the last bar of its session would be stamped {due:%Y-%m-%d %H:%M}",
        fix="give the bars of a whole session",
        code=CODE,
    )


def _refuse_starts(rows: pl.DataFrame, inside: pl.DataFrame, named: Mapping[str, str]) -> None:
    """Refuse stamps that almost always stand at or before the open, and end a bar too early."""
    days = inside.group_by("symbol", "date").agg(pl.col("ts").max() >= pl.col("due").max())
    if days["ts"].sum() >= _SELDOM * days.height:
        return
    usual = pl.col("length").fill_null(pl.col("length").drop_nulls().first().over("symbol"))
    early = rows.with_columns(usual.alias("length")).filter(pl.col("date").is_null())
    ahead = placed(early.with_columns(ts=pl.col("ts") + pl.col("length")), named)
    begun = ahead.drop_nulls("date").select("symbol", "date").unique()
    at_open = days.join(begun, on=["symbol", "date"], how="semi").height
    if at_open > (1.0 - _SELDOM) * days.height:
        symbol, stamp = early.select("symbol", "ts").row(0)
        raise DataError(
            f"{at_open} of {days.height} sessions have a stamp at the open and hardly any has one "
            "at its close, so stamps are starts of bars",
            where=f"first {symbol} {stamp:%Y-%m-%d %H:%M} UTC",
            fix="add the length of a bar to ts, which is the bar's close",
            code=CODE,
        )
