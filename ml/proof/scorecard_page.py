"""The scorecard as a page for people: goals, worlds, policies, seeds, and one picture.

For: Markdown, HTML and PNG of what ``scorecard`` says. Not for: computing any of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.pages import Block, Heading, Paragraph, Picture, Table, to_html, to_markdown
from ml.learner import HORIZON
from ml.proof.card import Card, Terms
from ml.proof.leaks import Finding
from ml.proof.scorecard import (
    Goal,
    Rate,
    advantage,
    best_simple,
    by_world,
    capture,
    goals,
    leak_goals,
    mean_sharpe,
    rate,
    sharpes,
)
from ml.proof.traps import Caught, trap_cells

TITLE = "Scorecard: what was planted is found, and nothing else"
POLICIES = {
    "ideal": "a book on the planted mean of the very next return, before costs",
    "oracle": "the regime table with the true state, which nobody can know",
    "regime_aware": "the proposal: a mix of sets, weighted by the filtered regime",
    "regime_aware_single": "its heaviest member alone",
    "exported": "what would have been in force: gate and bounded steps on top",
    "experts": "fixed-share experts over the sets, no regimes",
    "weighted": "soft static choice, exponentially weighted",
    "recent": "soft static choice over the last 63 sessions",
    "static": "soft static choice over all history",
    "volatility_targeted": "the same at a steady risk",
    "argmax_static": "the best set so far, alone",
    "directions": "each direction as a plain average of its sets",
    "cash": "nothing is held",
    "default": "the strategy's default parameters",
    "buy_and_hold": "all symbols, long, equal weight",
    "hindsight": "the best single set, chosen afterwards",
}
_SHOWN = ("regime_aware", "static", "experts", "oracle")


@dataclass(frozen=True)
class Leaks:
    """What the detectors found of every part of the code, and of every planted leak."""

    findings: tuple[Finding, ...]
    caught: tuple[Caught, ...]


def scorecard_blocks(
    cards: Sequence[Card], terms: Terms, *, leaks: Leaks | None = None
) -> list[Block]:
    """Lay out the page."""
    groups = by_world(cards)
    blocks: list[Block] = [
        Heading(TITLE, 1),
        Paragraph("SYNTHETIC MARKETS: no number here says anything of a real one.", note=True),
        Paragraph(_told(cards, terms)),
        Heading("Goals"),
        goals_table(all_goals(cards, leaks)),
        Heading("What was found"),
        worlds_table(groups),
        Paragraph(
            "Supervised accuracy: the same filter, fitted with the true state of all sessions; a "
            "yardstick for what fitting loses. Delay: sessions until a change of state was named, "
            "median; never: share of changes whose state was over before; named: changes of the "
            "named state for each true one, far above 1 where it flickers. Ranking: share of pairs "
            f"of sets with a material gap over the next {HORIZON} sessions that the scores had in "
            "order. Crossed: the paired test against `static` alone, looked at after every "
            "session; promotion asks for all criteria. Any promoted: the gate asked for every "
            "learner of the board, all registered together, every policy counted. Intervals are "
            "exact, 95 %; a goal is met by what was measured, which the interval need not exclude."
        ),
        Heading("Sharpe ratios"),
        Picture("scorecard.png", scorecard_plot(groups), "Annual net Sharpe ratio of every market"),
        sharpe_table(groups),
        Heading("Against policies without regimes"),
        advantage_table(groups),
        *leak_blocks(leaks),
        Heading("Every market"),
    ]
    for world, found in groups.items():
        blocks += [Heading(world, 3), seeds_table(found)]
    return blocks


def all_goals(cards: Sequence[Card], leaks: Leaks | None) -> list[Goal]:
    """Goals about worlds, and about leaks where they were looked for."""
    about = [] if leaks is None else leak_goals(leaks.findings, leaks.caught)
    return [*goals(cards), *about]


def leak_blocks(leaks: Leaks | None) -> list[Block]:
    """Say what was tried of the code's parts, and which detector catches which planted leak."""
    if leaks is None:
        return []
    kinds = dict.fromkeys(one.kind for one in leaks.findings)
    rows = []
    for kind in kinds:
        own = [one for one in leaks.findings if one.kind == kind]
        bad = sorted({one.name for one in own if one.guilty})
        cuts = str(max(one.cuts for one in own))
        rows.append((kind, ", ".join(bad) or "none", str(len({one.name for one in own})), cuts))
    header, cells = trap_cells(leaks.caught)
    return [
        Heading("Leaks"),
        Paragraph(
            "Every registered part is asked what it says of the sessions up to a cut: on all "
            "history, on history that ends there, and on history that goes on otherwise."
        ),
        Table(("kind", "see the future", "parts", "cuts"), tuple(rows), words=2),
        Paragraph(
            "No detector sees every leak, so leaks are planted, each beside an honest twin, on "
            "markets without any effect. Empty: the detector has no say. Blind: it misses the leak."
        ),
        Table(header, cells, words=len(header) - 3),
    ]


def scorecard_files(
    cards: Sequence[Card], terms: Terms, *, leaks: Leaks | None = None
) -> dict[str, bytes]:
    """Render ``scorecard.md`` with its PNG, and ``scorecard.html``, which holds it."""
    blocks = scorecard_blocks(cards, terms, leaks=leaks)
    files = {block.name: block.png for block in blocks if isinstance(block, Picture)}
    files["scorecard.md"] = to_markdown(blocks).encode()
    files["scorecard.html"] = to_html(blocks, title=TITLE).encode()
    return files


def scorecard_values(cards: Sequence[Card], *, leaks: Leaks | None = None) -> dict[str, Any]:
    """Goals and worlds as plain values."""
    return {
        "goals": [vars(goal) | {"status": goal.status} for goal in all_goals(cards, leaks)],
        "worlds": {
            world: {
                "seeds": len(found),
                "accuracy": float(np.mean([card.accuracy for card in found])),
                "capture": capture(found),
                "promoted": vars(rate(card.promoted_after is not None for card in found)),
                "best_simple": best_simple(found),
                "sharpe": {name: mean_sharpe(found, name) for name in POLICIES},
            }
            for world, found in by_world(cards).items()
        },
    }


def goals_table(judged: Sequence[Goal]) -> Table:
    """One row per promise."""
    rows = tuple(
        (
            goal.world,
            goal.name,
            goal.status,
            "-" if goal.value is None else f"{goal.value:.3f}",
            f"at {'least' if goal.better == 'above' else 'most'} {goal.limit:g}",
            str(goal.seeds) if goal.seeds >= goal.least else f"{goal.seeds} of {goal.least}",
        )
        for goal in judged
    )
    return Table(("world", "goal", "result", "value", "limit", "tried"), rows, words=3)


def worlds_table(groups: Mapping[str, Sequence[Card]]) -> Table:
    """One row per world."""
    rows = []
    for world, found in groups.items():
        delays = [delay for card in found for delay in card.delays]
        changes = len(delays) + sum(card.missed for card in found)
        told = [s for card in found if (s := card.supervised_accuracy) is not None]
        ranks = [card.ranking for card in found if card.ranking is not None]
        after = [card.promoted_after for card in found if card.promoted_after is not None]
        rows.append(
            (
                world,
                str(len(found)),
                f"{np.mean([card.accuracy for card in found]):.2f}",
                f"{np.mean(told):.2f}" if told else "-",
                f"{np.median(delays):.0f}" if delays else "-",
                f"{1.0 - len(delays) / changes:.0%}" if changes else "-",
                f"{sum(card.named for card in found) / changes:.1f}" if changes else "-",
                f"{np.mean(ranks):.2f}" if ranks else "-",
                _number(capture(found)),
                _rated(rate(card.promoted_after is not None for card in found)),
                f"{np.median(after):.0f}" if after else "-",
                _rated(rate(card.crossed_after is not None for card in found)),
                _rated(rate(any(card.board.values()) for card in found)),
            )
        )
    header = ("world", "seeds", "accuracy", "supervised", "delay", "never", "named", "ranking")
    last = ("capture", "promoted", "after, sessions", "crossed", "any promoted")
    return Table((*header, *last), tuple(rows))


def sharpe_table(groups: Mapping[str, Sequence[Card]]) -> Table:
    """Mean Sharpe ratio and its standard error over seeds, by policy and world."""
    rows = []
    for name, words in POLICIES.items():
        cells = []
        for found in groups.values():
            known = sharpes(found, name)
            error = np.std(known, ddof=1) / np.sqrt(len(known)) if len(known) > 1 else None
            mean = f"{known.mean():+.2f}" if known.size else "-"
            cells.append(mean if error is None else f"{mean} ({error:.2f})")
        rows.append((name, words, *cells))
    return Table(("policy", "what it is", *groups), tuple(rows), words=2)


def advantage_table(groups: Mapping[str, Sequence[Card]]) -> Table:
    """Gain of ``regime_aware`` over ``static``, ``experts`` and the best simple policy."""
    rows = []
    for world, found in groups.items():
        best = best_simple(found)
        for rival in dict.fromkeys((best, "static", "experts")):
            gain, t = advantage(found, rival)
            said = f"{rival} (best)" if rival == best else rival
            rows.append((world, said, f"{gain:+.2f}", _number(t)))
    return Table(("world", "against", "gain, Sharpe", "t over seeds"), tuple(rows), words=2)


def seeds_table(found: Sequence[Card], *, most: int = 40) -> Table:
    """One row per market, the first ``most``."""
    rows = tuple(
        (
            str(card.seed),
            f"{card.accuracy:.2f}",
            *(_number(card.sharpe[name], "+.2f") for name in _SHOWN),
            _number(capture([card])),
            "-" if card.promoted_after is None else str(card.promoted_after),
        )
        for card in found[:most]
    )
    return Table(("seed", "accuracy", *_SHOWN, "capture", "promoted after"), rows)


def scorecard_plot(groups: Mapping[str, Sequence[Card]]) -> bytes:
    """Draw the Sharpe ratios of the main policies: one panel per world, one dot per market."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ("oracle", "regime_aware", "experts", "weighted", "static", "hindsight")
    figure = Figure(figsize=(10.5, 1.0 + 1.75 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (world, found) in zip(panels, groups.items(), strict=True):
        for row, name in enumerate(reversed(names)):
            values = sharpes(found, name)
            spread = 0.28 * np.sin(np.arange(len(values)) * 2.4)  # keeps dots apart, no chance
            colour = "#0072b2" if name == "regime_aware" else "#8a8a8a"
            axes.plot(values, row + spread, "o", color=colour, alpha=0.6, ms=4.0, mew=0)
            if values.size:
                axes.plot([np.mean(values)] * 2, [row - 0.38, row + 0.38], color="#111111", lw=1.8)
        axes.axvline(0.0, color="#c9ced4", lw=1.0, zorder=0)
        axes.set_yticks(range(len(names)), list(reversed(names)), fontsize=9)
        axes.set_title(f"{world}: {len(found)} markets", loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("net Sharpe ratio a year, out of sample (bar: mean) - SYNTHETIC")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _told(cards: Sequence[Card], terms: Terms) -> str:
    """Say under which terms the numbers hold."""
    policy, one = terms.policy, cards[0]
    return (
        f"{len(cards)} markets, seeds from {min(card.seed for card in cards)} on, the first of "
        f"{one.symbols} symbols x {one.sessions:,} sessions; strategy rsi_swing, {one.sets} "
        "candidate sets, dollar-neutral book, "
        f"{terms.cost * 1e4:g} basis points per side (0 in the world null). Decisions from session "
        f"{policy.train} on, "
        f"reselected every {policy.step} and refitted every {policy.refit} sessions; all numbers "
        f"out of sample. The gate was asked after every session, alpha {one.alpha:.4f}."
    )


def _rated(found: Rate) -> str:
    return f"{found.count}/{found.of} ({found.low:.0%}-{found.high:.0%})"


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)
