"""Make the page of searchers' regret beside this file.

For: `python benchmarks/search.py && python docs/results/search.py`, a quarter of an hour on one
core. Not for: real markets; every market here is synthetic.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES
from ml.evaluation import Batch, Evaluation, markets_of
from ml.objective import Goal
from ml.searcher import SEARCHERS
from ml.searchers.genetic import POPULATION
from ml.space import Row, Space
from ml.tuning import TuneSpec, conclude, search

ROOT = Path(__file__).resolve().parents[2]
OVERHEADS = ROOT / "benchmarks" / "results" / "search.json"
SEEDS, TRIALS, BATCH = range(10), 48, 8
SYMBOLS, SESSIONS, REFERENCE = 30, 1260, 8192
GOAL = Goal.parse(("sharpe",))
YARDSTICK = "uniform"
HEAD = f"""# What searchers miss, and what they cost

Synthetic markets only. Made by `python benchmarks/search.py && python docs/results/search.py`.

Problems are a strategy, a space and a world of {SYMBOLS} symbols and {SESSIONS:,} sessions; the
objective is the Sharpe ratio of the dollar-neutral book after 5 basis points. Every searcher gets
{TRIALS} sets, {BATCH} at a time, from {len(SEEDS)} seeds. Regret is how far the best of its sets is
below the best of all, in units of the way from a middling set to that best: 0 found the best, 1 is
no better than a middling set. Mean over seeds and its standard error.
"""
AGAINST = """What regret is held against; "fine" is a lattice finer than the strategy's own grid.
"""
COSTS = """A searcher's own work beside the evaluation, per set, over the time of the book sweep.
Below 1 the market is dearer than the search.
"""


@dataclass(frozen=True)
class Problem:
    """A strategy, a space of it, a world."""

    name: str
    strategy: str
    world: str
    lattice: dict[str, Any] | None

    def evaluation(self) -> Evaluation:
        """Make the market of the problem."""
        config = WorldConfig(world=self.world, symbols=SYMBOLS, seed=11)
        panel = Panel.from_frame(generate(config, weekdays(SESSIONS)).bars)
        rule = STRATEGIES.get(self.strategy)
        markets = markets_of(panel, ("1d",))
        return Evaluation(markets, rule, GOAL, "dollar-neutral", 0.0005, reported=())


PERIODS, WIDTHS = tuple(range(2, 61, 2)), tuple(float(w) for w in range(5, 26))
PROBLEMS = (
    Problem("rsi_swing, its grid, clear", "rsi_swing", "clear", {}),
    Problem("rsi_swing, its grid, null", "rsi_swing", "null", {}),
    Problem(
        "rsi_swing, fine, clear",
        "rsi_swing",
        "clear",
        {
            "direction": ("reversion", "momentum"),
            "period": PERIODS,
            "width": WIDTHS,
            "smoothing": tuple(range(1, 11)),
        },
    ),
    Problem(
        "ma_cross, fine, trend-only",
        "ma_cross",
        "trend-only",
        {
            "fast": tuple(range(5, 21)),
            "slow": tuple(range(15, 51)),
            "volume_threshold": tuple(np.arange(0.0, 3.01, 0.25).tolist()),
        },
    ),
    Problem("confluence, 12 parameters, clear", "confluence", "clear", None),
    Problem("confluence, 12 parameters, murky", "confluence", "murky", None),
)


def space_of(problem: Problem) -> Space:
    """Take the lattice of a problem, or its whole space."""
    rule = STRATEGIES.get(problem.strategy)
    if problem.lattice is None:
        return Space.of(rule.params)
    if not problem.lattice:
        return Space.over(rule.candidates())
    return Space.over(ParamGrid.product(rule.params, problem.lattice))


class Known:
    """Answers from one sweep of everything, and by further sweeps where the space is endless."""

    def __init__(self, problem: Problem, space: Space):
        self._evaluate = problem.evaluation()
        listed = space.listed()
        if listed is None:
            grid, _ = ParamGrid.sobol(space.params, REFERENCE, seed=1)
            rows = grid.rows()
        else:
            fine = space.feasible(listed)
            rows = [row for row, kept in zip(listed, fine, strict=True) if kept]
        self._values: dict[tuple[object, ...], float] = {}
        self._learn(rows)
        worth = self.worth
        self.middle = float(np.median(worth))

    @property
    def worth(self) -> np.ndarray:
        """Every defined value seen so far."""
        told = np.array(list(self._values.values()))
        return told[np.isfinite(told)]

    def _learn(self, rows: list[Row]) -> None:
        for row, value in zip(rows, self._evaluate(rows).values[:, 0], strict=True):
            self._values[tuple(row.values())] = float(value)

    def __call__(self, rows: Any) -> Batch:
        """Answer from what was swept, and sweep what was not."""
        missing = [row for row in rows if tuple(row.values()) not in self._values]
        if missing:
            self._learn(missing)
        values = np.array([[self._values[tuple(row.values())]] for row in rows])
        return Batch(tuple(rows), {}, values, np.isfinite(values[:, 0]))


def judged(problem: Problem) -> dict[str, Any]:
    """Best value of every searcher and seed, and what it is held against."""
    space = space_of(problem)
    known = Known(problem, space)
    best: dict[str, list[float]] = {}
    for name in SEARCHERS.names():
        for seed in SEEDS:
            spec = TuneSpec(name, TRIALS, BATCH, seed)
            found = search(space, spec, known, names=GOAL.names)
            verdict = conclude(found)
            best.setdefault(name, []).append(float(verdict.merit[verdict.highest]))
    top = float(known.worth.max())
    return {
        "size": space.size,
        "top": top,
        "middle": known.middle,
        "best": best,
    }


def regret(values: list[float], told: dict[str, Any]) -> np.ndarray:
    """Share of the way from a middling set to the best one that was missed; ``[seed]``."""
    return (told["top"] - np.array(values)) / (told["top"] - told["middle"])


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Regret by searcher and problem."""
    names = list(found)
    lines = ["| searcher | " + " | ".join(names) + " | mean |"]
    lines.append("|---|" + "---:|" * (len(names) + 1))
    for searcher in SEARCHERS.names():
        missed = [regret(found[name]["best"][searcher], found[name]) for name in names]
        cells = [f"{m.mean():.2f} ± {m.std(ddof=1) / np.sqrt(len(m)):.2f}" for m in missed]
        cells.append(f"{np.mean([m.mean() for m in missed]):.2f}")
        lines.append(f"| `{searcher}` | " + " | ".join(cells) + " |")
    return lines


def references(found: dict[str, dict[str, Any]]) -> list[str]:
    """What regret is measured against."""
    lines = ["| problem | sets | best Sharpe | middling Sharpe |", "|---|---:|---:|---:|"]
    for name, told in found.items():
        size = f"{told['size']:,}" if told["size"] else f"{REFERENCE:,} by Sobol, and all tried"
        lines.append(f"| {name} | {size} | {told['top']:+.2f} | {told['middle']:+.2f} |")
    return lines


def overheads() -> list[str]:
    """Cost of asking and telling, from the benchmark."""
    told = json.loads(OVERHEADS.read_text(encoding="utf-8"))
    sizes = list(told["overhead"])
    lines = ["| searcher | " + " | ".join(sizes) + " |", "|---|" + "---:|" * len(sizes)]
    for name in SEARCHERS.names():
        cells = [f"{told['overhead'][size][name]:.2f}" for size in sizes]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def beside_random(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Regret less that of random search: mean and standard error, by searcher and problem.

    ``"all"`` is the mean over problems, its error that of independent problems.
    """
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for searcher in SEARCHERS.names():
        if searcher == YARDSTICK:
            continue
        told = {}
        for name, one in found.items():
            own, drawn = (regret(one["best"][s], one) for s in (searcher, YARDSTICK))
            variance = (own.var(ddof=1) + drawn.var(ddof=1)) / len(own)
            told[name] = (float(own.mean() - drawn.mean()), float(np.sqrt(variance)))
        means, errors = np.array(list(told.values())).T
        told["all"] = (float(means.mean()), float(np.sqrt((errors**2).sum()) / len(errors)))
        out[searcher] = told
    return out


def reading(found: dict[str, dict[str, Any]]) -> list[str]:
    """Say in words what the numbers show, and nothing that they do not."""
    beside = beside_random(found)
    lines = [f"Regret less that of `{YARDSTICK}`, mean of all problems:", ""]
    lines += ["| searcher | difference | standard error |", "|---|---:|---:|"]
    for name, told in sorted(beside.items(), key=lambda item: item[1]["all"][0]):
        lines.append(f"| `{name}` | {told['all'][0]:+.3f} | {told['all'][1]:.3f} |")
    clear: dict[bool, list[str]] = {True: [], False: []}
    for name, told in beside.items():
        for problem, (mean, error) in told.items():
            if abs(mean) > 2.0 * error and problem != "all":
                clear[mean < 0.0].append(f"`{name}` on {problem}")
    whole = {
        sign: [f"`{n}`" for n, t in beside.items() if sign * t["all"][0] > 2.0 * t["all"][1]]
        for sign in (-1, 1)
    }
    pairs = len(beside) * len(found)
    lines += [
        "",
        f"- By more than two standard errors over all problems, better than random search:"
        f" {_listed(whole[-1])}; worse: {_listed(whole[1])}.",
        f"- By as much on a single problem, better: {_listed(clear[True])}; worse:"
        f" {_listed(clear[False])}. Of {pairs} comparisons about {0.05 * pairs:.0f} would differ"
        " so by chance alone.",
        f"- `genetic` draws at random until it was told {POPULATION} sets, of {TRIALS} here.",
    ]
    lines += [
        f"- {name}: the best set has a Sharpe ratio of {told['top']:+.2f}, and it is the best of"
        " nothing. Regret says how well a searcher searches, never that what it found is worth"
        " anything."
        for name, told in found.items()
        if name.endswith("null")
    ]
    for size, costs in json.loads(OVERHEADS.read_text(encoding="utf-8"))["overhead"].items():
        dear = [f"`{name}` ({cost:.1f} times)" for name, cost in costs.items() if cost > 1.0]
        lines.append(f"- {size}: dearer than the sweep of its sets: {_listed(dear)}.")
    return lines


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def main() -> None:
    """Judge every searcher and write the page."""
    found = {problem.name: judged(problem) for problem in PROBLEMS}
    parts = [
        (HEAD, table(found)),
        (AGAINST, references(found)),
        (COSTS, overheads()),
        ("## What it says\n", reading(found)),
    ]
    text = "\n\n".join("\n".join([words, *lines]).rstrip() for words, lines in parts)
    Path(__file__).with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
