"""The whole walk-forward against the bare sweep of its candidates, in one run, with its limits.

Run it: python benchmarks/walk_forward.py [symbols sessions]

With $WEATHERVANE_MARKET_DATA set, the S&P panel of that folder is walked as well.
"""

import os
import resource
import sys
import time
from pathlib import Path

from measured import keep

from backtest.engine.books import sweep_book
from backtest.market.bars import panel_of
from backtest.market.calendar import sessions
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from backtest.strategy import STRATEGIES
from ml.corpus import WalkSpec
from ml.walkforward import walk_forward

STRATEGY = "rsi_swing"
LIMITS_S = {"world": 60.0, "sp500": 240.0}
COST = 0.0005


def world(symbols: int, count: int) -> Panel:
    days = sessions("XNYS", FIRST_SESSION, FIRST_SESSION.replace(year=2025))[:count]
    return Panel.from_frame(generate(WorldConfig(symbols=symbols, seed=0), days).bars)


def measure(name: str, panel: Panel) -> None:
    rule = STRATEGIES.get(STRATEGY)
    started = time.perf_counter()
    sweep_book(panel, rule, rule.candidates(), kind="dollar-neutral", cost=COST)
    sweep = time.perf_counter() - started
    started = time.perf_counter()
    walk_forward(panel, [STRATEGY], WalkSpec(cost=COST))
    walk = time.perf_counter() - started
    limit = LIMITS_S[name]
    keep(
        f"walk_forward_{name}",
        {
            "walk_over_sweep": walk / sweep,
            "symbols": panel.shape[0],
            "sessions": panel.shape[1],
            "limit_s": limit,
            "within": walk <= limit,
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        },
        seconds={"sweep": sweep, "walk_forward": walk},
    )


def main(symbols: int = 100, count: int = 3024) -> None:
    walk_forward(world(6, 900), [STRATEGY], WalkSpec(cost=COST))  # compile
    measure("world", world(symbols, count))
    folder = os.environ.get("WEATHERVANE_MARKET_DATA")
    if folder:
        measure("sp500", panel_of(Path(folder, "sp500_daily_sectors_5yr.parquet"))[0])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
