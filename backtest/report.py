"""The evidence of one walk-forward as a page for people: Markdown, HTML and pictures.

For: equity of all variants, regimes over price, parameters over time, cost break-even, what was
set aside, and the gate with every criterion. Not for: computing any of it, or how robust it is
(``robustness_page``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from backtest import plots
from backtest.pages import Block, Heading, Paragraph, Picture, Table, cell, to_html, to_markdown
from backtest.robustness_page import robustness_blocks, robustness_pictures

VARIANTS = {
    "regime_aware": "the proposal: a mix of parameter sets, weighted by the regime",
    "regime_aware_single": "the heaviest member of that mix alone",
    "exported": "what would have been in force: the gate and bounded steps on top",
    "static": "the same mix without regimes",
    "experts": "a mix that follows what worked lately, without regimes",
    "default": "the strategy's default parameters",
    "incumbent": "the parameters that were handed in",
    "buy_and_hold": "all symbols, long, equal weight",
    "oracle": "the true state of a synthetic market, which nobody can know",
}


@dataclass(frozen=True)
class Story:
    """What a report tells.

    Parameters
    ----------
    title : str
    evidence : mapping
        Content of ``evidence.json``; it also says whether the market is made up, and then the
        page and each picture say so.
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
    facts : mapping of str to str
        Further lines under the title: source, snapshot.
    robustness : mapping of str to polars.DataFrame
        Tables of ``ml.robustness`` by name; without them the page is silent about it.
    """

    title: str
    evidence: Mapping[str, Any]
    returns: pl.DataFrame
    decisions: pl.DataFrame
    regimes: pl.DataFrame
    prices: pl.DataFrame
    quarantined: pl.DataFrame
    facts: Mapping[str, str] = field(default_factory=dict)
    robustness: Mapping[str, pl.DataFrame] = field(default_factory=dict)


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
    found = story.evidence
    marked = {"synthetic": bool(found["synthetic"])}
    terms = {"cost_bps": found["cost_bps"], "periods": found["periods_per_year"]}
    streams = story.returns.filter(pl.col("strategy").is_in(list(_parts(found))))
    drawn = [
        Picture(
            "equity.png",
            plots.equity_plot(streams, **marked),
            "Equity after costs of every variant, out of sample",
        ),
        Picture(
            "regimes.png",
            plots.regime_plot(story.prices, story.regimes, **marked),
            "Regimes as each close was told them, over the equal-weight market",
        ),
        Picture(
            "cost.png",
            plots.cost_plot(streams, **terms, **marked),
            "Sharpe ratio against cost per side",
        ),
    ]
    for name in story.decisions["strategy"].unique(maintain_order=True):
        png = plots.parameter_plot(story.decisions, strategy=name, **marked)
        caption = f"{name}: parameters of the heaviest member over time"
        drawn.append(Picture(f"parameters_{name}.png", png, caption))
    return [*drawn, *robustness_pictures(story.robustness, found)]


def report_blocks(story: Story, drawn: list[Picture]) -> list[Block]:
    """Lay out the page: the verdict first, then what it rests on."""
    by_name = {picture.name: picture for picture in drawn}
    found = story.evidence
    blocks: list[Block] = [Heading(story.title, 1)]
    if found["synthetic"]:
        warning = "SYNTHETIC MARKET: no number here says anything of a real one."
        blocks.append(Paragraph(warning, note=True))
    blocks += [_facts(story), *_verdict(found)]
    blocks += [Heading("Equity of all variants"), by_name["equity.png"], legend(found["variants"])]
    for name, part in _parts(found).items():
        blocks += [Heading(name, 3), variants_table(part["variants"])]
    blocks += [*_gate(found), *best_blocks(found)]
    blocks += robustness_blocks(story.robustness, found, by_name)
    blocks += [Heading("Regimes over price"), by_name["regimes.png"]]
    blocks += [Heading("Parameters over time")]
    blocks += [picture for picture in drawn if picture.name.startswith("parameters_")]
    blocks += [Heading("Cost"), by_name["cost.png"]]
    return [*blocks, Heading("Rows set aside"), *quarantine_blocks(story.quarantined)]


def _parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Sections of the evidence by strategy; all together only where there are several."""
    whole = {"all": found} if len(found["strategies"]) > 1 else {}
    return {**whole, **found["strategies"]}


def _facts(story: Story) -> Table:
    """Under which terms the numbers hold."""
    found = story.evidence
    terms = {
        "out of sample": f"{found['first']} to {found['last']}, {found['sessions']} sessions",
        "book": str(found["book"]),
        "cost": f"{found['cost_bps']:g} basis points per side",
        "seed": str(found["seed"]),
    }
    return Table(("what", ""), tuple({**story.facts, **terms}.items()), words=2)


def _verdict(found: Mapping[str, Any]) -> list[Block]:
    """One sentence per strategy, and whether "regime-aware" may be claimed at all."""
    lines: list[Block] = [Heading("Verdict")]
    for name, part in found["strategies"].items():
        if part["promoted"]:
            text = f"{name}: regime-aware parameters were promoted on {part['promoted_at']}."
        else:
            failed = [line["criterion"] for line in _criteria(found, name) if not line["passed"]]
            text = f"{name}: hold, champion {part['champion']}; not passed: {', '.join(failed)}."
        smallest = part["smallest_gain"]
        if smallest is not None:
            text += f" Smallest gain that this span could have shown: {smallest:.2f} Sharpe a year."
        lines.append(Paragraph(text))
    return [*lines, Paragraph(f"Claim: {found['claim']['reason']}.")]


def _criteria(found: Mapping[str, Any], strategy: str) -> list[Mapping[str, Any]]:
    return [line for line in found["criteria"] if line["strategy"] == strategy]


def _gate(found: Mapping[str, Any]) -> list[Block]:
    """Every criterion of every strategy, the paired tests, and what is not there yet."""
    blocks: list[Block] = [Heading("The gate")]
    for name, part in found["strategies"].items():
        said = f"{part['policies']} policies and {part['candidates']} candidate sets counted; "
        said += f"batch {part['batch']} of this champion's challengers, alpha {part['alpha']:.4f}."
        if part["promoted"]:
            said += f" The criteria stand as on {part['promoted_at']}, the session of the promotion"
            said += f"; the comparisons below them as on {found['last']}."
        blocks += [Heading(name, 3), Paragraph(said), gate_table(_criteria(found, name))]
        blocks += [paired_table(part["paired"])]
    blocks += [Paragraph(f"{name}: {why}.") for name, why in found["reasons"].items()]
    return blocks


def best_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Say what the best set in hindsight is worth; nothing where the evidence doesn't tell."""
    given = {n: g for n, p in found["strategies"].items() if (g := p.get("best_of_grid"))}
    if not given:
        return []
    rows = tuple(
        (name, *(cell(one[key], form) for _, key, form in _BEST)) for name, one in given.items()
    )
    text = (
        "The best candidate over all sessions, as a grid search would pick it, with every candidate"
        " counted. PBO is the share of cross-validation splits whose winner ends in the lower half"
        " of the other half; on sets of equal merit it is as the null says. It decides nothing."
    )
    header = ("strategy", *(title for title, _, _ in _BEST))
    return [Heading("Best of the grid, in hindsight"), Paragraph(text), Table(header, rows)]


_BEST = (
    ("candidates", "candidates", "{:.0f}"),
    ("clusters", "effective_candidates", "{:.0f}"),
    ("Sharpe", "sharpe", "{:+.2f}"),
    ("PSR", "psr", "{:.3f}"),
    ("DSR", "dsr", "{:.3f}"),
    ("PBO", "pbo", "{:.2f}"),
    ("null mean", "pbo_null_mean", "{:.2f}"),
    ("null deviation", "pbo_null_deviation", "{:.2f}"),
    ("null at or below", "pbo_null_below", "{:.2f}"),
)
_COLUMNS = (
    ("Sharpe", "sharpe", "{:+.2f}"),
    ("PSR", "psr", "{:.3f}"),
    ("DSR", "dsr", "{:.3f}"),
    ("return", "total_return", "{:+.1%}"),
    ("volatility", "volatility", "{:.1%}"),
    ("drawdown", "max_drawdown", "{:.1%}"),
    ("turnover/year", "turnover", "{:.1f}"),
    ("break-even bps", "cost_break_even_bps", "{:.1f}"),
)


def legend(variants: Mapping[str, Any]) -> Table:
    """Say what each variant is, in a few words."""
    rows = tuple((name, VARIANTS[name]) for name in _ordered(variants) if name in VARIANTS)
    return Table(("variant", "what it is"), rows, words=2)


def _ordered(names: Iterable[str]) -> list[str]:
    """Names of variants in the order of the legend; others last, as they came."""
    known = list(VARIANTS)
    return sorted(names, key=lambda name: known.index(name) if name in VARIANTS else len(known))


def variants_table(variants: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per variant; what is undefined is a dash."""
    header = ("variant", "Sharpe", "95 % interval", *(title for title, _, _ in _COLUMNS[1:]))
    rows = []
    for name in _ordered(variants):
        found = variants[name]
        low, high = found.get("sharpe_interval") or (None, None)
        between = "-" if low is None else f"{low:+.2f} to {high:+.2f}"
        cells = [cell(found.get(key), form) for _, key, form in _COLUMNS]
        rows.append((name, cells[0], between, *cells[1:]))
    return Table(header, tuple(rows))


def gate_table(criteria: list[Mapping[str, Any]]) -> Table:
    """Every criterion with its value, its limit and whether it was passed; remarks if any."""
    header = ("criterion", "result", "remark", "value", "limit")
    rows = tuple(
        (
            str(line["criterion"]),
            "passed" if line["passed"] else "not passed",
            str(line["reason"] or ""),
            cell(line["value"], "{:.4g}"),
            cell(
                line["limit"], "at least {:.4g}" if line["better"] == "above" else "at most {:.4g}"
            ),
        )
        for line in criteria
    )
    if any(row[2] for row in rows):
        return Table(header, rows, words=3)
    return Table((*header[:2], *header[3:]), tuple((*row[:2], *row[3:]) for row in rows), words=2)


def paired_table(paired: Mapping[str, Mapping[str, Any]]) -> Table:
    """Compare the regime-aware variant with each other policy on the last session."""
    keys = ("t", "limit", "sharpe_gain", "smallest_gain")
    rows = tuple(
        (name, *(cell(paired[name][key], "{:+.2f}") for key in keys)) for name in _ordered(paired)
    )
    return Table(("regime_aware against", "t", "limit", "gain, Sharpe", "smallest gain"), rows)


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
    return [Table(("rule", "rows", "symbols"), by_rule), Table(names, first, words=4)]


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
