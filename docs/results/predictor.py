"""Make the page of what the predictor ranks and what its intervals cover, beside this file.

For: `python docs/results/predictor.py`, two to four minutes on one core. Not for: real markets;
every market here is synthetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, WorldName, generate, weekdays
from ml.corpus import WalkSpec, corpus, history_of
from ml.decision import Memo, decide, regimes_of
from ml.export.records import Decision
from ml.history import StrategyHistory
from ml.learner import HORIZON
from ml.proof.card import STRATEGY, Terms
from ml.proof.measures import ranking_accuracy
from ml.robustness.coverage import COVERAGE, Intervals, intervals_of
from ml.robustness.record import WalkRecord

WORLDS: tuple[WorldName, ...] = ("clear", "murky", "null")
SEEDS = (5200, 5201, 5202)
LEARNERS = ("predictor", "regime_table")
TERMS = Terms()
LEAST_HORIZONS = 5
HEAD = f"""# What the predictor ranks, and what its intervals cover

Synthetic markets only. Made by `python docs/results/predictor.py`.

Worlds of {TERMS.symbols} symbols and {TERMS.sessions:,} sessions, `{STRATEGY}`, seeds {SEEDS[0]} to
{SEEDS[-1]}, which chose nothing in the program; `null` costs nothing. The policy is the default one
but for its learner.

## Ranking

Accuracy on pairs of sets whose gap over the next {HORIZON} sessions is above the median gap, from
the scores in force every {HORIZON} sessions, mixed by the day's probabilities. Mean of the seeds,
and its standard error.
"""
COVERED = f"""## Coverage

Share of outcomes inside the {COVERAGE:.0%} interval around the score of the best set of the day's
regime, as `evidence.json` holds it (`strategies.NAME.robustness.intervals`), over all seeds.
Neighbouring sessions share their outcome: a horizon is {HORIZON} sessions. The error is that of a
binomial with as many trials as horizons.
"""
NAMED = f"""## Coverage of the predictor by regime

Names with at least {LEAST_HORIZONS} horizons; the others together.
"""


@dataclass(frozen=True)
class Walked:
    """Accuracy of each ranking, and coverage, of one learner on one market."""

    accuracy: float
    intervals: Intervals


def walked(world: WorldName, seed: int) -> dict[str, Walked]:
    """Decide every session of one market with every learner."""
    made = generate(
        WorldConfig(world=world, symbols=TERMS.symbols, seed=seed), weekdays(TERMS.sessions)
    )
    panel = Panel.from_frame(made.bars)
    spec = WalkSpec(cost=TERMS.cost_in(world), policy=TERMS.policy, synthetic=True)
    swept = corpus(panel, STRATEGY, spec, progress=None)
    history, memo, out = history_of(panel, {STRATEGY: swept}), Memo(), {}
    regimes = regimes_of(history, spec.policy, seed=0, memo=memo)
    for name in LEARNERS:
        policy = spec.policy.with_learner(name)
        decisions: list[Decision] = []
        ranked: list[float] = []
        for t in range(policy.train, history.sessions):
            decisions.append(decide(t, history, policy, memo=memo)[STRATEGY])
            if (t - policy.train) % HORIZON == 0 and t + HORIZON < history.sessions:
                scores = memo.selections[policy, STRATEGY][1].scores
                today = memo.relabelled(regimes, t)[-1]
                accuracy = ranking(today, scores, history.strategies[STRATEGY], t)
                ranked += [] if accuracy is None else [accuracy]
        record = WalkRecord(
            dates=history.dates,
            start=policy.train,
            periods_per_year=252,
            cost=spec.cost,
            policy=policy,
            corpus=swept,
            decisions=tuple(decisions),
            net={},
            turnover={},
        )
        out[name] = Walked(float(np.mean(ranked)), intervals_of(record))
    return out


def ranking(today: np.ndarray, scores: np.ndarray, known: StrategyHistory, t: int) -> float | None:
    """Accuracy of one close's scores over the next sessions, of eligible sets."""
    able = np.isfinite(scores).all(axis=0)
    came = known.returns[able, t + 1 : t + 1 + HORIZON].mean(axis=1)
    return ranking_accuracy(
        today @ scores[:, able], came / known.returns[able, : t + 1].std(axis=1)
    )


def header(first: str) -> list[str]:
    """Head of a table with a column per world."""
    return [f"| {first} | " + " | ".join(WORLDS) + " |", "|---|" + "---:|" * len(WORLDS)]


def accuracies(found: Mapping[str, list[dict[str, Walked]]]) -> list[str]:
    """Ranking accuracy by learner and world."""
    lines = header("learner")
    for name in LEARNERS:
        cells = []
        for world in WORLDS:
            values = np.array([one[name].accuracy for one in found[world]])
            error = values.std(ddof=1) / np.sqrt(len(values))
            cells.append(f"{values.mean():.3f} ± {error:.3f}")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def share(parts: list[tuple[int, float]]) -> str:
    """Coverage over parts of so many sessions, with its error and the horizons behind it."""
    sessions = np.array([count for count, _ in parts], dtype=float)
    if not sessions.sum():
        return "-"
    covered = float(np.average([inside for _, inside in parts], weights=sessions))
    horizons = sessions.sum() / HORIZON
    error = np.sqrt(COVERAGE * (1.0 - COVERAGE) / horizons)
    return f"{covered:.2f} ± {error:.2f} ({horizons:.0f})"


def coverages(found: Mapping[str, list[dict[str, Walked]]]) -> list[str]:
    """Coverage and half-width by learner and world."""
    lines = header("learner")
    for name in LEARNERS:
        known = {world: [one[name].intervals for one in found[world]] for world in WORLDS}
        cells = [share([(i.sessions, i.covered or 0.0) for i in known[w]]) for w in WORLDS]
        widths = [f"{np.mean([i.width for i in known[w]]):.2f}" for w in WORLDS]
        lines.append(f"| `{name}`, share (horizons) | " + " | ".join(cells) + " |")
        lines.append(f"| `{name}`, half-width, Sharpe per session | " + " | ".join(widths) + " |")
    return lines


def by_regime(found: Mapping[str, list[dict[str, Walked]]]) -> list[str]:
    """Coverage of the predictor by name of regime and world."""
    parts: dict[str, dict[str, list[tuple[int, float]]]] = {world: {} for world in WORLDS}
    for world in WORLDS:
        gathered: dict[str, list[tuple[int, float]]] = {}
        for one in found[world]:
            for name, told in one["predictor"].intervals.regimes.items():
                gathered.setdefault(name, []).append((told.sessions, told.covered))
        for name, own in gathered.items():
            often = sum(count for count, _ in own) >= LEAST_HORIZONS * HORIZON
            parts[world].setdefault(name if often else "rarer names", []).extend(own)
    names = sorted({name for told in parts.values() for name in told} - {"rarer names"})
    lines = header("regime")
    for name in [*names, "rarer names"]:
        cells = [share(parts[world].get(name, [])) for world in WORLDS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Walk every market and write the page."""
    found = {world: [walked(world, seed) for seed in SEEDS] for world in WORLDS}
    parts = [
        (HEAD, accuracies(found)),
        (COVERED, coverages(found)),
        (NAMED, by_regime(found)),
    ]
    text = "\n\n".join("\n".join([words, *lines]).rstrip() for words, lines in parts)
    Path(__file__).with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
