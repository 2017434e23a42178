"""Rules about series that stand still, and about adjustments that no price answers: all flags.

For: stale prices, rows without volume, copies of the row before, and steps of adj_close. Not for:
levels of prices (``quality_levels``). Each looks at rows up to the own date only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.market.quality import KEY, PRICES, QualityConfig

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def stale_prices(
    frame: pl.DataFrame, calendars: dict[str, str], config: QualityConfig
) -> pl.DataFrame:
    """Flag rows from the ``stale_sessions``-th with one and the same raw close on.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars with ``close_raw``, sorted by symbol then date.
    calendars : dict of str to str
        Calendar by symbol.
    config : QualityConfig

    Returns
    -------
    polars.DataFrame
        ``symbol, date, detail, value``; the value is the number of bars with that close so far.
    """
    same = _as_before(frame, ["close_raw"])
    at = np.arange(frame.height)
    length = at - np.maximum.accumulate(np.where(same, 0, at)) + 1
    rows = np.flatnonzero(length >= config.stale_sessions)
    share = _share_of_others(frame, rows, hit=~same, calendars=calendars)
    rows = rows[share >= config.others_moved]
    said = pl.format("{} bars at {}", pl.col("value").cast(pl.Int64), "close_raw")
    return _found(frame, rows, value=length[rows].astype(float), detail=said)


def zero_volumes(
    frame: pl.DataFrame, calendars: dict[str, str], config: QualityConfig
) -> pl.DataFrame:
    """Flag rows without volume, of a symbol that was traded before, that are flat or alone.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars, sorted by symbol then date.
    calendars : dict of str to str
        Calendar by symbol.
    config : QualityConfig

    Returns
    -------
    polars.DataFrame
        ``symbol, date, detail, value``; the value is the share of the others that traded.
    """
    traded = (frame["volume"].fill_null(0.0) > 0.0).to_numpy()
    empty = (frame["volume"] == 0.0).fill_null(value=False).to_numpy()
    if not empty.any():
        return _none()
    marked = frame.select("symbol", traded=pl.Series(traded))
    known = marked.select(pl.col("traded").cum_max().over("symbol")).to_series().to_numpy()
    rows = np.flatnonzero(empty & known)
    share = _share_of_others(frame, rows, hit=traded, calendars=calendars)
    flat = (frame["high"] == frame["low"]).to_numpy()[rows]
    kept = flat | (share >= config.others_moved)
    words = pl.when(pl.col("high") == pl.col("low")).then(pl.lit("flat, ")).otherwise(pl.lit(""))
    share_of = (pl.col("value") * 100.0).round(0).cast(pl.Int64)
    percent = pl.format("{} % of the others traded", share_of)
    return _found(frame, rows[kept], value=share[kept], detail=words + percent)


def repeated(frame: pl.DataFrame) -> pl.DataFrame:
    """Flag rows whose four prices and volume, more than 0, are those of the row before.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars with ``close_raw``, sorted by symbol then date.

    Returns
    -------
    polars.DataFrame
        ``symbol, date, detail, value``; the value is the volume.
    """
    same = (
        _as_before(frame, [*PRICES, "volume"])
        & (frame["volume"] > 0.0).fill_null(value=False).to_numpy()
    )
    moved = (frame["high"] > frame["low"]).to_numpy()
    rows = np.flatnonzero(same & moved)
    value = frame["volume"].to_numpy()[rows]
    return _found(frame, rows, value=value, detail=pl.lit("prices and volume of the bar before"))


def adjustments(frame: pl.DataFrame, config: QualityConfig) -> pl.DataFrame:
    """Flag rows at which adj_close steps against the raw close, and the raw close does not answer.

    A split or dividend moves both: the adjusted price goes on as before. Where the step shows in
    the adjusted price, it was made by the adjustment alone.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars with ``close_raw``, sorted by symbol then date.
    config : QualityConfig

    Returns
    -------
    polars.DataFrame
        ``symbol, date, detail, value``; the value is the factor's step.
    """
    step = _over_before(frame, frame["close"] / frame["close_raw"])
    rows = np.flatnonzero(np.abs(step) > math.log1p(config.adjustment_limit))
    raw = _over_before(frame, frame["close_raw"])[rows]
    step = step[rows]
    unanswered = (np.abs(step + raw) > np.abs(raw)) & (np.abs(step + raw) > np.abs(step) / 2.0)
    rows, step = rows[unanswered], step[unanswered]
    said = pl.format("adjusted over raw close moved by {} times", pl.col("value").round(4))
    return _found(frame, rows, value=np.exp(step), detail=said)


def _as_before(frame: pl.DataFrame, columns: list[str]) -> Mask:
    """Rows that equal the symbol's row before in some columns."""
    names = ["symbol", *columns]
    same = frame.select(pl.all_horizontal(pl.col(n) == pl.col(n).shift(1) for n in names))
    return same.to_series().fill_null(value=False).to_numpy()


def _over_before(frame: pl.DataFrame, values: pl.Series) -> npt.NDArray[np.float64]:
    """Log of values over those of the symbol's row before, 0 at its first."""
    moved = np.zeros(frame.height)
    moved[1:] = np.diff(np.log(values.to_numpy()))
    moved[np.flatnonzero(frame["symbol"].rle_id().diff().fill_null(1).to_numpy())] = 0.0
    return moved


def _share_of_others(
    frame: pl.DataFrame, rows: Integers, *, hit: Mask, calendars: dict[str, str]
) -> npt.NDArray[np.float64]:
    """Share of the other symbols of the calendar that were hit on each row's date, alone 1."""
    if not rows.size:
        return np.zeros(0)
    marked = frame.select("symbol", "date", hit=pl.Series(hit), at=pl.int_range(pl.len()))
    dates = marked["date"].gather(rows).unique()
    named = pl.col("symbol").replace_strict(calendars, return_dtype=pl.String)
    near = marked.filter(pl.col("date").is_in(dates.implode())).with_columns(calendar=named)
    day = ("calendar", "date")
    others = pl.len().over(day) - 1
    share = (pl.col("hit").sum().over(day) - pl.col("hit")) / others
    told = near.with_columns(share=pl.when(others == 0).then(1.0).otherwise(share))
    found = told.filter(pl.col("at").is_in(pl.Series(rows).implode())).sort("at")
    return found["share"].to_numpy()


def _found(
    frame: pl.DataFrame, rows: Integers, *, value: npt.NDArray[np.float64], detail: pl.Expr
) -> pl.DataFrame:
    """Pick rows and say of each what was found."""
    if not rows.size:
        return _none()
    picked = frame[rows].with_columns(pl.Series("value", value, dtype=pl.Float64))
    return picked.select(*KEY, detail.alias("detail"), "value")


def _none() -> pl.DataFrame:
    columns = {"symbol": pl.String, "date": pl.Date, "detail": pl.String, "value": pl.Float64}
    return pl.DataFrame(schema=columns)
