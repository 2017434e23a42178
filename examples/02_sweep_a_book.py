"""Every candidate set as a dollar-neutral book, and what the best one in hindsight is worth.

Run it: python examples/02_sweep_a_book.py
"""

from datetime import date

import numpy as np

from backtest.engine.books import sweep_book
from backtest.evidence.sharpe import expected_maximum
from backtest.market.calendar import sessions
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from backtest.strategy import STRATEGIES


def main() -> None:
    # A market without any effect at all: whatever looks good in it is luck.
    days = sessions("XNYS", FIRST_SESSION, date(2012, 12, 31))
    panel = Panel.from_frame(generate(WorldConfig(world="null", symbols=10, seed=2), days).bars)

    rule = STRATEGIES.get("rsi_swing")
    grid = rule.candidates()
    result = sweep_book(panel, rule, grid, kind="dollar-neutral", cost=0.0)  # [P, T]

    deviation = result.net_return.std(axis=1, ddof=1)
    moving = np.where(deviation > 0.0, deviation, np.inf)  # a set that never trades scores 0
    sharpe = result.net_return.mean(axis=1) / moving * np.sqrt(252)
    best = int(sharpe.argmax())
    print(f"{grid.size} sets on pure noise, before costs")
    print(f"best set: {grid.row(best)}, Sharpe {sharpe[best]:+.2f}")
    luck = expected_maximum(grid.size) / np.sqrt(len(days) / 252)
    print(f"expected best of {grid.size} independent sets without skill: {luck:+.2f}")


if __name__ == "__main__":
    main()
