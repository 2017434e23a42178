"""The evidence of one walk-forward as a page for people: Markdown, HTML and pictures.

For: equity of all variants, regimes over price, parameters over time, cost break-even, what was
set aside, and the gate with every criterion. Not for: computing any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from backtest import plots
from backtest.pages import Block, Heading, Paragraph, Picture, Table, to_html, to_markdown


@dataclass(frozen=True)
class Story:
    """What a report tells.

    Parameters
    ----------
    title : str
    synthetic : bool
        Whether the market is made up; the page and each picture say so.
    evidence : mapping
        Content of ``evidence.json``.
    returns : polars.DataFrame
        ``date, strategy, variant, net_return, turnover``, out of sample.
    decisions : polars.DataFrame
        ``date, strategy, parameters, mix, by_regime, confidence, action``.
    regimes : polars.DataFrame
        Published rows, one per session.
    prices : polars.DataFrame
        ``date, level``; see :func:`price_index`.
    quarantined : polars.DataFrame
        ``symbol, date, rule, detail`` and the row's values.
    cost_bps : float
        Per side, already taken off ``returns``.
    periods : int
        Sessions per year.
    facts : mapping of str to str
        Further lines under the title: source, span, snapshot.
    """

    title: str
    synthetic: bool
    evidence: Mapping[str, Any]
    returns: pl.DataFrame
    decisions: pl.DataFrame
    regimes: pl.DataFrame
    prices: pl.DataFrame
    quarantined: pl.DataFrame
    cost_bps: float
    periods: int = 252
    facts: Mapping[str, str] = field(default_factory=dict)


def price_index(bars: pl.DataFrame) -> pl.DataFrame:
    """Level of the equal-weight market, 1 on the first session.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, date, close``, sorted by symbol then date.

    Returns
    -------
    polars.DataFrame
        ``date, level``, sorted by date.
    """
    change = pl.col("close") / pl.col("close").shift(1).over("symbol") - 1.0
    return (
        bars.select("date", change.alias("change"))
        .group_by("date")
        .agg(pl.col("change").mean())
        .sort("date")
        .select("date", (1.0 + pl.col("change").fill_null(0.0)).cum_prod().alias("level"))
    )


def pictures(story: Story) -> list[Picture]:
    """Draw every picture of the report."""
    marked = {"synthetic": story.synthetic}
    drawn = [
        Picture(
            "equity.png",
            plots.equity_plot(story.returns, **marked),
            "Equity after costs of every variant, out of sample",
        ),
        Picture(
            "regimes.png",
            plots.regime_plot(story.prices, story.regimes, **marked),
            "Regimes as each close was told them, over the equal-weight market",
        ),
        Picture(
            "cost.png",
            plots.cost_plot(
                story.returns, cost_bps=story.cost_bps, periods=story.periods, **marked
            ),
            "Sharpe ratio against cost per side",
        ),
    ]
    for name in story.decisions["strategy"].unique(maintain_order=True):
        png = plots.parameter_plot(story.decisions, strategy=name, **marked)
        caption = f"{name}: parameters of the heaviest member over time"
        drawn.append(Picture(f"parameters_{name}.png", png, caption))
    return drawn


def report_blocks(story: Story, drawn: list[Picture]) -> list[Block]:
    """Lay out the page: the verdict first, then what it rests on."""
    by_name = {picture.name: picture for picture in drawn}
    strategies = story.evidence["strategies"]
    blocks: list[Block] = [Heading(story.title, 1)]
    if story.synthetic:
        blocks.append(
            Paragraph("SYNTHETIC MARKET: no number here says anything of a real one.", True)
        )
    blocks += [Table(("what", ""), tuple(story.facts.items()))] if story.facts else []
    blocks += _verdict(story)
    blocks += [Heading("Equity of all variants"), by_name["equity.png"]]
    for name, part in strategies.items():
        blocks += [Heading(name, 3), variants_table(part["variants"])]
    blocks += [Heading("The gate")]
    for name, part in strategies.items():
        if part.get("criteria"):
            blocks += [Heading(name, 3), gate_table(part["criteria"])]
    blocks += [Heading("Regimes over price"), by_name["regimes.png"]]
    blocks += [Heading("Parameters over time")]
    blocks += [picture for picture in drawn if picture.name.startswith("parameters_")]
    blocks += [Heading("Cost"), by_name["cost.png"]]
    return [*blocks, Heading("Rows set aside"), *quarantine_blocks(story.quarantined)]


def _verdict(story: Story) -> list[Block]:
    """One sentence per strategy: promoted or held, and what could have been seen at all."""
    lines: list[Block] = [Heading("Verdict")]
    for name, part in story.evidence["strategies"].items():
        if not part.get("criteria"):
            continue
        if part["promoted"]:
            text = f"{name}: regime-aware parameters were promoted on {part['promoted_at']}."
        else:
            failed = [c["name"] for c in part["criteria"] if not c["passed"]]
            text = f"{name}: hold; not passed: {', '.join(failed) or 'none'}."
        smallest = part.get("smallest_gain")
        if smallest is not None:
            text += f" Smallest gain that this span could have shown: {smallest:.2f} Sharpe a year."
        lines.append(Paragraph(text))
    return lines


_COLUMNS = (
    ("Sharpe", "sharpe", "{:+.2f}"),
    ("PSR", "psr", "{:.3f}"),
    ("DSR", "dsr", "{:.3f}"),
    ("total return", "total_return", "{:+.1%}"),
    ("volatility", "volatility", "{:.1%}"),
    ("max drawdown", "max_drawdown", "{:.1%}"),
    ("turnover a year", "turnover", "{:.1f}"),
    ("break-even bps", "cost_break_even_bps", "{:.1f}"),
)


def variants_table(variants: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per variant; what is undefined is a dash."""
    header = ("variant", "Sharpe", "95 % interval", *(title for title, _, _ in _COLUMNS[1:]))
    rows = []
    for name, found in variants.items():
        low, high = found.get("sharpe_interval") or (None, None)
        between = "-" if low is None else f"{low:+.2f} to {high:+.2f}"
        cells = [_said(found.get(key), form) for _, key, form in _COLUMNS]
        rows.append((name, cells[0], between, *cells[1:]))
    return Table(header, tuple(rows))


def gate_table(criteria: list[Mapping[str, Any]]) -> Table:
    """Every criterion with its value, its limit and whether it was passed."""
    rows = tuple(
        (
            str(one["name"]),
            _said(one.get("value"), "{:.4g}"),
            _said(one.get("limit"), "{:.4g}"),
            "yes" if one["passed"] else "no",
            str(one.get("reason") or ""),
        )
        for one in criteria
    )
    return Table(("criterion", "value", "limit", "passed", "remark"), rows)


def quarantine_blocks(quarantined: pl.DataFrame, *, examples: int = 10) -> list[Block]:
    """Count by rule, and the first rows of each; one sentence where nothing was set aside."""
    if quarantined.is_empty():
        return [Paragraph("None: every row kept every rule.")]
    counts = quarantined.group_by("rule").agg(
        pl.len().alias("rows"), pl.col("symbol").n_unique().alias("symbols")
    )
    by_rule = tuple(
        (rule, str(rows), str(symbols)) for rule, rows, symbols in counts.sort("rule").iter_rows()
    )
    shown = quarantined.sort("rule", "symbol", "date").group_by("rule", maintain_order=True).head(2)
    names = ("rule", "symbol", "date", "detail")
    first = tuple(tuple(str(v or "") for v in row) for row in shown.select(names).rows()[:examples])
    return [Table(("rule", "rows", "symbols"), by_rule), Table(names, first)]


def report_files(story: Story) -> dict[str, bytes]:
    """Render the report: ``report.md`` with its PNGs, and ``report.html``, which holds them.

    Returns
    -------
    dict of str to bytes
        Content by file name; the same story gives the same bytes.
    """
    drawn = pictures(story)
    blocks = report_blocks(story, drawn)
    files = {picture.name: picture.png for picture in drawn}
    files["report.md"] = to_markdown(blocks).encode()
    files["report.html"] = to_html(blocks, title=story.title).encode()
    return files


def _said(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
