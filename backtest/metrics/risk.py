"""Metrics of risk, and of reward per risk.

For: ratios, drawdown, tail losses, the shape of returns, and the comparison with a benchmark.
Not for: whether any of it is luck (``evidence``).
"""

from __future__ import annotations

import numpy as np

from backtest.metric import (
    METRICS,
    Floats,
    Metric,
    MetricInput,
    Undefined,
    annual_growth,
    compound,
    deviation,
    drawdown,
    excess,
)

TAIL = 0.05
"""Share of the worst sessions that value at risk and expected shortfall look at."""

NO_RETURNS = Undefined("no returns")
TOO_FEW = Undefined("fewer than two returns")


def sharpe(given: MetricInput) -> float | Undefined:
    """Mean excess return over its standard deviation (n - 1), annualised."""
    if given.returns.size < 2:
        return TOO_FEW
    above = excess(given)
    spread = deviation(above)
    if spread == 0.0:
        return Undefined("returns do not vary")
    return float(above.mean() / spread * np.sqrt(given.periods_per_year))


def sortino(given: MetricInput) -> float | Undefined:
    """Mean excess return over its downside deviation, annualised.

    The downside deviation is the root mean square of ``min(excess, 0)`` over **all** n sessions.
    """
    if given.returns.size == 0:
        return NO_RETURNS
    above = excess(given)
    downside = float(np.sqrt(np.mean(np.minimum(above, 0.0) ** 2)))
    if downside == 0.0:
        return Undefined("no session lost anything")
    return float(above.mean() / downside * np.sqrt(given.periods_per_year))


def max_drawdown(given: MetricInput) -> float | Undefined:
    """Largest fall of compounded equity, which starts at 1; a positive magnitude."""
    return drawdown(given.returns) if given.returns.size else NO_RETURNS


def calmar(given: MetricInput) -> float | Undefined:
    """Compounded return per year over the largest drawdown."""
    if given.returns.size == 0:
        return NO_RETURNS
    fall = drawdown(given.returns)
    if fall == 0.0:
        return Undefined("equity never fell")
    if compound(given.returns) < -1.0:
        return Undefined("more than everything was lost")
    return annual_growth(given) / fall


def var_95(given: MetricInput) -> float | Undefined:
    """Loss that 5 % of sessions reach, historical; 0 where even those gained."""
    if given.returns.size == 0:
        return NO_RETURNS
    return max(0.0, -float(np.percentile(given.returns, 100 * TAIL)))


def cvar_95(given: MetricInput) -> float | Undefined:
    """Mean loss of the worst 5 % of sessions, historical; 0 where even those gained."""
    if given.returns.size == 0:
        return NO_RETURNS
    worst = int((given.returns.size - 1) * TAIL) + 1
    return max(0.0, -float(np.sort(given.returns)[:worst].mean()))


def _moment(values: Floats, order: int) -> float | Undefined:
    """Central moment in units of the standard deviation (n)."""
    if values.size < 2:
        return TOO_FEW
    if deviation(values) == 0.0:
        return Undefined("returns do not vary")
    return float(np.mean(((values - values.mean()) / values.std()) ** order))


def skewness(given: MetricInput) -> float | Undefined:
    """Third moment of the standardised returns, with n in every mean."""
    return _moment(given.returns, 3)


def kurtosis(given: MetricInput) -> float | Undefined:
    """Fourth moment of the standardised returns, with n in every mean; a normal one has 3."""
    return _moment(given.returns, 4)


def information_ratio(given: MetricInput) -> float | Undefined | None:
    """Mean return above the benchmark over its standard deviation (n - 1), annualised."""
    if given.benchmark is None:
        return None
    if given.returns.size < 2:
        return TOO_FEW
    active = given.returns - given.benchmark
    spread = deviation(active)
    if spread == 0.0:
        return Undefined("the distance to the benchmark does not vary")
    return float(active.mean() / spread * np.sqrt(given.periods_per_year))


def beta(given: MetricInput) -> float | Undefined | None:
    """Slope of returns on the benchmark's."""
    if given.benchmark is None:
        return None
    if given.returns.size < 2:
        return TOO_FEW
    if deviation(given.benchmark) == 0.0:
        return Undefined("the benchmark does not vary")
    centred = given.benchmark - given.benchmark.mean()
    return float(centred @ (given.returns - given.returns.mean()) / (centred @ centred))


def alpha(given: MetricInput) -> float | Undefined | None:
    """Mean excess return that beta does not explain, compounded over a year."""
    slope = beta(given)
    if slope is None or isinstance(slope, Undefined):
        return slope
    assert given.benchmark is not None
    above = excess(given)
    market = given.benchmark + (above - given.returns)
    mean = float((above - slope * market).mean())
    return float((1.0 + mean) ** given.periods_per_year - 1.0)


METRICS.register("sharpe")(Metric(sharpe, "ratio", "higher", annualised=True))
METRICS.register("sortino")(Metric(sortino, "ratio", "higher", annualised=True))
METRICS.register("calmar")(Metric(calmar, "ratio", "higher", annualised=True))
METRICS.register("max_drawdown")(Metric(max_drawdown, "decimal", "lower"))
METRICS.register("var_95")(Metric(var_95, "decimal", "lower"))
METRICS.register("cvar_95")(Metric(cvar_95, "decimal", "lower"))
METRICS.register("skewness")(Metric(skewness, "ratio", "higher"))
METRICS.register("kurtosis")(Metric(kurtosis, "ratio", "lower"))
METRICS.register("information_ratio")(Metric(information_ratio, "ratio", "higher", annualised=True))
METRICS.register("alpha")(Metric(alpha, "decimal", "higher", annualised=True))
METRICS.register("beta")(Metric(beta, "ratio", "lower"))
