"""The sweep on a GPU against the same sweep on all cores, metrics and books, in one run.

For: whole sweeps from prices to results on both, and the walk of the accounts alone, as ratios;
both are compared before they are timed. Not for: machines without a GPU, where it says so and
measures nothing.
"""

import sys

import numpy as np
from measured import best_seconds, keep
from sweep import BARS, COST, TENS, market, rsi_grid

from backtest.engine import device
from backtest.engine.books import sweep_book
from backtest.engine.plan import Plan
from backtest.engine.sweep import stream_metrics
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES, Strategy

SYMBOLS, KIND = 500, "dollar-neutral"


def compared(panel: Panel, rule: Strategy, grid: ParamGrid) -> float:
    """Refuse to time two engines that differ; the largest difference, relative and absolute."""
    worst = 0.0
    both = (stream_metrics(panel, rule, grid, cost=COST, device=d) for d in device.DEVICES)
    for slow, fast in zip(*both, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-12)
        worst = max(worst, float(np.nanmax(np.abs(fast - slow) / (1.0 + np.abs(slow)))))
    slow, fast = (
        sweep_book(panel, rule, grid, kind=KIND, cost=COST, device=d) for d in device.DEVICES
    )
    np.testing.assert_allclose(fast.net_return, slow.net_return, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(fast.turnover, slow.turnover, rtol=0.0, atol=1e-12)
    return worst


def walk_seconds(panel: Panel, rule: Strategy, grid: ParamGrid) -> float:
    """Time of the walk of all accounts alone, with everything on the GPU already."""
    import torch

    from backtest.engine import device_accounts

    bars = [panel.bars(s) for s in range(SYMBOLS)]
    prices = device.market_of(bars, "cuda")
    columns, sides, shorts = device.packed_columns(Plan(rule.rules(grid)), bars, "cuda")

    def walk() -> None:
        device_accounts.walk(columns, sides, prices, cost=COST, shorts=shorts)
        torch.cuda.synchronize()

    walk()
    return best_seconds(walk)


def main() -> None:
    """Compare, then measure."""
    lacking = device.lacking()
    if lacking is not None:
        sys.stdout.write(f"skipped: {lacking}\n")
        return
    import torch

    panel, rule, (grid, _) = market(SYMBOLS), STRATEGIES.get("rsi_reversion"), rsi_grid(TENS)
    worst = compared(panel, rule, grid)  # which also compiles
    took = {"walk": walk_seconds(panel, rule, grid)}

    def metrics(on: str) -> None:
        for _ in stream_metrics(panel, rule, grid, cost=COST, device=on):
            pass

    for on in device.DEVICES:
        took[f"metrics {on}"] = best_seconds(lambda on=on: metrics(on), 3)
        took[f"book {on}"] = best_seconds(
            lambda on=on: sweep_book(panel, rule, grid, kind=KIND, cost=COST, device=on), 2
        )
    tera = SYMBOLS * grid.size * BARS / 1e12
    keep(
        "device",
        {
            "gpu": torch.cuda.get_device_name(),
            **{"symbols": SYMBOLS, "sets": grid.size, "bars": BARS},
            "metrics_cpu_over_gpu": round(took["metrics cpu"] / took["metrics cuda"], 2),
            "book_cpu_over_gpu": round(took["book cpu"] / took["book cuda"], 2),
            "tera_bar_evaluations_per_second": round(tera / took["metrics cuda"], 3),
            "tera_of_the_walk_alone": round(tera / took["walk"], 3),
            "tera_of_the_book": round(tera / took["book cuda"], 3),
            "largest_difference": worst,
        },
        seconds=took,
    )


if __name__ == "__main__":
    main()
