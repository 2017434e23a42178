"""Bars: the schema, and cleaning by named rules with every row accounted for.

For: the one way from raw rows to bars that all other rooms may trust. Not for: reading files
(``files``, whose ``read_bars`` is also offered here), storing bars, filling gaps (absent
sessions are reported) or mending a wrong row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl

from backtest.errors import DataError
from backtest.market import calendar as calendars
from backtest.market import intraday, quality_levels, quality_rows, quality_series
from backtest.market.currency import in_currency
from backtest.market.files import LABELS, require_columns, typed
from backtest.market.files import read_bars as read_bars
from backtest.market.notes import bar_notes, level_notes, order_notes
from backtest.market.panel import Panel
from backtest.market.quality import (
    DEFAULTS,
    MIN_BARS,
    PRICES,
    QualityConfig,
    findings_of,
    no_findings,
    nothing_left,
)
from backtest.market.universe import labelled, marked
from backtest.registry import closest

QUARANTINE = ("symbol", "date", "rule", "detail", *PRICES, "volume")


class Bars(dy.Schema):
    """Clean bars: one row per symbol and date, adjusted prices, labels beside them."""

    symbol = dy.String(primary_key=True, min_length=1)
    date = dy.Date(primary_key=True)
    open = dy.Float64(min_exclusive=0.0)
    high = dy.Float64(min_exclusive=0.0)
    low = dy.Float64(min_exclusive=0.0)
    close = dy.Float64(min_exclusive=0.0)
    volume = dy.Float64(nullable=True, min=0.0)
    close_raw = dy.Float64(min_exclusive=0.0)
    currency = dy.String()

    @dy.rule()
    def high_not_below_low(cls) -> pl.Expr:
        """Keep the high at or above the low."""
        return ~quality_rows.high_below_low()

    @dy.rule()
    def open_within_range(cls) -> pl.Expr:
        """Keep the open between low and high, give or take the tolerance."""
        return ~quality_rows.outside_range("open")

    @dy.rule()
    def close_within_range(cls) -> pl.Expr:
        """Keep the close between low and high, give or take the tolerance."""
        return ~quality_rows.outside_range("close")


@dataclass(frozen=True)
class Prepared:
    """What cleaning made of raw rows.

    Parameters
    ----------
    bars : polars.DataFrame
        Rows that keep every rule, as in ``Bars``, with the labels that the input has, sorted by
        symbol then date.
    quarantined : polars.DataFrame
        ``symbol, date, rule, detail, open, high, low, close, volume``, as they came in.
    missing : polars.DataFrame
        ``symbol, date`` of sessions without a bar.
    notes : tuple of str
        What a reader of the report should know.
    rows_in : int
        Rows that were judged; good bars finer than a session count as the one made of them.
    folded : int
        Further rows: finer bars beyond that one, and those that are in none.
    findings : polars.DataFrame
        ``symbol, date, rule, severity, detail, value``: every quarantined row, every flag and every
        missing session, sorted.
    """

    bars: pl.DataFrame
    quarantined: pl.DataFrame
    missing: pl.DataFrame
    notes: tuple[str, ...]
    rows_in: int
    folded: int = 0
    findings: pl.DataFrame = field(default_factory=no_findings)

    def accounting(self) -> dict[str, int]:
        """Count rows: ``rows_in``, ``rows_out``, and one entry per broken rule.

        Raises
        ------
        DataError
            The rows that came in are not the rows that went out plus those with a reason.
        """
        counts = self.quarantined.group_by("rule").len().sort("rule")
        out = {"rows_in": self.rows_in, "rows_out": self.bars.height, **dict(counts.iter_rows())}
        if self.rows_in != self.bars.height + self.quarantined.height:
            raise DataError(f"rows do not add up: {out}", code="E_DATA_ROWS")
        return out


def prepare(
    raw: pl.DataFrame,
    *,
    calendar: str | None = None,
    min_bars: int = MIN_BARS,
    quality: QualityConfig = DEFAULTS,
    source: str = "",
) -> Prepared:
    """Clean raw rows: adjust, quarantine and flag by rule, report what is absent.

    Parameters
    ----------
    raw : polars.DataFrame
        As :func:`read_bars` returns, in any order.
    calendar : str, optional
        Of all symbols, or ``data`` for the union of the dates present; else each symbol's own.
    min_bars : int
        Symbols with fewer bars are quarantined whole, unless no symbol could have more.
    quality, source
        Thresholds of the rules; where the rows come from, for the error line.

    Raises
    ------
    DataError
        A column is missing, or no row is left.
    """
    require_columns(raw.columns, where="raw bars")
    stages = _Stages(typed(raw).with_row_index("row"))
    frame = stages.frame
    stages.drop(quality_rows.first_broken(quality_rows.row_rules(frame.columns, quality)))
    stages.drop(quality_rows.duplicates(stages.good))
    notes = order_notes(stages.good)
    notes += stages.fold(calendar)
    stages.good = stages.good.sort("symbol", "date")
    stages.drop_where(quality_rows.currency_changed(stages.good), "currency_changed")
    stages.flag(quality_rows.slightly_outside(stages.good))
    stages.good = _adjusted(stages.good)
    notes += _off_calendar(stages, calendar)
    notes += _off_level(stages, calendar, quality)
    stages.drop_where(quality_rows.too_short(stages.good, min_bars), "too_short")
    quarantined = stages.quarantined()
    if stages.good.is_empty():
        raise nothing_left(quarantined, source=source)
    _stand_still(stages, calendar, quality)
    bars = _labelled(stages.good, frame.columns, calendar)
    grid = calendars.session_grid(bars, calendar)
    missing = grid.join(stages.frame, on=["symbol", "date"], how="anti")
    notes += bar_notes(bars, missing, quality)
    stages.flag(missing, "session_missing")
    prepared = Prepared(
        bars,
        quarantined.select(QUARANTINE),
        missing,
        tuple(notes),
        rows_in=stages.frame.height,
        folded=raw.height - stages.frame.height,
        findings=stages.findings(quarantined),
    )
    prepared.accounting()
    return prepared


def panel_of(
    path: Path,
    *,
    symbols: Sequence[str] | None = None,
    calendar: str | None = None,
    members: pl.DataFrame | None = None,
    base_currency: str | None = None,
    rates: pl.DataFrame | None = None,
    min_bars: int = MIN_BARS,
    quality: QualityConfig = DEFAULTS,
) -> tuple[Panel, Prepared]:
    """Read, clean and align: from a path to a panel.

    Parameters
    ----------
    path : Path
        As in :func:`read_bars`.
    symbols : sequence of str, optional
        Keep these alone.
    members : polars.DataFrame, optional
        Of ``universe.checked_members``: who is in the universe when, and labels of the bars.
    base_currency, rates : optional
        As in ``currency.convert``; without the first every price stays as it is quoted.
    calendar, min_bars, quality
        As in :func:`prepare`.

    Raises
    ------
    DataError
        As in :func:`read_bars`, :func:`prepare` and ``currency.convert``, or a symbol that the
        files do not hold.
    """
    raw = read_bars(path, calendar=calendar)
    if symbols is not None:
        present = raw["symbol"].drop_nulls().unique().to_list()
        for symbol in symbols:
            if symbol not in present:
                raise DataError(
                    f"no bars of symbol {symbol!r}",
                    where=str(path),
                    fix=closest(symbol, present[:1000]),
                    code="E_SYMBOL",
                )
        raw = raw.filter(pl.col("symbol").is_in(list(symbols)))
    if members is not None:
        raw = labelled(raw, members)
    prepared = prepare(raw, calendar=calendar, min_bars=min_bars, quality=quality, source=str(path))
    bars, out, found, notes = in_currency(
        prepared.bars, prepared.quarantined, prepared.findings, base=base_currency, rates=rates
    )
    notes = (*prepared.notes, *notes)
    prepared = replace(prepared, bars=bars, quarantined=out, findings=found, notes=notes)
    names = list(calendars.calendars_of(prepared.bars, calendar).values())
    common = max(sorted(set(names)), key=names.count)
    periods = calendars.periods_per_year(common)
    held = prepared.bars if members is None else marked(prepared.bars, members)
    panel = Panel.from_frame(held, periods_per_year=periods)
    return panel, prepared


class _Stages:
    """Rows on their way through the rules: the good ones, why others left, and what was flagged."""

    def __init__(self, frame: pl.DataFrame):
        self.frame = frame
        self.good = frame
        self.left: list[pl.DataFrame] = []
        self.flagged: list[pl.DataFrame] = []

    def drop(self, rule: pl.Expr | pl.Series, value: pl.Series | None = None) -> int:
        """Take out the good rows for which ``rule`` is a name; return how many."""
        size = pl.lit(None, pl.Float64) if value is None else value
        judged = self.good.with_columns(rule.alias("rule"))
        if not judged["rule"].null_count() < judged.height:
            return 0
        judged = judged.with_columns(size.alias("value"))
        broken = judged.filter(pl.col("rule").is_not_null())
        told = quality_rows.with_detail(broken)
        self.left.append(told.select("row", "rule", "detail", "value"))
        self.good = judged.filter(pl.col("rule").is_null()).drop("rule", "value")
        return broken.height

    def drop_where(
        self, broken: pl.Expr | pl.Series, rule: str, value: pl.Series | None = None
    ) -> int:
        """Take out the good rows that break one rule; return how many."""
        return self.drop(pl.when(broken).then(pl.lit(rule)), value)

    def flag(self, rows: pl.DataFrame, rule: str | None = None) -> None:
        """List rows that stay."""
        if rows.height:
            self.flagged.append(findings_of(rows, rule=rule, verdict="flag"))

    def fold(self, calendar: str | None) -> list[str]:
        """Make one bar a session of good rows that are finer; say what became of them."""
        if "ts" not in self.good.columns:
            return []
        columns = self.good.drop("ts").columns
        self.good, notes = intraday.one_a_session(self.good, calendar)
        left = [self.frame.join(part, on="row", how="semi").select(columns) for part in self.left]
        self.frame = pl.concat([*left, self.good])
        return notes

    def quarantined(self) -> pl.DataFrame:
        """Rows that left, with their raw values."""
        row = self.frame.schema["row"]
        said = {"rule": pl.String, "detail": pl.String, "value": pl.Float64}
        named = pl.concat([pl.DataFrame(schema={"row": row, **said}), *self.left])
        joined = self.frame.join(named, on="row", how="inner")
        return joined.sort("symbol", "date", "row").select(*QUARANTINE, "value")

    def findings(self, quarantined: pl.DataFrame) -> pl.DataFrame:
        """Everything that was found, sorted."""
        bad = findings_of(quarantined, verdict="quarantine")
        found = pl.concat([no_findings(), bad, *self.flagged])
        return found.sort("symbol", "date", "rule", maintain_order=True)


def _adjusted(frame: pl.DataFrame) -> pl.DataFrame:
    """Scale the four prices by adj_close / close and keep the raw close."""
    frame = frame.with_columns(close_raw=pl.col("close"))
    if "adj_close" not in frame.columns:
        return frame
    factor = (pl.col("adj_close") / pl.col("close")).fill_null(1.0)
    return frame.with_columns(pl.col(PRICES) * factor)


def _off_calendar(stages: _Stages, calendar: str | None) -> list[str]:
    """Take out fillers of closed days; note other bars of such days."""
    grid = calendars.session_grid(stages.good, calendar)
    outside = quality_rows.closed_exchange_filler(grid, stages.good)
    fillers = outside.filter("filler")["row"].implode()
    dropped = stages.drop_where(pl.col("row").is_in(fillers), "closed_exchange_filler")
    kept = outside.height - dropped
    if not kept:
        return []
    first = outside.filter(~pl.col("filler")).row(0, named=True)
    return [
        f"{kept} bars on days that are no session of their exchange were kept, "
        f"first {first['symbol']} {first['date']}"
    ]


def _off_level(stages: _Stages, calendar: str | None, config: QualityConfig) -> list[str]:
    """Take out prices that leave their level; note and flag levels that moved."""
    stages.flag(quality_levels.splits(stages.good, config), "split_unadjusted")
    jumps = quality_levels.jumps(stages.good, config)
    notes = level_notes(stages.good.filter(pl.Series(jumps.confirming)))
    if jumps.held.any():
        stages.drop_where(pl.Series(jumps.held), "jump_unconfirmed", pl.Series(jumps.ratio))
    named = calendars.calendars_of(stages.good, calendar)
    ratio = quality_levels.spikes(stages.good, named, config)
    if np.isfinite(ratio).any():
        stages.drop_where(pl.Series(np.isfinite(ratio)), "spike_reverted", pl.Series(ratio))
    return notes


def _stand_still(stages: _Stages, calendar: str | None, config: QualityConfig) -> None:
    """Flag prices that stand still, rows without volume, copies, and lonely adjustments."""
    good, named = stages.good, calendars.calendars_of(stages.good, calendar)
    stages.flag(quality_series.stale_prices(good, named, config), "stale_price")
    stages.flag(quality_series.zero_volumes(good, named, config), "volume_zero")
    stages.flag(quality_series.repeated(good), "session_repeated")
    stages.flag(quality_series.adjustments(good, config), "adjustment_unmatched")


def _labelled(frame: pl.DataFrame, columns: Sequence[str], calendar: str | None) -> pl.DataFrame:
    """Columns of ``Bars`` first, then the labels that the input has.

    A row without a currency is in that of its symbol's other rows, of which ``currency_changed``
    left one: also before the first that names it, since a unit says nothing about a price. Only a
    symbol that never names one is in that of its exchange.
    """
    money = calendars.currencies_of(frame, calendar)
    said = pl.col("symbol").replace_strict(money, return_dtype=pl.String)
    if "currency" in columns:
        named = pl.col("currency")
        said = pl.coalesce(named, named.drop_nulls().first().over("symbol"), said)
    labels = [name for name in LABELS if name in columns and name != "currency"]
    return frame.with_columns(currency=said).select(*Bars.column_names(), *labels)
