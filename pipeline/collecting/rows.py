"""Answers as rows of tables, and rows of tables as bars to be judged.

For: the shapes between a feed, the store and ``backtest.market.bars``. Not for: asking or judging.
"""

from datetime import date, datetime
from typing import TYPE_CHECKING

from backtest.errors import ProviderUnavailable
from pipeline import feed
from pipeline.store.quotes import midnight

if TYPE_CHECKING:
    import polars as pl

    from pipeline.store import Store

COLUMNS = ("symbol", "timeframe", "ts", "date", "open", "high", "low", "close", "volume")


def keyed(answer: feed.Answer, timeframe: str) -> "pl.DataFrame":
    """Quotes of an answer as rows of the table."""
    import polars as pl

    quotes = answer.quotes
    if "ts" not in quotes.columns:
        quotes = quotes.with_columns(ts=midnight("date"))
    return quotes.with_columns(
        pl.lit(answer.symbol).alias("symbol"),
        pl.lit(timeframe).alias("timeframe"),
        pl.lit(answer.currency, dtype=pl.String).alias("currency"),
    ).select(*COLUMNS, "adj_close", "currency")


def finished(quotes: "pl.DataFrame", last: date) -> tuple["pl.DataFrame", str]:
    """Quotes of finished sessions, and why the newest is not among them, if so.

    A bar after ``last`` is of a session under way. A newest one without prices has not been filled
    in yet; one further back is a hole, and stays to be judged.
    """
    import polars as pl

    rows = quotes.filter(pl.col("date") <= last).sort("ts")
    priced = rows.filter(pl.col("close").is_not_null())
    if priced.is_empty():
        return rows.clear(), f"no bar with a price up to {last}"
    newest = priced["date"].max()
    rows = rows.filter(pl.col("date") <= newest)
    return rows, "" if newest == last else f"no bar of {last} yet, the last is of {newest}"


def single(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Quotes with each bar once, where a source lists some of them twice.

    Raises
    ------
    ProviderUnavailable
        Two rows of one bar differ: nobody can tell which of them holds.
    """
    import polars as pl

    if rows["ts"].n_unique() == rows.height:
        return rows
    found = rows.unique(maintain_order=True)
    twins = found.filter(pl.col("ts").is_duplicated())
    if twins.is_empty():
        return found
    raise ProviderUnavailable(
        f"the answer has {twins.height} rows that share their bar and differ, the first of "
        f"{twins['date'].min()}",
        fix="try again later; what is known stays",
    )


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
