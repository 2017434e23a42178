"""The board as a page for people: who wins on which market, and what the data could have shown.

For: Markdown, HTML and PNG of what ``board`` measured. Not for: measuring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from backtest.canvas import figure_of, png_of
from backtest.market.synthetic import WORLD_NAMES
from backtest.pages import Block, Heading, Paragraph, Picture, Table, cell, to_html, to_markdown
from ml.proof.board import PASSIVE, REFERENCES
from ml.proof.cell import ALL, Cell, Row
from ml.proof.scorecard import MATERIAL, Rate, rate

Floats = npt.NDArray[np.float64]

TITLE = "The board: who wins, where, and by how much"
SIMPLE = (
    "cash",
    "static",
    "argmax_static",
    "recent",
    "weighted",
    "experts",
    "volatility_targeted",
    "directions",
)
"""Learners without regimes; the regime table must beat the best of them."""
ALWAYS = (*SIMPLE, "regime_table")
"""Every other learner must beat the best of these."""
CHANCE = 0.025
"""Chance of calling a gain one that is none, shared out among the learners that are no baseline."""


@dataclass(frozen=True)
class Standing:
    """One learner on all markets of one name.

    Parameters
    ----------
    learner : str
    sharpe : float
        Mean annual net Sharpe ratio; a stream that never moved is cash.
    low, high : float or None
        95 %: by Student's t over seeds, or by the bootstrap where there is one market.
    capture : float or None
        Part of what the true state adds to ``static`` that it adds.
    ranking, turnover, break_even_bps, max_drawdown : float or None
        Means over markets; the worst drawdown.
    milliseconds : float
        Processor time of a decision, mean.
    promoted : Rate or None
        Markets on which the gate would have promoted it; None for those that never ask.
    smallest_gain : float or None
        Mean of what the sessions could have shown.
    rival : str or None
        Best of the learners that it must beat.
    gain, t : float or None
        Mean gain over that in annual Sharpe ratio, and its paired t: over seeds, or HAC over
        sessions where there is one market.
    clear : bool
        Whether so large a t has a chance of at most its share of ``CHANCE`` without any gain.
    """

    learner: str
    sharpe: float
    low: float | None
    high: float | None
    capture: float | None
    ranking: float | None
    turnover: float
    break_even_bps: float | None
    max_drawdown: float
    milliseconds: float
    promoted: Rate | None
    smallest_gain: float | None
    rival: str | None
    gain: float | None
    t: float | None
    clear: bool

    @property
    def verdict(self) -> str:
        """Whether it beats the best of those that it must beat, in words."""
        if self.rival is None:
            return "-"
        if self.gain is None or self.gain <= 0.0:
            return f"does not beat {self.rival}"
        if not self.clear:
            return f"above {self.rival}, not clearly"
        return f"beats {self.rival}"


def by_market(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Group cells by market, worlds first, each sorted by seed."""
    out: dict[str, list[Cell]] = {}
    for one in sorted(cells, key=lambda c: c.seed):
        out.setdefault(one.market, []).append(one)
    known = [name for name in WORLD_NAMES if name in out]
    return {name: out[name] for name in (*known, *(n for n in out if n not in known))}


def strategies_of(cells: Sequence[Cell]) -> list[str]:
    """Strategies on these cells, the equal weight of all of them first."""
    names = list(dict.fromkeys(row.strategy for row in cells[0].rows))
    return sorted(names, key=lambda name: name != ALL)


def standings(cells: Sequence[Cell], strategy: str) -> list[Standing]:
    """Learners and references on markets of one name, best first.

    Parameters
    ----------
    cells : sequence of Cell
        Of one market name.
    strategy : str
    """
    names = [row.learner for row in cells[0].rows if row.strategy == strategy]
    made = [_standing(cells, strategy, name) for name in names]
    return sorted(made, key=lambda one: -one.sharpe)


def _standing(cells: Sequence[Cell], strategy: str, name: str) -> Standing:
    rows = _rows(cells, strategy, name)
    ratios = _sharpes(cells, strategy, name)
    low, high = _bounds(ratios, rows)
    rival, gain, t = _against(cells, strategy, name)
    asks = name not in PASSIVE and name not in REFERENCES
    sessions = sum(one.out_of_sample for one in cells)
    return Standing(
        learner=name,
        sharpe=float(ratios.mean()),
        low=low,
        high=high,
        capture=_capture(cells, strategy, name),
        ranking=_mean([row.ranking for row in rows]),
        turnover=float(np.mean([row.turnover for row in rows])),
        break_even_bps=_mean([row.break_even_bps for row in rows]),
        max_drawdown=max(row.max_drawdown for row in rows),
        milliseconds=1e3 * sum(row.seconds for row in rows) / sessions,
        promoted=rate(row.promoted_after is not None for row in rows) if asks else None,
        smallest_gain=_mean([row.smallest_gain for row in rows]),
        rival=rival,
        gain=gain,
        t=t,
        clear=t is not None and _chance(t, len(cells)) <= CHANCE / _contenders(cells[0]),
    )


def _chance(t: float, markets: int) -> float:
    """Chance of such a t without any gain: over seeds Student's, over sessions the normal one."""
    return float(stats.t.sf(t, markets - 1) if markets > 1 else stats.norm.sf(t))


def _contenders(one: Cell) -> int:
    """Learners that are no baseline; at least one."""
    return max(1, len({row.learner for row in one.rows} - {*SIMPLE, *REFERENCES}))


def _rows(cells: Sequence[Cell], strategy: str, name: str) -> list[Row]:
    found = (one.row(name, strategy) for one in cells)
    return [row for row in found if row is not None]


def _sharpes(cells: Sequence[Cell], strategy: str, name: str) -> Floats:
    return np.array([row.sharpe or 0.0 for row in _rows(cells, strategy, name)])


def _bounds(ratios: Floats, rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Interval of the mean: over seeds, else that of the one market."""
    if len(ratios) == 1:
        return rows[0].interval or (None, None)
    half = stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / math.sqrt(len(ratios))
    return float(ratios.mean() - half), float(ratios.mean() + half)


def _against(
    cells: Sequence[Cell], strategy: str, name: str
) -> tuple[str | None, float | None, float | None]:
    """Best rival of a learner on average, the mean gain over it, and its paired t."""
    if name in REFERENCES or name == "cash":
        return None, None, None
    present = {row.learner for row in cells[0].rows if row.strategy == strategy}
    asked = SIMPLE if name in ALWAYS else ALWAYS
    rivals = [one for one in asked if one in present and one != name]
    if not rivals:
        return None, None, None
    best = max(rivals, key=lambda one: float(_sharpes(cells, strategy, one).mean()))
    gains = _sharpes(cells, strategy, name) - _sharpes(cells, strategy, best)
    if len(gains) == 1:
        return best, float(gains[0]), _rows(cells, strategy, name)[0].paired.get(best)
    spread = float(gains.std(ddof=1))
    t = float(gains.mean()) / spread * math.sqrt(len(gains)) if spread > 0.0 else None
    return best, float(gains.mean()), t


def _capture(cells: Sequence[Cell], strategy: str, name: str) -> float | None:
    """Pooled share of the oracle's gain; None where it gains less than is worth stating."""
    if any(one.row("oracle", strategy) is None for one in cells) or name in REFERENCES:
        return None
    if not _rows(cells, strategy, "static"):
        return None
    static, most, own = (
        float(_sharpes(cells, strategy, one).mean()) for one in ("static", "oracle", name)
    )
    return None if most - static < MATERIAL else (own - static) / (most - static)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def board_values(cells: Sequence[Cell]) -> dict[str, Any]:
    """Every standing as plain values, by market and strategy."""
    out: dict[str, Any] = {}
    for market, found in by_market(cells).items():
        out[market] = {
            "markets": len(found),
            "synthetic": found[0].synthetic,
            "accuracy": _mean([one.accuracy for one in found]),
            "strategies": {
                strategy: {
                    one.learner: {
                        **{k: v for k, v in vars(one).items() if k not in ("learner", "promoted")},
                        "promoted": None if one.promoted is None else vars(one.promoted),
                        "verdict": one.verdict,
                    }
                    for one in standings(found, strategy)
                }
                for strategy in strategies_of(found)
            },
        }
    return out


def board_blocks(cells: Sequence[Cell]) -> list[Block]:
    """Lay out the page."""
    groups = by_market(cells)
    blocks: list[Block] = [
        Heading(TITLE, 1),
        Paragraph(
            "Every learner decides on the same candidate sets, at the same sessions, under the "
            "same costs, and is judged out of sample. Markets marked SYNTHETIC have a planted "
            "truth; nothing on them says anything of a real one. A learner that does not beat the "
            "best of those without its cleverness says so in its row.",
            note=True,
        ),
        Heading("In short"),
        short_table(groups),
        Paragraph("Mean net Sharpe ratio a year; where intervals overlap, the order says nothing."),
        Picture("board.png", board_plot(groups), "Net Sharpe ratios of every learner"),
        Heading("How to read it"),
        Paragraph(
            "Sharpe: annual, net of costs, out of sample, mean over markets; interval 95 %, by "
            "Student's t over seeds, or by the stationary bootstrap where there is one market. "
            "Capture: part of what the true state adds to `static` that the learner adds. Ranking: "
            "share of pairs of sets with a material gap over the next 30 sessions that the scores "
            "had in order. Break-even: cost per side at which nothing is left. ms: processor time "
            "of one decision, without the regimes. Gate: markets on which it would have been "
            "promoted over `static` and the defaults, asked after every session, all learners "
            "registered together, every policy counted. Smallest gain: Sharpe ratio a year over "
            "`static` that so many sessions could have shown at all. Verdict: against the best "
            "simple learner, with the paired t over seeds (HAC over sessions where there is one "
            f"market); called a gain where chance alone gives such a t in at most {CHANCE:.1%} of "
            f"boards, all learners that are no baseline counted. {', '.join(SIMPLE)} know no "
            "regimes; the regime table must beat the best of them, all others the regime table too."
        ),
    ]
    for market, found in groups.items():
        blocks += [Heading(_title(market, found)), Paragraph(_told(found))]
        for strategy in strategies_of(found):
            if len(strategies_of(found)) > 1:
                blocks.append(
                    Heading("all strategies, equally weighted" if strategy == ALL else strategy, 3)
                )
            blocks.append(market_table(found, strategy))
    return blocks


def board_files(cells: Sequence[Cell]) -> dict[str, bytes]:
    """Render ``board.md`` with its PNG, and ``board.html``, which holds it."""
    blocks = board_blocks(cells)
    files = {block.name: block.png for block in blocks if isinstance(block, Picture)}
    files["board.md"] = to_markdown(blocks).encode()
    files["board.html"] = to_html(blocks, title=TITLE).encode()
    return files


def short_table(groups: Mapping[str, Sequence[Cell]]) -> Table:
    """One row per learner, one column per market."""
    names = dict.fromkeys(
        row.learner
        for found in groups.values()
        for row in found[0].rows
        if row.learner not in REFERENCES
    )
    known = {market: standings(found, strategies_of(found)[0]) for market, found in groups.items()}
    rows = []
    for name in names:
        cells = []
        for market in groups:
            own = next((one for one in known[market] if one.learner == name), None)
            cells.append("-" if own is None else f"{own.sharpe:+.2f}")
        rows.append((name, *cells))
    rows.sort(key=lambda row: row[0])
    return Table(("learner", *groups), tuple(rows))


def market_table(found: Sequence[Cell], strategy: str) -> Table:
    """One row per learner and reference, best first."""
    rows = []
    for one in standings(found, strategy):
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


def _told(found: Sequence[Cell]) -> str:
    """Say which markets these are."""
    one, accuracy = found[0], _mean([c.accuracy for c in found])
    seeds = f"{len(found)} markets, seeds from {one.seed} on, " if len(found) > 1 else ""
    said = (
        f"{seeds}{one.symbols} symbols x {one.sessions:,} sessions, {one.out_of_sample:,} of them "
        f"out of sample ({one.first} to {one.last}), {one.cost * 1e4:g} basis points per side."
    )
    return said if accuracy is None else f"{said} State accuracy {accuracy:.2f}."


def board_plot(groups: Mapping[str, Sequence[Cell]]) -> bytes:
    """Draw mean Sharpe ratios with their intervals: one panel per market, one line a learner."""
    synthetic = any(found[0].synthetic for found in groups.values())
    most = max(len(standings(f, strategies_of(f)[0])) for f in groups.values())
    figure, panels = figure_of(len(groups), 0.6 + 0.2 * most, synthetic=False, columns=2)
    for axes, (market, found) in zip(panels, groups.items(), strict=True):
        order = standings(found, strategies_of(found)[0])[::-1]
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
        axes.set_title(_title(market, found), loc="left", fontsize=10)
    words = "net Sharpe ratio a year, out of sample, 95 % (blue: regimes or learners of learners)"
    figure.supxlabel(words + ("; SYNTHETIC where marked" if synthetic else ""), fontsize=9)
    return png_of(figure)
