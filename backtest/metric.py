"""Socket of metrics: the registry, the unit of each, and formulas that several families share.

For: one definition per metric, whoever asks. Not for: statistics about overfitting, which live
in ``evidence``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.registry import Registry
from backtest.result import Trades

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MetricInput:
    """Everything that a metric may read.

    Parameters
    ----------
    returns : float64, ``[time]``
        Simple returns per session.
    periods_per_year : int
    risk_free : float
        Annual rate, turned into a geometric rate per session.
    benchmark : float64, ``[time]``, optional
        Benchmark returns on the same sessions.
    trades : Trades, optional
    turnover : float64, ``[time]``, optional
        Traded notional over equity per session.
    """

    returns: Floats
    periods_per_year: int
    risk_free: float = 0.0
    benchmark: Floats | None = None
    trades: Trades | None = None
    turnover: Floats | None = None


@dataclass(frozen=True)
class Undefined:
    """A value that does not exist, with the reason; written as null beside its reason."""

    reason: str


@dataclass(frozen=True)
class Metric:
    """One named number.

    Parameters
    ----------
    compute : callable
        From ``MetricInput`` to a float, or ``Undefined``; None where the input lacks what the
        metric is about (no trades, no benchmark), and then it is not reported.
    unit : str
        ``decimal``, ``ratio``, ``count``, ``sessions`` or ``probability``.
    better : str
        ``higher`` or ``lower``.
    annualised : bool
    """

    compute: Callable[[MetricInput], float | Undefined | None]
    unit: Literal["decimal", "ratio", "count", "sessions", "probability"]
    better: Literal["higher", "lower"]
    annualised: bool = False


METRICS: Registry[Metric] = Registry("metric", "backtest.metrics")


def evaluate(given: MetricInput) -> tuple[dict[str, float | None], dict[str, str]]:
    """Compute every registered metric that the input allows.

    Returns
    -------
    values : dict of str to float or None
    reasons : dict of str to str
        Why a value is None.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, metric in METRICS.items():
        value = metric.compute(given)
        if value is None:
            continue
        if isinstance(value, Undefined):
            values[name], reasons[name] = None, value.reason
        elif not np.isfinite(value):
            values[name], reasons[name] = None, "not a finite number"
        else:
            values[name] = float(value)
    return values, reasons


def excess(given: MetricInput) -> Floats:
    """Subtract the risk-free rate, spread geometrically over the year; float64, ``[time]``."""
    daily: float = (1.0 + given.risk_free) ** (1.0 / given.periods_per_year) - 1.0
    return given.returns - daily


def deviation(values: Floats) -> float:
    """Sample standard deviation (n - 1); exactly 0 for values that are all the same.

    Examples
    --------
    >>> deviation(np.array([0.1, 0.1, 0.1]))
    0.0
    """
    return 0.0 if np.ptp(values) == 0.0 else float(values.std(ddof=1))


def compound(returns: Floats) -> float:
    """Total compounded return.

    Examples
    --------
    >>> round(compound(np.array([0.1, -0.5])), 12)
    -0.45
    """
    return float(np.prod(1.0 + returns) - 1.0)


def annual_growth(given: MetricInput) -> float:
    """Compounded return per year, ``(1 + total) ** (periods_per_year / n) - 1``."""
    years = given.returns.size / given.periods_per_year
    return float((1.0 + compound(given.returns)) ** (1.0 / years) - 1.0)


def drawdown(returns: Floats) -> float:
    """Largest fall of compounded equity that starts at 1, as a positive magnitude.

    Examples
    --------
    >>> drawdown(np.array([-0.1, 0.2, -0.5]))
    0.5
    """
    equity = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return float((1.0 - equity / np.maximum.accumulate(equity)).max())
