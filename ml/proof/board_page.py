"""The board as a page for people: who wins on which market, and what the data could have shown.

For: Markdown, HTML and PNG of what ``board`` measured. Not for: measuring, or judging
(``standings``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backtest.canvas import figure_of, png_of
from backtest.pages import Block, Heading, Paragraph, Picture, Table, cell, to_html, to_markdown
from ml.proof.board import REFERENCES, SIMPLE
from ml.proof.cell import ALL, Cell
from ml.proof.standings import (
    CHANCE,
    LEAST,
    Board,
    Standing,
    board_standings,
    by_market,
    judges,
    mean,
)

TITLE = "The board: who wins, where, and by how much"
UNTOLD = {
    "oracle": "the regime table with the planted state, where the truth is known",
    "default": "the strategy's defaults, never changed",
    "buy_and_hold": "all symbols long, equally weighted",
    "hindsight": "the one candidate set that turned out best on these very sessions",
}
"""What the references are."""


def board_values(cells: Sequence[Cell]) -> dict[str, Any]:
    """Every standing as plain values, by market and strategy."""
    out: dict[str, Any] = {}
    groups = by_market(cells)
    standings = board_standings(groups)
    for market, found in groups.items():
        out[market] = {
            "markets": len(found),
            "synthetic": found[0].synthetic,
            "judged": judges(found),
            "accuracy": mean([one.accuracy for one in found]),
            "strategies": {
                strategy: {
                    one.learner: {
                        **{
                            k: v
                            for k, v in vars(one).items()
                            if k not in ("learner", "promoted", "judged")
                        },
                        "promoted": None if one.promoted is None else vars(one.promoted),
                        "verdict": one.verdict,
                    }
                    for one in table
                }
                for strategy, table in standings[market].items()
            },
        }
    return out


def unjudged(judged: Mapping[str, bool]) -> str | None:
    """Say on which markets there is no verdict, and why; None where there is one on all."""
    names = ", ".join(market for market, told in judged.items() if not told)
    if not names:
        return None
    return (
        f"NOT JUDGED: {names}. The markets are smaller than those that verdicts are made for "
        "(`--short`), or just two of a world. They show what the page looks like."
    )


def board_blocks(cells: Sequence[Cell]) -> list[Block]:
    """Lay out the page."""
    groups = by_market(cells)
    standings = board_standings(groups)
    small = unjudged({market: judges(found) for market, found in groups.items()})
    blocks: list[Block] = [
        Heading(TITLE, 1),
        *([] if small is None else [Paragraph(small, note=True)]),
        Paragraph(
            "Every learner decides on the same candidate sets, at the same sessions, under the "
            "same costs, and is judged out of sample. Markets marked SYNTHETIC have a planted "
            "truth; nothing on them says anything of a real one. A learner that does not beat the "
            "best of those without its cleverness says so in its row.",
            note=True,
        ),
        Heading("In short"),
        short_table(standings),
        Paragraph("Mean net Sharpe ratio a year; where intervals overlap, the order says nothing."),
        Picture("board.png", board_plot(groups, standings), "Net Sharpe ratios of every learner"),
        Heading("How to read it"),
        *_told(cells),
    ]
    for market, found in groups.items():
        blocks += [Heading(_title(market, found)), Paragraph(_market(found))]
        for strategy, table in standings[market].items():
            if len(standings[market]) > 1:
                blocks.append(
                    Heading("all strategies, equally weighted" if strategy == ALL else strategy, 3)
                )
            blocks.append(market_table(table))
    return blocks


def _told(cells: Sequence[Cell]) -> list[Block]:
    """Say what the columns and rows of these markets are."""
    walked = {row.learner for one in cells for row in one.rows}
    simple = ", ".join(name for name in SIMPLE if name in walked)
    beside = "; ".join(f"`{name}`: {UNTOLD[name]}" for name in REFERENCES if name in walked)
    return [
        Paragraph(
            "Sharpe: annual, net of costs, out of sample, mean over markets; interval 95 %, by "
            "Student's t over seeds, or by the stationary bootstrap where there is one market. "
            "Capture: part of what the true state adds to `static` that the learner adds. Neither, "
            f"nor a t, is told of fewer than {LEAST} seeds: so few say nothing of their spread. "
            "Ranking: share of pairs of sets with a material gap over the next 30 sessions that "
            "the scores had in order. Break-even: cost per side at which nothing is left. ms: "
            "processor time of one decision, without the regimes. Gate: markets on which it would "
            "have been promoted over `static` and the defaults, asked after every session, all "
            "learners registered together on all strategies, every policy counted. Smallest gain: "
            "Sharpe ratio a year over `static` that so many sessions could have shown at all."
        ),
        Paragraph(
            "Verdict: against the best simple learner, with the paired t over seeds (HAC over "
            "sessions where there is one market). A gain is called one where chance alone gives "
            f"such a t with a probability of at most {CHANCE:.1%} divided by the number of "
            f"verdicts on the page: so at most {CHANCE:.1%} of boards call any gain that is none. "
            f"{simple} know no regimes; the regime table must beat the best of them, all others "
            "the regime table too. These are walked whatever learners are asked for, and all that "
            "are walked count."
        ),
        Paragraph(f"Rows that no learner decides, and that are not judged: {beside}."),
    ]


def board_files(cells: Sequence[Cell]) -> dict[str, bytes]:
    """Render ``board.md`` with its PNG, and ``board.html``, which holds it."""
    blocks = board_blocks(cells)
    files = {block.name: block.png for block in blocks if isinstance(block, Picture)}
    files["board.md"] = to_markdown(blocks).encode()
    files["board.html"] = to_html(blocks, title=TITLE).encode()
    return files


def short_table(standings: Board) -> Table:
    """One row per learner, one column per market."""
    known = {
        market: {one.learner: f"{one.sharpe:+.2f}" for one in next(iter(tables.values()))}
        for market, tables in standings.items()
    }
    names = {name for told in known.values() for name in told if name not in REFERENCES}
    rows = [(name, *(told.get(name, "-") for told in known.values())) for name in sorted(names)]
    return Table(("learner", *standings), tuple(rows))


def market_table(table: Sequence[Standing]) -> Table:
    """One row per learner and reference, best first."""
    rows = []
    for one in table:
        gain = "-" if one.gain is None else f"{one.gain:+.2f} (t {cell(one.t, '{:.1f}')})"
        interval = "-" if one.low is None else f"{one.low:+.2f} to {one.high:+.2f}"
        gate = "-"
        if one.promoted is not None:
            gate = f"{one.promoted.count}/{one.promoted.of}"
        rows.append(
            (
                one.learner,
                one.verdict,
                f"{one.sharpe:+.2f}",
                interval,
                cell(one.capture, "{:.2f}"),
                cell(one.ranking, "{:.2f}"),
                f"{one.turnover:.0f}",
                cell(one.break_even_bps, "{:.1f}"),
                f"{one.max_drawdown:.1%}",
                gain,
                gate,
                cell(one.smallest_gain, "{:.2f}"),
                f"{one.milliseconds:.1f}" if one.learner not in REFERENCES else "-",
            )
        )
    header = ("learner", "verdict", "Sharpe", "95 %", "capture", "ranking", "turnover")
    last = ("break-even bps", "drawdown", "gain", "gate", "smallest gain", "ms")
    return Table((*header, *last), tuple(rows), words=2)


def _title(market: str, found: Sequence[Cell]) -> str:
    return f"{market} (SYNTHETIC)" if found[0].synthetic else market


def _market(found: Sequence[Cell]) -> str:
    """Say which markets these are."""
    one, accuracy = found[0], mean([c.accuracy for c in found])
    seeds = f"{len(found)} markets, seeds from {one.seed} on, " if len(found) > 1 else ""
    said = (
        f"{seeds}{one.symbols} symbols x {one.sessions:,} sessions, {one.out_of_sample:,} of them "
        f"out of sample ({one.first} to {one.last}), {one.cost * 1e4:g} basis points per side."
    )
    return said if accuracy is None else f"{said} State accuracy {accuracy:.2f}."


def board_plot(groups: Mapping[str, Sequence[Cell]], standings: Board) -> bytes:
    """Draw mean Sharpe ratios with their intervals: one panel per market, one line a learner."""
    synthetic = any(found[0].synthetic for found in groups.values())
    shown = {market: next(iter(tables.values()))[::-1] for market, tables in standings.items()}
    most = max(len(order) for order in shown.values())
    figure, panels = figure_of(len(groups), 0.6 + 0.2 * most, synthetic=False, columns=2)
    for axes, (market, found) in zip(panels, groups.items(), strict=True):
        order = shown[market]
        for row, one in enumerate(order):
            colour = "#8a8a8a"
            if one.learner not in (*SIMPLE, *REFERENCES):
                colour = "#0072b2"
            elif one.learner in REFERENCES:
                colour = "#d0d4d8"
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [row, row], color=colour, lw=1.6)
            axes.plot(one.sharpe, row, "o", color=colour, ms=4.5)
        axes.axvline(0.0, color="#c9ced4", lw=1.0, zorder=0)
        axes.set_yticks(range(len(order)), [one.learner for one in order], fontsize=8)
        told = "" if judges(found) else " - not judged"
        axes.set_title(_title(market, found) + told, loc="left", fontsize=10)
    words = "net Sharpe ratio a year, out of sample, 95 % (blue: regimes or learners of learners)"
    figure.supxlabel(words + ("; SYNTHETIC where marked" if synthetic else ""), fontsize=9)
    return png_of(figure)
