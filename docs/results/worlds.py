"""Make the page of synthetic worlds beside this file, from runs of the whole path.

For: `python docs/results/worlds.py FIRST_SEED`, about six minutes on two cores; the seed should
be one that nobody has looked at. Not for: judging; `make test-slow` does that on seeds of its own.
"""

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from backtest.evidence.sharpe import sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, WorldName, generate, weekdays
from ml.corpus import WalkSpec
from ml.decision import TruthTrack
from ml.regime_track import state_accuracy
from ml.walkforward import walk_forward

STRATEGY = "rsi_swing"
SYMBOLS, SESSIONS = 100, 3024
WORLDS = {"clear": (5, 0.0005), "murky": (5, 0.0005), "constant": (5, 0.0005), "null": (20, 0.0)}
"""Seeds of each world, and the cost per side."""

HEAD = """# Synthetic worlds: what was planted is found, and nothing else

Synthetic markets of `backtest.market.synthetic`, {symbols} symbols x {sessions:,} sessions each,
strategy `rsi_swing` ({sets} candidate sets), dollar-neutral book, decisions from session 756 on,
reselected every 5 and refitted every 125 sessions, out of sample and net of costs, each seed a
first look (batch 1, alpha {alpha:.4f}). `oracle` is the same table with the true state. The seeds
were looked at for the first time for this page, by `python docs/results/worlds.py {first}`;
`make test-slow` judges seeds of its own.
"""


@dataclass(frozen=True)
class Found:
    """One world: annual out-of-sample Sharpe ratios, accuracy, sessions up to the promotion."""

    seed: int
    accuracy: float
    sharpe: dict[str, float]
    promoted_after: int | None
    sets: int
    alpha: float


def walked(task: tuple[WorldName, int, float]) -> Found:
    """Walk one world."""
    world, seed, cost = task
    made = generate(WorldConfig(world=world, symbols=SYMBOLS, seed=seed), weekdays(SESSIONS))
    panel, spec = Panel.from_frame(made.bars), WalkSpec(cost=cost)
    truth = TruthTrack(made.states, STATES)
    walk = walk_forward(panel, [STRATEGY], spec, truth=truth)
    one, year = walk.strategies[STRATEGY], math.sqrt(walk.periods_per_year)
    likeliest = walk.regimes.published()["state"].to_numpy()[walk.start :].astype(np.int64)
    return Found(
        seed,
        state_accuracy(likeliest, truth.states[walk.start :]),
        {n: (sharpe_ratio(r) or 0.0) * year for n, r in walk.streams(STRATEGY).net.items()},
        None if one.promoted_at is None else one.promoted_at - walk.start,
        one.corpus.candidates,
        one.registration.alpha(spec.gate.alpha),
    )


def table(found: list[Found]) -> str:
    """One row per seed, and what they say together."""
    shown = ("regime_aware", "static", "experts", "oracle")
    lines = [
        f"| seed | state accuracy | {' | '.join(shown)} | capture | promoted after, sessions |"
    ]
    lines.append("|---" * (len(shown) + 4) + "|")
    for one in found:
        cells = " | ".join(f"{one.sharpe[name]:+.2f}" for name in shown)
        after = "-" if one.promoted_after is None else str(one.promoted_after)
        part = f"{share([one]):.2f}" if share([one]) is not None else "-"
        lines.append(f"| {one.seed} | {one.accuracy:.2f} | {cells} | {part} | {after} |")
    above = sum(one.sharpe["regime_aware"] > one.sharpe["static"] for one in found)
    promoted, n = sum(one.promoted_after is not None for one in found), len(found)
    said = f"Mean accuracy {np.mean([one.accuracy for one in found]):.2f}; `regime_aware` above "
    said += f"`static` on {above} of {n} seeds, promoted on {promoted} of {n}"
    pooled = share(found)
    said += "." if pooled is None else f"; pooled capture {pooled:.2f}."
    return "\n".join([*lines, "", said])


def share(found: list[Found]) -> float | None:
    """Part of what the true state adds to `static` that was captured; none if it adds little."""
    base, gain, most = (
        float(np.mean([one.sharpe[name] for one in found]))
        for name in ("static", "regime_aware", "oracle")
    )
    return (gain - base) / (most - base) if most - base > 0.3 else None


def null_words(found: list[Found]) -> str:
    """What twenty markets without an effect showed."""
    promoted = sum(one.promoted_after is not None for one in found)
    means = {n: [one.sharpe[n] for one in found] for n in ("regime_aware", "static", "oracle")}
    error = np.std(means["regime_aware"], ddof=1) / math.sqrt(len(found))
    return (
        f"Promoted on {promoted} of {len(found)}, looked at after every session. Mean Sharpe of "
        f"`regime_aware` {np.mean(means['regime_aware']):+.2f} (standard error {error:.2f}), of "
        f"`static` {np.mean(means['static']):+.2f}, of the oracle {np.mean(means['oracle']):+.2f}."
    )


def main(first: int) -> None:
    """Walk every world and write the page."""
    assert set(WORLDS) <= set(get_args(WorldName))
    parts, every = [], []
    with ProcessPoolExecutor(2) as pool:
        for world, (seeds, cost) in WORLDS.items():
            tasks = [(world, seed, cost) for seed in range(first, first + seeds)]
            found = []
            for one in pool.map(walked, tasks):
                found.append(one)
                print(f"{world} {one.seed}: {one.sharpe['regime_aware']:+.2f}", file=sys.stderr)
            said = "at zero cost" if cost == 0.0 else f"{cost * 1e4:g} bp per side"
            words = null_words(found) if world == "null" else table(found)
            parts.append(f"## {world.capitalize()}, {said}\n\n{words}\n")
            every += found
    one = every[0]
    facts = {"symbols": SYMBOLS, "sessions": SESSIONS, "sets": one.sets, "alpha": one.alpha}
    text = "\n".join([HEAD.format(first=first, **facts), *parts])
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]))
