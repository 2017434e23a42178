"""Answers as rows of tables, and rows of tables as bars to be judged.

For: the shapes between a feed, the store and ``backtest.market.bars``. Not for: asking or judging.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np

from pipeline import feed
from pipeline.store.quotes import midnight

if TYPE_CHECKING:
    import polars as pl

    from pipeline.store import Store


def keyed(answers: Sequence[feed.Answer], timeframe: str) -> "pl.DataFrame":
    """Quotes of answers as rows of the table.

    All of them at once: while others ask, each call that leaves the interpreter waits to be let in
    again, and one for each answer would take longer than everything that is done with it.
    """
    import polars as pl

    counts = np.array([answer.quotes.height for answer in answers], dtype=int)
    if not counts.sum():
        return no_quotes()
    told = {
        name: pl.Series([getattr(answer, name) for answer in answers], dtype=pl.String).gather(
            np.repeat(np.arange(len(answers)), counts)
        )
        for name in ("symbol", "currency")
    }
    quotes = pl.concat([answer.quotes for answer in answers])
    at = pl.col("ts") if "ts" in quotes.columns else midnight("date").alias("ts")
    return quotes.with_columns(at, timeframe=pl.lit(timeframe), **told).select(no_quotes().columns)


def finished(
    quotes: "pl.DataFrame", last: Mapping[str, date]
) -> tuple["pl.DataFrame", dict[str, str]]:
    """Quotes of finished sessions, and why a symbol's newest is not among them, where it is not.

    A bar after ``last``, told by symbol, is of a session under way. A newest one without prices
    has not been filled in yet; one further back is a hole, and stays to be judged.
    """
    import polars as pl

    rows = quotes.join(_ends(last), on="symbol", maintain_order="left").filter(
        pl.col("date") <= pl.col("_last")
    )
    priced = pl.col("date").filter(pl.col("close").is_not_null()).max()
    rows = rows.with_columns(_newest=priced.over("symbol"))
    rows = rows.filter(pl.col("date") <= pl.col("_newest")).sort("symbol", "ts")
    newest = dict(rows.select("symbol", "_newest").unique().iter_rows())
    pending = {}
    for symbol, day in last.items():
        if symbol not in newest:
            pending[symbol] = f"no bar with a price up to {day}"
        elif newest[symbol] != day:
            pending[symbol] = f"no bar of {day} yet, the last is of {newest[symbol]}"
    return rows.select(quotes.columns), pending


def _ends(last: Mapping[str, date]) -> "pl.DataFrame":
    """Last session that was asked for, by symbol: ``symbol, _last``."""
    import polars as pl

    schema = {"symbol": pl.String, "_last": pl.Date}
    return pl.DataFrame(list(last.items()), schema, orient="row")


def denominated(quotes: "pl.DataFrame", known: "pl.DataFrame") -> "pl.DataFrame":
    """Quotes in their currency; where an answer names none, in the one that was last known.

    Without it pence would be taken for the pounds of their exchange.
    """
    import polars as pl

    held = known.drop_nulls("currency").group_by("symbol").agg(_held=pl.col("currency").last())
    return (
        quotes.join(held, on="symbol", how="left", maintain_order="left")
        .with_columns(pl.coalesce("currency", "_held").alias("currency"))
        .select(quotes.columns)
    )


def new_events(
    told: "pl.DataFrame",
    known: "pl.DataFrame",
    quotes: "pl.DataFrame",
    last: Mapping[str, date],
) -> tuple["pl.DataFrame", list[str]]:
    """Actions that answers no longer have, and the symbols whose actions are not those known.

    Parameters
    ----------
    told, known : polars.DataFrame
        ``symbol, date, kind, value`` as the answers and the store have them.
    quotes : polars.DataFrame
        Of the answers: an answer speaks from its first quote on.
    last : mapping of str to date
        Last session that was asked for, by symbol.
    """
    import polars as pl

    key = ["symbol", "date", "kind"]
    first = quotes.group_by("symbol").agg(_first=pl.col("date").min())
    within = known.join(first, on="symbol").join(_ends(last), on="symbol")
    within = within.filter(pl.col("date").is_between("_first", "_last")).select(told.columns)
    gone = within.join(told, on=key, how="anti").select(key)
    fresh = told.join(within, on=told.columns, how="anti")
    return gone, sorted({*gone["symbol"], *fresh["symbol"]})


def single(quotes: "pl.DataFrame") -> tuple["pl.DataFrame", dict[str, str]]:
    """Quotes with each bar once, and the symbols whose rows of one bar differ, with the reason.

    Of those nobody can tell which row holds, so none is returned.
    """
    import polars as pl

    found = quotes.unique(maintain_order=True)
    twins = found.filter(pl.struct("symbol", "ts").is_duplicated())
    told = twins.group_by("symbol", maintain_order=True).agg(pl.len(), pl.col("date").min())
    reasons = {
        symbol: f"the answer has {count} rows that share their bar and differ, the first of {day}"
        for symbol, count, day in told.iter_rows()
    }
    return found.filter(~pl.col("symbol").is_in(list(reasons))), reasons


def no_quotes() -> "pl.DataFrame":
    """Rows of the table of quotes, none."""
    import polars as pl

    numbers = ("open", "high", "low", "close", "volume", "adj_close")
    return pl.DataFrame(
        schema={
            "symbol": pl.String,
            "timeframe": pl.String,
            "ts": pl.Datetime("us", "UTC"),
            "date": pl.Date,
            **dict.fromkeys(numbers, pl.Float64),
            "currency": pl.String,
        }
    )


def no_actions() -> "pl.DataFrame":
    """Rows of the table of actions, none."""
    import polars as pl

    return (
        feed.no_actions().select(pl.lit("").alias("symbol"), pl.all()).cast({"symbol": pl.String})
    )


def raw_bars(
    store: "Store", labels: "pl.DataFrame", *, until: date, as_of: date | datetime | None = None
) -> "pl.DataFrame":
    """Quotes as rows to be judged, each with its symbol's labels.

    Parameters
    ----------
    store : Store
    labels : polars.DataFrame
        ``symbol`` and any of ``sector, region, asset_class, exchange``.
    until : date
    as_of : date or datetime, optional
        As in ``Store.read_quotes``.

    Returns
    -------
    polars.DataFrame
        Bars as ``backtest.market.bars.prepare`` takes them, of the labelled symbols: prices as
        traded with ``adj_close``, volume in today's shares, so that a split makes no jump.
    """
    import polars as pl

    quotes = store.read_quotes(until=until, as_of=as_of)
    splits = store.read_actions(until=until, as_of=as_of).filter(pl.col("kind") == "split")
    quotes = quotes.join(labels, on="symbol", how="inner")
    if splits.height:
        later = quotes.select("symbol", "date").join(splits, on="symbol", suffix="_split")
        shares = (
            later.filter(pl.col("date_split") > pl.col("date"))
            .group_by("symbol", "date")
            .agg(pl.col("value").product().alias("_shares"))
        )
        quotes = quotes.join(shares, on=["symbol", "date"], how="left").with_columns(
            pl.col("volume") * pl.col("_shares").fill_null(1.0)
        )
    return quotes.drop("timeframe", "ts", "_shares", strict=False)
