"""Compile what is compiled on first use, so that the first real run does not wait for it.

For: the end of the set-up. Not for: results; what it computes is thrown away.
"""

import logging
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)


def warm() -> None:
    """Run every strategy, the sweep and a walk-forward on a toy market; compilers cache it."""
    import numpy as np

    from backtest.engine.books import mix_book, sweep_book
    from backtest.engine.sweep import backtest, sweep_metrics
    from backtest.kernel_cache import drop_others
    from backtest.market.bars import panel_of
    from backtest.strategy import STRATEGIES
    from pipeline.commands.markets import write_market
    from pipeline.commands.walks import run_walk_forward

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        write_market("clear", symbols=6, sessions=260, seed=0, out=source)
        panel, _ = panel_of(source)
        for name in STRATEGIES.names():
            rule = STRATEGIES.get(name)
            grid = rule.candidates().take(np.arange(2))
            sweep_metrics(panel, rule, grid, cost=0.0005)
            backtest(panel, rule, grid.set(0), cost=0.0005)
            weights = np.full((1, panel.shape[1], grid.size), 1.0 / grid.size)
            for kind in ("long-only", "dollar-neutral", "sector-neutral"):
                sweep_book(panel, rule, grid, kind=kind, cost=0.0005)
                mix_book(panel, rule, grid, weights, kind=kind, cost=0.0005)
        run_walk_forward(source, out=source / "walk", train=200, refit=40)
    drop_others()
    logger.info("compile caches are warm")


if __name__ == "__main__":
    warm()
