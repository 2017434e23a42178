"""Metrics of what was earned.

For: total, annual and constant-stake return, and how much it varied. Not for: reward per risk
(``risk``).
"""

from __future__ import annotations

import math

from backtest.metric import (
    METRICS,
    Metric,
    MetricInput,
    Undefined,
    annual_growth,
    compound,
    deviation,
)


def total_return(given: MetricInput) -> float | Undefined:
    """Compounded return over the whole span."""
    return compound(given.returns) if given.returns.size else Undefined("no returns")


def pnl(given: MetricInput) -> float | Undefined:
    """Profit of a stake of 1 that is topped up or skimmed every session: the sum of returns."""
    return float(given.returns.sum()) if given.returns.size else Undefined("no returns")


def cagr(given: MetricInput) -> float | Undefined:
    """Compounded return per year; a year is ``periods_per_year`` sessions, not a calendar year."""
    if given.returns.size == 0:
        return Undefined("no returns")
    if compound(given.returns) < -1.0:
        return Undefined("more than everything was lost")
    return annual_growth(given)


def volatility(given: MetricInput) -> float | Undefined:
    """Annualised standard deviation (n - 1) of returns."""
    if given.returns.size < 2:
        return Undefined("fewer than two returns")
    return deviation(given.returns) * math.sqrt(given.periods_per_year)


METRICS.register("total_return")(Metric(total_return, "decimal", "higher"))
METRICS.register("pnl")(Metric(pnl, "decimal", "higher"))
METRICS.register("cagr")(Metric(cagr, "decimal", "higher", annualised=True))
# One number under the two names it goes by.
METRICS.register("annualised_return")(Metric(cagr, "decimal", "higher", annualised=True))
METRICS.register("volatility")(Metric(volatility, "decimal", "lower", annualised=True))
