"""Make the page of what a student keeps of the ensemble, beside this file.

For: `python docs/results/distillation.py`, some minutes on one core. Not for: real markets; every
market here is synthetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, WorldName, generate, weekdays
from ml.corpus import WalkSpec, corpus, history_of
from ml.distill import Agreement, agreement, rows_of, seconds_of
from ml.history import History
from ml.learner import HORIZON, LEARNERS
from ml.learners.ensemble import Ensemble
from ml.proof.card import STRATEGY, Terms
from ml.teaching import Distillation, Teaching, comparison, distilled, taught

WORLDS: tuple[WorldName, ...] = ("clear", "murky", "null")
SEEDS = (2003, 2004)
TERMS = Terms()
WHOLE: tuple[WorldName, int] = ("clear", 2003)
PLAIN = "ensemble_without_neural"
YEAR = float(np.sqrt(252.0))
HEAD = f"""# What a student keeps of the ensemble

Synthetic markets only. Made by `python docs/results/distillation.py`.

Worlds of {TERMS.symbols} symbols and {TERMS.sessions:,} sessions, `{STRATEGY}`, seeds {SEEDS[0]}
and {SEEDS[1]}, which chose nothing in the program; `null` costs nothing. The teacher is the learner
`ensemble` without its member `neural`, whose fits would take most of the time, but on one market,
`{WHOLE[0]} {WHOLE[1]}, whole`, where it has all four members. A student is fitted every 63
sessions on the teacher's last 756 proposals, and judged on the closes until the next, as the
learner `student` is.
"""
AGREED = """## Agreement

Rank: mean Spearman correlation of the weights of the 16 sets held by each. Overlap: mean part of
the capital in the same sets. `old` is what the teacher itself said at the close before the
student's last fit, held until the next: up to 63 sessions old. Then annual Sharpe ratios, the cost
of changing mixes paid by all. Regret is the teacher's less the student's; the bound is a 95 % one,
from 500 draws of sessions in blocks. Free: where changing mixes costs nothing.
"""
SMALL = """## Size and time

Bytes of the student's weights, and of all arrays and texts that the ensemble and its members keep
between two closes; of `online` its journal, from which the model is built again, and not the
model's own trees. Time is processor time: of one proposal of the student, and of one close of the
teacher on average, with its members' selections and refits. Times differ from run to run.
"""
APART = f"""## Disagreement

Does a mix earn less when its members are further apart? Spearman correlation, over closes {HORIZON}
sessions apart, of disagreement with the mix's mean return over the {HORIZON} sessions after; about
2 in 3 correlations of nothing lie within the error.
"""


@LEARNERS.register(PLAIN)
@dataclass(frozen=True)
class WithoutNeural(Ensemble):
    """The ensemble of the three members that need no training."""

    advisers: tuple[str, ...] = ("experts", "online", "regime_table")


@dataclass(frozen=True)
class Found:
    """One market's teacher and student."""

    history: History
    teaching: Teaching
    made: Distillation
    old: Agreement
    free: Agreement
    seconds: float

    @property
    def told(self) -> dict[str, Any]:
        """Agreement and sizes."""
        return comparison(self.made, self.teaching.bytes)


def found(world: WorldName, seed: int, learner: str) -> Found:
    """Walk a teacher over one market, and distil it."""
    made = generate(
        WorldConfig(world=world, symbols=TERMS.symbols, seed=seed), weekdays(TERMS.sessions)
    )
    panel = Panel.from_frame(made.bars)
    spec = WalkSpec(cost=TERMS.cost_in(world), policy=TERMS.policy, synthetic=True)
    history = history_of(panel, {STRATEGY: corpus(panel, STRATEGY, spec, progress=None)})
    teaching = taught(history, spec.policy.with_learner(learner))[STRATEGY]
    returns = history.strategies[STRATEGY].returns
    pupil = distilled(history.state, returns, teaching.proposals, seed=0, cost=spec.cost)
    free = distilled(history.state, returns, teaching.proposals, seed=0, cost=0.0)
    return Found(
        history,
        teaching,
        pupil,
        _old(teaching.proposals, returns, pupil.fits, cost=spec.cost),
        free.agreement,
        seconds_of(pupil.student, rows_of(history.state)[pupil.fits[0] :]),
    )


def _old(
    proposals: np.ndarray, returns: np.ndarray, fits: tuple[int, ...], *, cost: float
) -> Agreement:
    """How what the teacher said at each fit compares with what it says until the next."""
    judged = np.arange(fits[0], len(proposals) - 1)
    at = np.array(fits)[np.searchsorted(fits, judged, side="right") - 1] - 1
    after = returns[:, judged + 1].T
    return agreement(proposals[judged], proposals[at], after, cost=cost)


def agreements(rows: Mapping[str, Found]) -> list[str]:
    """Agreement and regret by market."""
    lines = [
        "| market | rank | of old | same heaviest | of old | overlap | of old | teacher | "
        "student | old | regret | at most | teacher, free | student, free |",
        "|---|" + "---:|" * 13,
    ]
    for name, one in rows.items():
        told, old, free = one.made.agreement, one.old, one.free
        plain = [told.rank, old.rank, told.heaviest, old.heaviest, told.overlap, old.overlap]
        annual = [told.teacher_sharpe, told.student_sharpe, old.student_sharpe, told.regret]
        annual += [told.regret_bound, free.teacher_sharpe, free.student_sharpe]
        cells = [f"{value:.2f}" for value in plain]
        cells += [f"{YEAR * value:+.2f}" for value in annual]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def sizes(rows: Mapping[str, Found]) -> list[str]:
    """Bytes and processor time by market."""
    lines = [
        "| market | student, bytes | teacher, bytes | ratio | student, ms | teacher, ms | ratio |",
        "|---|" + "---:|" * 6,
    ]
    for name, one in rows.items():
        told, student, teacher = one.told, 1e3 * one.seconds, 1e3 * one.teaching.seconds
        lines.append(
            f"| {name} | {told['bytes']:,} | {told['teacher_bytes']:,} | "
            f"{told['compression']:.1f} | {student:.2f} | {teacher:.1f} | "
            f"{teacher / student:,.0f} |"
        )
    return lines


def apart(rows: Mapping[str, Found]) -> list[str]:
    """Mean disagreement, and what it foretold."""
    lines = ["| market | mean disagreement | correlation |", "|---|---:|---:|"]
    for name, one in rows.items():
        said, returns = one.teaching, one.history.strategies[STRATEGY].returns
        closes = np.arange(said.start, one.history.sessions - HORIZON, HORIZON)
        after = [returns[:, t + 1 : t + 1 + HORIZON].mean(axis=1) for t in closes]
        earned = (said.proposals[closes] * np.array(after)).sum(axis=1)
        link = float(spearmanr(said.disagreement[closes], earned).statistic)
        lines.append(
            f"| {name} | {said.disagreement[said.start :].mean():.2f} | "
            f"{link:+.2f} ± {1.0 / np.sqrt(len(closes) - 1):.2f} |"
        )
    return lines


def main() -> None:
    """Walk every market and write the page."""
    rows = {f"{w} {seed}": found(w, seed, PLAIN) for w in WORLDS for seed in SEEDS}
    rows[f"{WHOLE[0]} {WHOLE[1]}, whole"] = found(*WHOLE, "ensemble")
    parts = [(HEAD, []), (AGREED, agreements(rows)), (SMALL, sizes(rows)), (APART, apart(rows))]
    text = "\n\n".join("\n".join([words, *lines]).rstrip() for words, lines in parts)
    Path(__file__).with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
