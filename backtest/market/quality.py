"""The rules that a bar must keep, as pure predicates with the names that a quarantine shows.

For: saying which rows cannot be trusted, and why. Not for: mending a row, and never for a
verdict that needs a later session: whether a row is held back depends on rows up to its own
date only, so cutting the history never changes it. Three rules are wider and say so:
``duplicate_conflicting`` speaks about all rows of a key, ``too_short`` about all rows of a symbol,
and ``closed_exchange_filler`` follows the first exchange that a symbol's rows name.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
KEY = ("symbol", "date")
_REST = ("volume", "adj_close")
RANGE_TOLERANCE = 0.05
JUMP_LIMIT = 5.0
UNTRADED_LIMIT = 1.2
MIN_BARS = 20

RULES: dict[str, str] = {
    "symbol_missing": "name the symbol in every row",
    "date_missing": "write dates as YYYY-MM-DD",
    "price_missing": "give open, high, low and close as numbers",
    "price_not_finite": "remove NaN and infinite prices",
    "price_not_positive": "remove zero and negative prices",
    "high_below_low": "mend the high or the low",
    "open_outside_range": "mend the open, the high or the low",
    "close_outside_range": "mend the close, the high or the low",
    "volume_negative": "mend the volume, or leave it empty where it is unknown",
    "volume_not_finite": "mend the volume, or leave it empty where it is unknown",
    "adjustment_invalid": "mend adj_close, or leave the column out",
    "duplicate_agreeing": "nothing: one of the equal rows was kept",
    "duplicate_conflicting": "keep one row for each symbol and date",
    "closed_exchange_filler": "leave out days on which the exchange was closed",
    "jump_unconfirmed": "check the price: it left its level too far, or without a trade",
    "too_short": "give the symbol a longer history, or leave it out",
}


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


def outside_range(price: str, tolerance: float = RANGE_TOLERANCE) -> pl.Expr:
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


def row_rules(columns: Iterable[str]) -> dict[str, pl.Expr]:
    """Rules that one row breaks by itself, in order of precedence; true where broken.

    Parameters
    ----------
    columns : iterable of str
        Columns of the frame; rules about absent optional columns are left out.
    """
    rules = {
        "symbol_missing": pl.col("symbol").is_null() | (pl.col("symbol") == ""),
        "date_missing": pl.col("date").is_null(),
        "price_missing": price_missing(),
        "price_not_finite": price_not_finite(),
        "price_not_positive": price_not_positive(),
        "high_below_low": high_below_low(),
        "open_outside_range": outside_range("open"),
        "close_outside_range": outside_range("close"),
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
        Rows with a column ``rule``, none of them null.

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
            "adjusted prices {} to {}",
            pl.min_horizontal(PRICES).round(4),
            pl.max_horizontal(PRICES).round(4),
        ),
        "too_short": pl.format("{} bars", pl.len().over("symbol")),
    }
    said["duplicate_conflicting"] = _conflict([n for n in (*PRICES, *_REST) if n in broken.columns])
    parts = [
        rows.with_columns(said.get(str(name), pl.lit("")).alias("detail"))
        for (name,), rows in broken.group_by("rule", maintain_order=True)
    ]
    return pl.concat(parts)


def _conflict(columns: list[str]) -> pl.Expr:
    """Name the columns in which rows of one key differ, with their values."""
    parts = []
    for name in columns:
        values = pl.col(name).cast(pl.String).fill_null("absent").unique(maintain_order=True)
        text = pl.format(f"{name} {{}}", values.str.join(" and ").over(KEY))
        parts.append(pl.when(pl.col(name).n_unique().over(KEY) > 1).then(text))
    return pl.concat_str(parts, separator=", ", ignore_nulls=True)


def duplicates(frame: pl.DataFrame) -> pl.Series:
    """Rule broken by rows whose symbol and date stand more than once, null elsewhere.

    Of equal rows the first is kept; of rows that differ none can be trusted.
    """
    rest = [n for n in (*PRICES, *_REST) if n in frame.columns]
    twice = frame.filter(pl.struct(KEY).is_duplicated())
    found = twice.with_columns(
        (pl.struct(rest).n_unique().over(KEY) == 1).alias("agree"),
        (pl.col("row") == pl.col("row").min().over(KEY)).alias("kept"),
    ).select(
        "row",
        pl.when(~pl.col("agree"))
        .then(pl.lit("duplicate_conflicting"))
        .when(~pl.col("kept"))
        .then(pl.lit("duplicate_agreeing"))
        .alias("rule"),
    )
    return frame.select("row").join(found, on="row", how="left", maintain_order="left")["rule"]


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


def jumps(frame: pl.DataFrame) -> tuple[Mask, Mask]:
    """Find rows whose price leaves its level, and rows that confirm a new level.

    A row with a price more than ``JUMP_LIMIT`` times above or below the last trusted close is
    held back. The next row decides: back near the old level, the jump was a spike; near the new
    one, the level has moved, and that row is trusted again. The held-back row stays out either
    way, because on its own date nobody could know. A flat row without volume, of a symbol that
    was traded before, may move by ``UNTRADED_LIMIT`` only, and never sets a new level.

    Parameters
    ----------
    frame : polars.DataFrame
        Clean bars with adjusted prices, sorted by symbol then date.

    Returns
    -------
    held_back : bool, ``[row]``
    confirming : bool, ``[row]``
    """
    held = np.zeros(frame.height, dtype=bool)
    confirming = np.zeros(frame.height, dtype=bool)
    if frame.is_empty():
        return held, confirming
    walk = frame.select(
        pl.min_horizontal(PRICES).alias("least"),
        pl.max_horizontal(PRICES).alias("most"),
        "close",
        ((pl.col("high") == pl.col("low")) & (pl.col("volume").fill_null(1.0) == 0.0)).alias(
            "idle"
        ),
        (pl.col("volume").fill_null(0.0) > 0.0).cum_max().over("symbol").alias("known"),
    ).select("least", "most", "close", (pl.col("idle") & pl.col("known")).alias("untraded"))
    least, most, close = (walk[name].to_numpy() for name in ("least", "most", "close"))
    untraded = walk["untraded"].to_numpy()
    starts = np.flatnonzero(frame["symbol"].rle_id().diff().fill_null(1).to_numpy())
    limit = np.where(untraded, UNTRADED_LIMIT, JUMP_LIMIT)[1:]
    far = np.zeros(frame.height, dtype=bool)
    far[1:] = (least[1:] * limit < close[:-1]) | (most[1:] > close[:-1] * limit)
    far[starts] = False
    for first, stop in zip(starts, [*starts[1:], frame.height], strict=True):
        if far[first:stop].any():
            part = slice(first, stop)
            found = _levels(least[part], most[part], close[part], untraded[part])
            held[part], confirming[part] = found
    return held, confirming


def _levels(least: Floats, most: Floats, close: Floats, untraded: Mask) -> tuple[Mask, Mask]:
    """Walk one symbol's rows in order; see :func:`jumps`."""
    held = np.zeros(len(close), dtype=bool)
    confirming = np.zeros(len(close), dtype=bool)
    level, pending = close[0], np.nan
    for i in range(1, len(close)):
        limit = UNTRADED_LIMIT if untraded[i] else JUMP_LIMIT
        if least[i] * limit >= level and most[i] <= level * limit:
            level, pending = close[i], np.nan
        elif untraded[i]:
            held[i] = True
        elif least[i] * JUMP_LIMIT >= pending and most[i] <= pending * JUMP_LIMIT:
            confirming[i] = True
            level, pending = close[i], np.nan
        else:
            held[i] = True
            pending = close[i]
    return held, confirming


def too_short(frame: pl.DataFrame, min_bars: int = MIN_BARS) -> pl.Expr:
    """Symbols with fewer bars than ``min_bars``, where the frame has that many sessions.

    A universe that is itself shorter says nothing about its symbols, and nothing is broken.
    """
    if frame["date"].n_unique() < min_bars:
        return pl.lit(value=False)
    return pl.len().over("symbol") < min_bars
