"""What a searcher's own work costs beside the evaluation of the sets that it asks for.

Run it: python benchmarks/search.py

Overhead over evaluation, per set: below 1 the market is dearer than the search. Each searcher asks
for 128 sets of a strategy, 16 at a time; the evaluation is the book sweep of such a batch.
"""

import time

import numpy as np
from measured import best_seconds, keep

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.strategy import STRATEGIES
from ml.evaluation import Evaluation, markets_of
from ml.objective import Goal
from ml.searcher import SEARCHERS
from ml.space import Space

TRIALS, BATCH = 128, 16
SIZES = (("rsi_swing", 30, 1260), ("rsi_swing", 100, 3024), ("confluence", 100, 3024))


def evaluation_of(strategy: str, symbols: int, sessions: int) -> Evaluation:
    world = generate(WorldConfig(symbols=symbols), weekdays(sessions))
    markets = markets_of(Panel.from_frame(world.bars), ("1d",))
    rule, goal = STRATEGIES.get(strategy), Goal.parse(("sharpe",))
    return Evaluation(markets, rule, goal, "dollar-neutral", 0.0005, reported=())


def own_seconds(name: str, space: Space, trials: int) -> float:
    """Seconds a set that a searcher spends on asking and telling, over a smooth surface."""
    searcher = SEARCHERS.get(name)(space, objectives=1, seed=0)
    spent, count = 0.0, 0
    while count < trials:
        started = time.perf_counter()
        rows = searcher.ask(BATCH)
        spent += time.perf_counter() - started
        values = -((space.unit(rows) - 0.4) ** 2).sum(axis=1, keepdims=True)
        started = time.perf_counter()
        searcher.tell(rows, values, np.ones(len(rows), dtype=bool))
        spent += time.perf_counter() - started
        count += len(rows)
    return spent / count


def main() -> None:
    overhead: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    own: dict[tuple[str, str], float] = {}
    for strategy, symbols, sessions in SIZES:
        evaluate = evaluation_of(strategy, symbols, sessions)
        space = Space.of(evaluate.strategy.params)
        rows = SEARCHERS.get("sobol")(space, objectives=1, seed=0).ask(BATCH)
        evaluate(rows)
        size = f"{strategy}, {symbols} x {sessions:,}"
        seconds[size] = best_seconds(lambda run=evaluate, sets=rows: run(sets), 3) / BATCH
        for name in SEARCHERS.names():
            if (name, strategy) not in own:
                own_seconds(name, space, BATCH)  # what is imported once does not count
                own[name, strategy] = own_seconds(name, space, TRIALS)
                seconds[f"{name} on {strategy}"] = own[name, strategy]
        overhead[size] = {n: own[n, strategy] / seconds[size] for n in SEARCHERS.names()}
    keep("search", {"overhead": overhead, "trials": TRIALS, "batch": BATCH}, seconds=seconds)


if __name__ == "__main__":
    main()
