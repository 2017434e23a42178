"""Rules about single rows, keys and currencies, as pure predicates with their details.

For: what can be said of a row by itself, or by the rows before it of the same key or symbol. Not
for: levels of prices (``quality_levels``), series that stand still (``quality_series``), or the
names and thresholds of the rules (``quality``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from backtest.market.quality import DEFAULTS, KEY, MIN_BARS, PRICES, QualityConfig

_REST = ("volume", "adj_close", "currency")


def price_missing() -> pl.Expr:
    """Tell where any of the four prices is absent or no number."""
    return pl.any_horizontal(pl.col(PRICES).is_null())


def price_not_finite() -> pl.Expr:
    """Tell where any of the four prices is NaN or infinite."""
    return pl.any_horizontal(~pl.col(PRICES).is_finite())


def price_not_positive() -> pl.Expr:
    """Tell where any of the four prices is zero or negative."""
    return pl.any_horizontal(pl.col(PRICES) <= 0.0)


def high_below_low() -> pl.Expr:
    """Tell where the high lies below the low."""
    return pl.col("high") < pl.col("low")


def outside_range(price: str, tolerance: float = DEFAULTS.range_tolerance) -> pl.Expr:
    """Tell where the price leaves low to high by more than ``tolerance``, a share of the price."""
    above = pl.col(price) > pl.col("high") * (1.0 + tolerance)
    return above | (pl.col(price) < pl.col("low") / (1.0 + tolerance))


def volume_negative() -> pl.Expr:
    """Tell where the volume is known and below zero."""
    return pl.col("volume") < 0.0


def volume_not_finite() -> pl.Expr:
    """Tell where the volume is infinite; an unknown volume is null."""
    return pl.col("volume").is_infinite()


def adjustment_invalid() -> pl.Expr:
    """Tell where an adjusted close is no positive number, or absent after the symbol's first one.

    Before the first date with one nobody could know that there would be any, so rows up to then
    are taken as they are.
    """
    value = pl.col("adj_close")
    first = pl.col("date").filter(value.is_not_null()).min().over("symbol")
    absent = value.is_null() & (pl.col("date") >= first)
    return absent.fill_null(value=False) | ~value.is_finite() | (value <= 0.0)


def row_rules(columns: Iterable[str], config: QualityConfig = DEFAULTS) -> dict[str, pl.Expr]:
    """Rules that one row breaks by itself, in order of precedence; true where broken.

    Parameters
    ----------
    columns : iterable of str
        Columns of the frame; rules about absent optional columns are left out.
    config : QualityConfig
    """
    tolerance = config.range_tolerance
    rules = {
        "symbol_missing": pl.col("symbol").is_null() | (pl.col("symbol") == ""),
        "date_missing": pl.col("date").is_null(),
        "price_missing": price_missing(),
        "price_not_finite": price_not_finite(),
        "price_not_positive": price_not_positive(),
        "high_below_low": high_below_low(),
        "open_outside_range": outside_range("open", tolerance),
        "close_outside_range": outside_range("close", tolerance),
        "volume_negative": volume_negative(),
        "volume_not_finite": volume_not_finite(),
    }
    if "adj_close" in set(columns):
        rules["adjustment_invalid"] = adjustment_invalid()
    return rules


def first_broken(rules: dict[str, pl.Expr]) -> pl.Expr:
    """Name of the first rule that the row breaks, null where it keeps them all."""
    return pl.coalesce(pl.when(broken).then(pl.lit(name)) for name, broken in rules.items()).alias(
        "rule"
    )


def with_detail(broken: pl.DataFrame) -> pl.DataFrame:
    """Say beside each broken row's ``rule`` what broke it.

    Parameters
    ----------
    broken : polars.DataFrame
        Rows with a column ``rule``, none of them null, and ``value``.

    Returns
    -------
    polars.DataFrame
        The rows with a column ``detail``, in no promised order; empty where the name of the
        rule says it all.
    """
    shown = [pl.col(name).cast(pl.String).fill_null("absent") for name in PRICES]
    prices = pl.format("open {}, high {}, low {}, close {}", *shown)
    said = {
        "price_missing": prices,
        "price_not_finite": prices,
        "price_not_positive": prices,
        "high_below_low": pl.format("high {} is below low {}", "high", "low"),
        "open_outside_range": pl.format("open {} is outside {} to {}", "open", "low", "high"),
        "close_outside_range": pl.format("close {} is outside {} to {}", "close", "low", "high"),
        "volume_negative": pl.format("volume {}", "volume"),
        "jump_unconfirmed": pl.format(
            "adjusted prices {} to {}, last trusted close {}",
            pl.min_horizontal(PRICES).round(4),
            pl.max_horizontal(PRICES).round(4),
            (pl.col("close") / pl.col("value")).round(4),
        ),
        "spike_reverted": pl.format(
            "adjusted close {} is {} times the level before, and the price came back",
            "close",
            pl.col("value").round(4),
        ),
        "too_short": pl.format("{} bars", pl.len().over("symbol")),
    }
    if "currency" in broken.columns:
        said["currency_changed"] = pl.format("in {}", "currency")
    compared = [n for n in (*PRICES, *_REST) if n in broken.columns]
    said["duplicate_conflicting"] = _conflict(compared, _key(broken))
    parts = [
        rows.with_columns(said.get(str(name), pl.lit("")).alias("detail"))
        for (name,), rows in broken.group_by("rule", maintain_order=True)
    ]
    return pl.concat(parts)


def _conflict(columns: list[str], key: Sequence[str]) -> pl.Expr:
    """Name the columns in which rows of one key differ, with their values."""
    parts = []
    for name in columns:
        values = pl.col(name).cast(pl.String).fill_null("absent").unique(maintain_order=True)
        text = pl.format(f"{name} {{}}", values.str.join(" and ").over(key))
        parts.append(pl.when(pl.col(name).n_unique().over(key) > 1).then(text))
    return pl.concat_str(parts, separator=", ", ignore_nulls=True)


def _key(frame: pl.DataFrame) -> tuple[str, ...]:
    """Columns that name a bar: its moment too where bars are finer than a session."""
    return (*KEY, "ts") if "ts" in frame.columns else KEY


def duplicates(frame: pl.DataFrame) -> pl.Series:
    """Rule broken by rows whose symbol and date (and ``ts``) stand more than once, else null.

    Of equal rows the first is kept; of rows that differ none can be trusted.
    """
    rest = [n for n in (*PRICES, *_REST) if n in frame.columns]
    key = _key(frame)
    twice = frame.filter(pl.struct(key).is_duplicated())
    found = twice.with_columns(
        (pl.struct(rest).n_unique().over(key) == 1).alias("agree"),
        (pl.col("row") == pl.col("row").min().over(key)).alias("kept"),
    ).select(
        "row",
        pl.when(~pl.col("agree"))
        .then(pl.lit("duplicate_conflicting"))
        .when(~pl.col("kept"))
        .then(pl.lit("duplicate_agreeing"))
        .alias("rule"),
    )
    return frame.select("row").join(found, on="row", how="left", maintain_order="left")["rule"]


def currency_changed(frame: pl.DataFrame) -> pl.Expr:
    """Tell where a row's currency is not the first that the symbol named; GBp is not GBP.

    Parameters
    ----------
    frame : polars.DataFrame
        Sorted by symbol, then date.
    """
    if "currency" not in frame.columns:
        return pl.lit(value=False)
    named = pl.col("currency")
    return (named != named.drop_nulls().first().over("symbol")).fill_null(value=False)


def slightly_outside(frame: pl.DataFrame) -> pl.DataFrame:
    """Flag rows whose open or close leaves low to high by any amount.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows that no rule about the range took out, with raw prices.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, rule, detail, value``; the value is the excess as a share of the price.
    """
    parts = []
    for price in ("open", "close"):
        above, below = pl.col(price) / pl.col("high") - 1.0, pl.col("low") / pl.col(price) - 1.0
        said = pl.format(f"{price} {{}} is outside {{}} to {{}}", price, "low", "high")
        found = frame.filter((pl.col(price) > pl.col("high")) | (pl.col(price) < pl.col("low")))
        parts.append(
            found.select(
                *KEY,
                pl.lit(f"{price}_outside_range").alias("rule"),
                said.alias("detail"),
                pl.max_horizontal(above, below).alias("value"),
            )
        )
    return pl.concat(parts)


def closed_exchange_filler(grid: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows without a trade on a day that is no session of the symbol's exchange.

    Parameters
    ----------
    grid : polars.DataFrame
        ``symbol, date`` that must exist.
    frame : polars.DataFrame
        Bars.

    Returns
    -------
    polars.DataFrame
        The rows of ``frame`` that stand outside the grid, with a column ``filler`` that is true
        where all four prices are equal and no volume was traded.
    """
    flat = (pl.col("high") == pl.col("low")) & (pl.col("volume").fill_null(0.0) == 0.0)
    return frame.join(grid, on=list(KEY), how="anti").with_columns(flat.alias("filler"))


def too_short(frame: pl.DataFrame, min_bars: int = MIN_BARS) -> pl.Expr:
    """Symbols with fewer bars than ``min_bars``, where the frame has that many sessions.

    A universe that is itself shorter says nothing about its symbols, and nothing is broken.
    """
    if frame["date"].n_unique() < min_bars:
        return pl.lit(value=False)
    return pl.len().over("symbol") < min_bars
