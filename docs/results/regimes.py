"""Make the page of regime models beside this file.

For: `python docs/results/regimes.py [processes]`, about half an hour on two cores. Not for: real
markets; every market here is synthetic, because only there the state is known.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.evidence.sharpe import sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, generate, weekdays
from ml.corpus import WalkSpec, corpus, history_of
from ml.decision import Memo, TruthTrack, regimes_of
from ml.policy import PolicyConfig
from ml.proof.calibration import calibration, planted_probabilities
from ml.proof.contest import contest
from ml.proof.measures import detection
from ml.regime_track import state_accuracy

SYMBOLS, SESSIONS, STRATEGY = 100, 3024, "rsi_swing"
WORLDS: dict[str, dict[str, Any]] = {
    "clear": {"world": "clear"},
    "murky": {"world": "murky"},
    "clear, v0": {"world": "clear", "volume": 0.0},
    "clear, f0": {"world": "clear", "factor": 0.0},
}
SEEDS = {"hmm": 10, "jump": 4, "mixture": 4, "average": 4, "axes": 3, "rules": 3}
FIRST_SEED = 4001
PLAIN = ("axes", "rules")
"""Models that are far behind: fewer seeds, two worlds."""
HEAD = f"""# How well regime models see planted states

Synthetic markets only. Made by `python docs/results/regimes.py`.

{SYMBOLS} symbols x {SESSIONS:,} sessions, first fit at 756, refit each 125, {STRATEGY}, 5 basis
points; out of sample, as published. Capture is (regime - static) / (true state - static), soft
against soft, of the mean Sharpe ratios over seeds. *v0* is the clear world whose volume says
nothing of the state, *f0* the one without a common factor. Delay: sessions until a change is seen,
mean over seeds of the median; named: changes of the state found for each planted one. States:
fewest and most of any fit.

| model | world | seeds | accuracy | worst | capture | delay | named | Brier | calibration error |
states |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
""".replace(" |\nstates |", " | states |")


@dataclass(frozen=True)
class Seen:
    """One model on one market."""

    accuracy: float
    delay: float
    named: float
    brier: float
    error: float
    states: tuple[int, int]
    static: float
    regime: float
    oracle: float


def seen(task: tuple[str, str, int]) -> Seen:
    """Walk one model over one market."""
    model, world, seed = task
    config = WorldConfig(symbols=SYMBOLS, seed=seed, **WORLDS[world])
    made = generate(config, weekdays(SESSIONS))
    panel, truth = Panel.from_frame(made.bars), TruthTrack(made.states, STATES)
    spec = WalkSpec(policy=policy_with(model), cost=0.0005, synthetic=True)
    corpora = {STRATEGY: corpus(panel, STRATEGY, spec, progress=None)}
    history, memo = history_of(panel, corpora), Memo()
    start = spec.policy.train
    lane = regimes_of(history, spec.policy, seed=spec.seed, memo=memo)
    published, planted = lane.published()[start:], made.states[start:]
    told = published.select("^state_\\d+$").to_numpy()
    found = published["state"].to_numpy().astype(np.int64)
    near = calibration(planted_probabilities(told, planted), planted)
    delay = detection(found, planted)
    both = ("static", "regime_table")
    held = contest(panel, history, corpora, spec, learners=both, memo=memo)
    known = contest(panel, history, corpora, spec, learners=both[1:], memo=Memo(), regimes=truth)
    yearly = np.sqrt(panel.periods_per_year)
    static, regime = (sharpe_ratio(held.entries[STRATEGY][name].net) for name in both)
    oracle = sharpe_ratio(known.entries[STRATEGY]["regime_table"].net)
    counts = [len(fit.names) for fit in lane.fits.values()]
    return Seen(
        accuracy=state_accuracy(found, planted),
        delay=float(np.median(delay.delays)) if delay.delays else np.nan,
        named=delay.named / max(int(np.count_nonzero(np.diff(planted))), 1),
        brier=near.brier,
        error=near.error,
        states=(min(counts), max(counts)),
        static=float(static * yearly),
        regime=float(regime * yearly),
        oracle=float(oracle * yearly),
    )


def policy_with(model: str) -> PolicyConfig:
    """Terms of a scorecard with another regime model."""
    return PolicyConfig().model_copy(update={"regime_model": model})


def tasks() -> Iterator[tuple[str, str, int]]:
    """Every market of every model."""
    for model, count in SEEDS.items():
        for world in list(WORLDS)[: 2 if model in PLAIN else None]:
            yield from ((model, world, FIRST_SEED + k) for k in range(count))


def line(label: str, world: str, found: list[Seen]) -> str:
    """One row of the table."""

    def mean(name: str) -> float:
        return float(np.nanmean([getattr(one, name) for one in found]))

    captured = (mean("regime") - mean("static")) / (mean("oracle") - mean("static"))
    worst = min(one.accuracy for one in found)
    fewest = min(one.states[0] for one in found)
    most = max(one.states[1] for one in found)
    return (
        f"| {label} | {world} | {len(found)} | {mean('accuracy'):.3f} | {worst:.3f} "
        f"| {captured:.3f} | {mean('delay'):.1f} | {mean('named'):.1f} | {mean('brier'):.3f} "
        f"| {mean('error'):.3f} | {fewest} to {most} |\n"
    )


def page(found: dict[tuple[str, str, int], Seen]) -> str:
    """The whole page."""
    rows = []
    for model in SEEDS:
        for world in WORLDS:
            own = [one for task, one in found.items() if task[:2] == (model, world)]
            if own:
                rows.append(line(f"`{model}`", world, own))
            if len(own) > 4:
                rows.append(line(f"`{model}`, first four", world, own[:4]))
    return HEAD + "".join(rows)


def main() -> None:
    """Write the page."""
    todo = list(tasks())
    found = {}
    with ProcessPoolExecutor(int(sys.argv[1]) if len(sys.argv) > 1 else 2) as pool:
        for done, (task, one) in enumerate(zip(todo, pool.map(seen, todo), strict=True), 1):
            found[task] = one
            print(f"{done} of {len(todo)}: {task} {one.accuracy:.3f}", flush=True)
    Path(__file__).with_suffix(".md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
