"""The project's own sweep, measured the way its peers are.

For: ``benchmarks/peers.py``, in the project's environment. Not for: comparison with the
hand-written loop, which is ``benchmarks/sweep.py``.
"""

import numpy as np
from clocked import asked, cheapest, tell

from backtest.engine.sweep import stream_metrics, sweep_metrics
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES


def main() -> None:
    """All fourteen metrics of every set on every symbol."""
    told, rule = asked(["sweep"]), STRATEGIES.get("rsi_reversion")
    panel = Panel(
        symbols=tuple(f"S{n:03d}" for n in range(len(told.close))),
        dates=np.arange(told.close.shape[1]).astype("datetime64[D]"),
        open=told.open,
        high=np.maximum(told.open, told.close),
        low=np.minimum(told.open, told.close),
        close=told.close,
        volume=np.ones_like(told.close),
        tradable=np.ones(told.close.shape, dtype=bool),
        sectors=("",) * len(told.close),
        periods_per_year=int(told.year),
        member=np.ones(told.close.shape, dtype=bool),
    )
    columns = {
        "period": told.period,
        "overbought": told.overbought,
        "oversold": told.oversold,
        "smoothing": np.ones(len(told.period), dtype=np.int64),
    }
    grid = ParamGrid(rule.params, columns)

    def sweep() -> None:
        for _ in stream_metrics(panel, rule, grid, cost=told.cost):
            pass

    took = cheapest(sweep, told.rounds)
    found = sweep_metrics(panel, rule, grid, cost=told.cost)
    few = {name: found[name].T for name in ("total_return", "trades", "sharpe", "max_drawdown")}
    tell(took, few, packages=["numpy", "numba"], metrics=len(found))


if __name__ == "__main__":
    main()
