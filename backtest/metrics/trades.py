"""Metrics of round trips and of trading itself.

For: what closed trades earned after costs, how long they took, how much was traded. Not for:
open trades, which count in none of these.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backtest.metric import METRICS, Floats, Metric, MetricInput, Undefined
from backtest.result import EVEN

NO_TRADE = Undefined("no closed trade")


def _closed(given: MetricInput) -> Floats | None:
    """Net returns of the closed trades; None where trades are unknown."""
    if given.trades is None:
        return None
    return given.trades.net_return[given.trades.exit >= 0]


def trades(given: MetricInput) -> float | None:
    """Count of closed round trips."""
    net = _closed(given)
    return None if net is None else float(net.size)


def _mean_of(
    pick: Callable[[Floats], Floats], reason: str
) -> Callable[[MetricInput], float | Undefined | None]:
    """Mean over the trades that ``pick`` keeps."""

    def compute(given: MetricInput) -> float | Undefined | None:
        net = _closed(given)
        if net is None:
            return None
        kept = pick(net)
        return float(kept.mean()) if kept.size else Undefined(reason)

    return compute


average_win = _mean_of(lambda net: net[net > EVEN], "no winning trade")
average_loss = _mean_of(lambda net: net[net < -EVEN], "no losing trade")
expectancy = _mean_of(lambda net: net, "no closed trade")
win_rate = _mean_of(lambda net: (net > EVEN).astype(np.float64), "no closed trade")


def profit_factor(given: MetricInput) -> float | Undefined | None:
    """Sum of winning net returns over the magnitude of the losing ones."""
    net = _closed(given)
    if net is None:
        return None
    lost = -float(net[net < -EVEN].sum())
    if lost == 0.0:
        return Undefined("no losing trade") if net.size else NO_TRADE
    return float(net[net > EVEN].sum()) / lost


def holding_time(given: MetricInput) -> float | Undefined | None:
    """Mean sessions from the entry's fill to the exit's."""
    if given.trades is None:
        return None
    held = given.trades.bars_held[given.trades.exit >= 0]
    return float(held.mean()) if held.size else NO_TRADE


def turnover(given: MetricInput) -> float | Undefined | None:
    """Traded notional over equity, per year."""
    if given.turnover is None:
        return None
    if given.turnover.size == 0:
        return Undefined("no sessions")
    return float(given.turnover.mean() * given.periods_per_year)


METRICS.register("trades")(Metric(trades, "count", "higher"))
METRICS.register("win_rate")(Metric(win_rate, "probability", "higher"))
METRICS.register("average_win")(Metric(average_win, "decimal", "higher"))
METRICS.register("average_loss")(Metric(average_loss, "decimal", "higher"))
METRICS.register("expectancy")(Metric(expectancy, "decimal", "higher"))
METRICS.register("profit_factor")(Metric(profit_factor, "ratio", "higher"))
METRICS.register("holding_time")(Metric(holding_time, "sessions", "lower"))
METRICS.register("turnover")(Metric(turnover, "ratio", "lower", annualised=True))
