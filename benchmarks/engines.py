"""The fast engine against the slow one on the same market, sets and costs, in one run.

Run it: python benchmarks/engines.py
"""

from datetime import date

import numpy as np
from measured import keep, median_seconds

from backtest.engine.books import sweep_book
from backtest.engine.sweep import backtest, sweep_metrics
from backtest.market.calendar import sessions
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from backtest.strategy import STRATEGIES

COST = 0.0005


def main() -> None:
    days = sessions("XNYS", FIRST_SESSION, date(2013, 12, 31))
    panel = Panel.from_frame(generate(WorldConfig(symbols=40, seed=0), days).bars)
    rule = STRATEGIES.get("rsi_swing")
    grid = rule.candidates()
    few = grid.take(np.arange(0, grid.size, max(1, grid.size // 4))[:4])
    sweep_metrics(panel, rule, few, cost=COST)  # compile
    sweep_book(panel, rule, few, kind="dollar-neutral", cost=COST)

    def slow() -> None:
        for i in range(few.size):
            backtest(panel, rule, few.set(i), cost=COST, engine="reference")

    events = median_seconds(lambda: sweep_metrics(panel, rule, grid, cost=COST))
    reference = median_seconds(slow)
    book = median_seconds(lambda: sweep_book(panel, rule, grid, kind="dollar-neutral", cost=COST))
    bars = int(panel.tradable.sum())
    per_bar = {
        "events": events / (bars * grid.size),
        "reference": reference / (bars * few.size),
        "book": book / (bars * grid.size),
    }
    keep(
        "engines",
        {
            "reference_over_events": per_bar["reference"] / per_bar["events"],
            "book_over_events": per_bar["book"] / per_bar["events"],
            "bars": bars,
            "sets": grid.size,
        },
        seconds={"events": events, "reference": reference, "book": book},
    )


if __name__ == "__main__":
    main()
