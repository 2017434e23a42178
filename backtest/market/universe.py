"""Who belongs to the universe, from when to when, and under which labels.

For: a point-in-time table of membership: reading it, refusing one that contradicts itself, and
what it says of bars, who is a member and under which labels. Not for: bars of a symbol, which it
keeps outside its membership too, so that its indicators are warm when it joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from backtest.errors import DataError
from backtest.market.files import LABELS, day_of, read_table, require_columns
from backtest.registry import closest

SPAN = ("symbol", "valid_from", "valid_to")


def read_members(path: Path) -> pl.DataFrame:
    """Read a table of membership from Parquet or CSV.

    Parameters
    ----------
    path : Path
        Columns ``symbol, valid_from, valid_to`` and optionally ``sector, region, currency,
        exchange, asset_class``; several spans per symbol are fine. ``valid_to`` is the last
        session of membership; empty where it goes on.

    Returns
    -------
    polars.DataFrame
        As :func:`checked_members` returns.

    Raises
    ------
    DataError
        ``E_DATA_PATH``, ``E_DATA_EMPTY`` or ``E_DATA_UNREADABLE``, and as in
        :func:`checked_members`.
    """
    table = read_table(Path(path), required=SPAN, code="E_MEMBERS")
    return checked_members(table, where=str(path))


def checked_members(table: pl.DataFrame, *, where: str = "members") -> pl.DataFrame:
    """Refuse a table of membership that contradicts itself.

    Returns
    -------
    polars.DataFrame
        ``symbol, valid_from, valid_to`` and the labels that the table has, sorted by symbol and
        time.

    Raises
    ------
    DataError
        ``E_MEMBERS``: a missing column or value, no rows, a span that ends before it begins, or
        two spans of one symbol that overlap; ``E_DATA_UNREADABLE``: names of columns that are no
        text.
    """
    require_columns(table.columns, where, required=SPAN, code="E_MEMBERS")
    if table.is_empty():
        raise _refused("no rows", where, "give a row for each symbol and span")
    labels = [name for name in LABELS if name in table.columns]
    text = [pl.col(name).cast(pl.String).str.strip_chars().alias(name) for name in labels]
    frame = table.select(
        pl.col("symbol").cast(pl.String).str.strip_chars(),
        *(day_of(table, name) for name in SPAN[1:]),
        *(pl.when(column != "").then(column) for column in text),
    ).sort("symbol", "valid_from", nulls_last=False)
    unread = table[SPAN[2]].cast(pl.String).str.strip_chars().replace("", None)
    if frame["valid_to"].null_count() != unread.null_count():
        raise _refused("a valid_to that is no date", where, "write dates as YYYY-MM-DD")
    broken = frame.filter(pl.any_horizontal(pl.col("symbol", "valid_from").is_null()))
    if broken.height:
        raise _refused(f"{broken.height} rows without a symbol or a valid_from", where, "give both")
    _refuse_backwards(frame, where)
    _refuse_overlaps(frame, where)
    return frame


def members_among(members: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
    """Keep the spans of some symbols, of all if none is named.

    Raises
    ------
    DataError
        ``E_SYMBOL``: one of them is not in the table; left out, it would be missed by nobody.
    """
    if not symbols:
        return members
    known = set(members["symbol"])
    if strangers := [name for name in symbols if name not in known]:
        raise DataError(
            f"{strangers[0]!r} is not in the table of members",
            where=f"one of {len(symbols)} symbols asked for",
            fix=f"{closest(strangers[0], sorted(known))}; or add it there, or do without a table "
            '(data.members="")',
            code="E_SYMBOL",
        )
    return members.filter(pl.col("symbol").is_in(list(symbols)))


def labelled(raw: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Give rows the labels of the span that they stand in, where they carry none themselves.

    Rows outside every span, which are never traded, take the labels of the symbol's last span
    before them, or else of its first.

    Parameters
    ----------
    raw : polars.DataFrame
        With ``symbol`` and ``date``, in any order; the order stays.
    members : polars.DataFrame
        Of :func:`checked_members`.

    Raises
    ------
    DataError
        ``E_MEMBERS``: no row is of a member on its date.
    """
    _refuse_absent(raw, members)
    labels = [name for name in LABELS if name in members.columns]
    if not labels:
        return raw
    span = members.select("symbol", "valid_from", *(pl.col(c).alias(f"{c}_of") for c in labels))
    first = span.group_by("symbol", maintain_order=True).first().drop("valid_from")
    rows = raw.select("symbol", "date").with_row_index("order")
    dated = rows.drop_nulls().sort("date")
    found = dated.join_asof(
        span.sort("valid_from"),
        left_on="date",
        right_on="valid_from",
        by="symbol",
        check_sortedness=False,
    ).select("order", *(f"{c}_of" for c in labels))
    joined = (
        rows.join(found, on="order", how="left", maintain_order="left")
        .join(first, on="symbol", how="left", suffix="_first", maintain_order="left")
        .select(pl.coalesce(f"{c}_of", f"{c}_of_first").alias(c) for c in labels)
    )
    own = [
        pl.coalesce(pl.col(c).cast(pl.String), joined[c]).alias(c)
        if c in raw.columns
        else joined[c].alias(c)
        for c in labels
    ]
    return raw.with_columns(own)


def relabelled(bars: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Give bars of which one label a symbol was kept those of the table, by date.

    A kept label that the table does not give its symbol is one of the bars' own, and stays.

    Parameters
    ----------
    bars : polars.DataFrame
        As ``Store.read_bars`` returns; ``currency``, which is kept by row, stays.
    members : polars.DataFrame
        Of :func:`checked_members`.

    Raises
    ------
    DataError
        As in :func:`labelled`.
    """
    own = bars
    for name in LABELS:
        if name in members.columns and name in bars.columns and name != "currency":
            told = members.select("symbol", name).unique().with_columns(told=pl.lit(value=True))
            keys = bars.select("symbol", name)
            said = keys.join(told, on=["symbol", name], how="left", maintain_order="left")["told"]
            own = own.with_columns(pl.when(said.is_null()).then(name).alias(name))
    return labelled(own, members)


def marked(bars: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Say of each bar whether its symbol is a member on its date, in the column ``member``.

    Parameters
    ----------
    bars : polars.DataFrame
        With ``symbol`` and ``date``, in any order; the order stays.
    members : polars.DataFrame
        Of :func:`checked_members`, whose spans do not overlap.
    """
    spans = members.select("symbol", began="valid_from", ended="valid_to").sort("began")
    rows = bars.select("symbol", "date").with_row_index("at_row").sort("date")
    found = rows.join_asof(
        spans, left_on="date", right_on="began", by="symbol", check_sortedness=False
    ).sort("at_row")
    going_on = pl.col("ended").is_null() | (pl.col("date") <= pl.col("ended"))
    inside = found.select((pl.col("began").is_not_null() & going_on).alias("member"))
    return bars.with_columns(inside["member"])


def membership_notes(bars: pl.DataFrame, members: pl.DataFrame | None) -> list[str]:
    """Say what the universe is not: the survivors of its last session, or not its table.

    Parameters
    ----------
    bars : polars.DataFrame
        Clean bars.
    members : polars.DataFrame, optional
        Of :func:`checked_members`.
    """
    if members is None:
        ends = bars.group_by("symbol").agg(pl.col("date").max())["date"]
        if ends.len() > 1 and ends.n_unique() == 1:
            return [
                f"universe of today's survivors: all {ends.len()} symbols have bars up to "
                f"{ends[0]}, and no table of members says who left before"
            ]
        return []
    there, named, notes = set(bars["symbol"].unique()), set(members["symbol"]), []
    if unheld := named - there:
        notes.append(
            f"{len(unheld)} of {len(named)} members have no bars, first {min(unheld)}: "
            "their absence is a bias of survivorship"
        )
    if strangers := there - named:
        notes.append(f"{len(strangers)} symbols are no members at any time, first {min(strangers)}")
    return notes


def _refuse_backwards(frame: pl.DataFrame, where: str) -> None:
    backwards = frame.filter(pl.col("valid_to") < pl.col("valid_from"))
    if backwards.height:
        symbol, first, last = backwards.select(SPAN).row(0)
        raise _refused(
            f"membership of {symbol} ends on {last}, before it begins on {first}",
            where,
            "mend the span",
        )


def _refuse_overlaps(frame: pl.DataFrame, where: str) -> None:
    before = frame.with_columns(
        ended=pl.col("valid_to").shift(1).over("symbol"),
        began=pl.col("valid_from").shift(1).over("symbol"),
    ).filter(pl.col("began").is_not_null())
    twice = before.filter(pl.col("ended").is_null() | (pl.col("ended") >= pl.col("valid_from")))
    if twice.height:
        row = twice.row(0, named=True)
        raise _refused(
            f"two spans of {row['symbol']} overlap: from {row['began']} and {row['valid_from']}",
            where,
            "end the first before the second begins",
        )


def _refuse_absent(raw: pl.DataFrame, members: pl.DataFrame) -> None:
    """Refuse a table of another market, with which nothing could ever be traded."""
    dated = raw.select("symbol", "date").drop_nulls()
    newest = dated.group_by("symbol").agg(pl.col("date").max())  # mostly enough, and quickly told
    if any(marked(rows, members)["member"].any() for rows in (newest, dated)):
        return
    there, named = set(dated["symbol"]), set(members["symbol"])
    what = (
        f"no row of its {len(named)} symbols lies within their spans"
        if there & named
        else f"it names none of the {len(there)} symbols of the bars"
    )
    first = f"first {min(named)} in the table"
    raise _refused(what, first, "give the members of this market, under the names of the bars")


def _refused(what: str, where: str, fix: str) -> DataError:
    return DataError(what, where=where, fix=fix, code="E_MEMBERS")
