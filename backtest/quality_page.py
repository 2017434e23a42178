"""The quality of bars as a page that a trader reads in a minute.

For: how many rows were found by which rule, the worst symbols, the worst single findings with the
price around them, and the thresholds in force. Not for: finding anything (``market.quality``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from backtest.market.quality import RULES, QualityConfig
from backtest.pages import Block, Heading, Paragraph, Picture, Table
from backtest.quality_plots import AROUND, findings_plot

WORST_SYMBOLS = 10
WORST_FINDINGS = 12
DRAWN = 6
PICTURE = "quality.png"
_LEVELS = ("split_unadjusted", "spike_reverted", "jump_unconfirmed", "adjustment_unmatched")
_LAGS = {0: "at once", 1: "1 bar later", 2: "2 bars later"}


@dataclass(frozen=True)
class QualityStory:
    """What a page of quality is told.

    Parameters
    ----------
    title : str
    bars : polars.DataFrame
        What stayed, with ``close_raw``.
    findings : polars.DataFrame
        As ``Prepared.findings``.
    quarantined : polars.DataFrame
        ``symbol, date, close`` of the rows that were taken out, raw.
    rows_in : int
    config : QualityConfig
        Thresholds in force.
    notes : tuple of str
    synthetic : bool
    """

    title: str
    bars: pl.DataFrame
    findings: pl.DataFrame
    quarantined: pl.DataFrame
    rows_in: int
    config: QualityConfig
    notes: tuple[str, ...] = ()
    synthetic: bool = False


def quality_summary(story: QualityStory) -> dict[str, Any]:
    """Count the findings, as plain values.

    Returns
    -------
    dict
        ``rows_in``, ``rows_out``, ``quarantined``, ``flags``, ``missing`` (sessions), ``symbols``,
        ``first``, ``last``, ``rules``, ``worst_symbols``, ``worst_findings`` and ``thresholds``.
    """
    found, bars = story.findings, story.bars
    missing = found.filter(pl.col("rule") == "session_missing").height
    quarantined = found.filter(pl.col("severity") == "quarantine").height
    return {
        "title": story.title,
        "synthetic": story.synthetic,
        "rows_in": story.rows_in,
        "rows_out": bars.height,
        "quarantined": quarantined,
        "flags": found.height - quarantined - missing,
        "missing": missing,
        "symbols": bars["symbol"].n_unique(),
        "first": str(bars["date"].min()),
        "last": str(bars["date"].max()),
        "rules": _plain(_by_rule(found, story.rows_in)),
        "worst_symbols": _plain(_by_symbol(found, bars)),
        "worst_findings": _plain(worst_findings(found)),
        "thresholds": story.config.model_dump(),
        "notes": list(story.notes),
    }


def _by_rule(found: pl.DataFrame, rows_in: int) -> pl.DataFrame:
    """Findings, symbols and dates by rule and verdict, in the order of the rules."""
    order = {name: i for i, name in enumerate(RULES)}
    counted = found.group_by("rule", "severity").agg(
        pl.len().alias("findings"),
        pl.col("symbol").n_unique().alias("symbols"),
        (pl.len() / max(rows_in, 1)).alias("share"),
        pl.col("date").min().alias("first"),
        pl.col("date").max().alias("last"),
    )
    placed = pl.col("rule").replace_strict(order, return_dtype=pl.Int64)
    lags = {name: rule.lag for name, rule in RULES.items()}
    lag = pl.col("rule").replace_strict(lags, return_dtype=pl.Int64)
    return counted.sort(placed, "severity").with_columns(lag.alias("lag"))


def _by_symbol(found: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Symbols with the largest share of their rows (and missing sessions) found."""
    bad = pl.col("severity") == "quarantine"
    gap = pl.col("rule") == "session_missing"
    counted = (
        found.drop_nulls("symbol")
        .group_by("symbol")
        .agg(
            bad.sum().alias("quarantined"),
            (~bad & ~gap).sum().alias("flags"),
            gap.sum().alias("missing"),
            pl.col("rule").value_counts(sort=True).first().struct.field("rule").alias("mostly"),
        )
    )
    rows = bars.group_by("symbol").agg(pl.len().alias("rows"))
    joined = counted.join(rows, on="symbol", how="left").with_columns(
        pl.col("rows").fill_null(0) + pl.col("quarantined")
    )
    expected = pl.max_horizontal(pl.col("rows") + pl.col("missing"), 1)
    touched = pl.sum_horizontal("quarantined", "flags", "missing")
    shared = joined.with_columns((touched / expected).alias("share"))
    picked = shared.sort("share", "symbol", descending=[True, False]).head(WORST_SYMBOLS)
    return picked.select("symbol", "rows", "quarantined", "flags", "missing", "share", "mostly")


def worst_findings(found: pl.DataFrame) -> pl.DataFrame:
    """Single findings about levels of prices, largest first; a level that moved on comes first."""
    kept = found.filter(pl.col("rule").is_in(_LEVELS)).drop_nulls(["value", "date"])
    size = pl.col("value").log().abs()
    first = kept.sort(size, descending=True, maintain_order=True).unique(
        ["symbol", "date"], keep="first", maintain_order=True
    )
    return first.head(WORST_FINDINGS).select(
        "symbol", "date", "rule", "severity", "value", "detail"
    )


def quality_pictures(story: QualityStory) -> list[Picture]:
    """Draw the worst findings; nothing where no level of a price was found wrong."""
    spots = _apart(worst_findings(story.findings))
    if not spots:
        return []
    png = findings_plot(
        spots,
        bars=story.bars,
        quarantined=story.quarantined,
        synthetic=story.synthetic,
    )
    caption = "Raw close around the worst findings; crosses: rows that were taken out"
    return [Picture(PICTURE, png, caption)]


def _apart(worst: pl.DataFrame) -> list[tuple[str, date, str]]:
    """Findings to draw: none of them would show in the panel of another."""
    spots: list[tuple[str, date, str]] = []
    for symbol, day, rule in worst.select("symbol", "date", "rule").iter_rows():
        near = (abs((day - one[1]).days) <= AROUND for one in spots if one[0] == symbol)
        if len(spots) < DRAWN and not any(near):
            spots.append((symbol, day, rule))
    return spots


def quality_blocks(told: Mapping[str, Any], drawn: list[Picture]) -> list[Block]:
    """Lay out the page.

    Parameters
    ----------
    told : mapping
        As :func:`quality_summary` returns it.
    drawn : list of Picture
        As :func:`quality_pictures` returns it.
    """
    blocks: list[Block] = [Heading(f"Data quality: {told['title']}", 1)]
    if told["synthetic"]:
        blocks.append(Paragraph("SYNTHETIC MARKET", note=True))
    blocks.append(Paragraph(_totals(told)))
    if told["rules"]:
        blocks += [Heading("What was found"), _rules_table(told["rules"])]
        blocks += [Heading("Worst symbols"), _symbols_table(told["worst_symbols"])]
    if told["worst_findings"]:
        blocks += [Heading("Worst single findings"), *drawn]
        blocks.append(_findings_table(told["worst_findings"]))
    blocks += [Heading("Thresholds in force"), _thresholds_table(told["thresholds"])]
    if told["notes"]:
        blocks += [Heading("Notes"), *(Paragraph(f"{note}.") for note in told["notes"])]
    return blocks


def _totals(told: Mapping[str, Any]) -> str:
    """Say in one breath what came in and what became of it."""
    return (
        f"{told['rows_in']:,} rows in = {told['rows_out']:,} bars + {told['quarantined']:,} rows "
        f"quarantined. {told['flags']:,} flags on rows that stay, {told['missing']:,} sessions "
        f"without a bar. {told['symbols']} symbols, {told['first']} to {told['last']}."
    )


def _rules_table(rules: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            one["rule"],
            one["severity"],
            f"{one['findings']:,}",
            str(one["symbols"]),
            f"{one['share']:.3%}",
            one["first"] or "-",
            one["last"] or "-",
            _LAGS[one["lag"]],
        )
        for one in rules
    )
    header = ("rule", "verdict", "findings", "symbols", "of rows", "first", "last", "known")
    return Table(header, rows, words=2)


def _symbols_table(symbols: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            one["symbol"],
            one["mostly"],
            *(f"{one[name]:,}" for name in ("rows", "quarantined", "flags", "missing")),
            f"{one['share']:.2%}",
        )
        for one in symbols
    )
    header = ("symbol", "mostly", "rows in", "quarantined", "flags", "missing", "share found")
    return Table(header, rows, words=2)


def _findings_table(worst: list[dict[str, Any]]) -> Table:
    words = ("symbol", "date", "rule", "severity", "detail")
    rows = tuple((*(one[name] for name in words), f"{one['value']:.4g}") for one in worst)
    return Table(("symbol", "date", "rule", "verdict", "detail", "times"), rows, words=5)


def _thresholds_table(thresholds: Mapping[str, float]) -> Table:
    readers = {
        name: ", ".join(rule for rule, one in RULES.items() if name in one.thresholds)
        for name in thresholds
    }
    rows = tuple((f"quality.{n}", readers[n], f"{value:g}") for n, value in thresholds.items())
    return Table(("threshold", "read by", "value"), rows, words=2)


def _plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, dates as text."""
    return [
        {name: str(v) if isinstance(v, date) else v for name, v in row.items()}
        for row in frame.iter_rows(named=True)
    ]
