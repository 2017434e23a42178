"""Closed forms about Sharpe ratios: how sure, how lucky, how long.

For: probabilistic and deflated Sharpe ratios, the expected maximum of many, and the shortest
track record or backtest that can carry a claim. Sharpe ratios are per period, kurtosis is not in
excess. Not for: resampling (``robustness``) or deciding anything (``ml.export.gate``).

Sources: Bailey and Lopez de Prado, "The Sharpe ratio efficient frontier" (2012) and "The deflated
Sharpe ratio" (2014); Bailey et al., "Pseudo-mathematics and financial charlatanism" (2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Floats = npt.NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True)
class Moments:
    """What the closed forms need of a return series.

    Parameters
    ----------
    sharpe : float
        Per period.
    observations : int
    skewness : float
    kurtosis : float
        Not in excess: 3 for normal returns.
    """

    sharpe: float
    observations: int
    skewness: float = 0.0
    kurtosis: float = 3.0


def sharpe_ratio(returns: Floats) -> float | None:
    """Sharpe ratio per period of returns ``[time]``; None below three rows or without deviation.

    Examples
    --------
    >>> round(sharpe_ratio(np.array([0.01, 0.02, 0.03])), 9)
    2.0
    """
    n = len(returns)
    if n < 3:
        return None
    mean = float(returns.mean())
    centred = returns - mean
    deviation = float(np.sqrt(centred @ centred / (n - 1)))
    if not np.isfinite(deviation) or deviation <= 1e-12 * max(1.0, float(np.abs(returns).max())):
        return None
    return mean / deviation


def moments(returns: Floats) -> Moments | None:
    """Moments of simple returns ``[time]``; None where :func:`sharpe_ratio` has no value.

    Examples
    --------
    >>> moments(np.zeros(10)) is None
    True
    """
    sharpe = sharpe_ratio(returns)
    if sharpe is None:
        return None
    centred = returns - returns.mean()
    square = centred * centred
    second = float(square.mean())
    return Moments(
        sharpe=sharpe,
        observations=len(returns),
        skewness=float((square * centred).mean()) / second**1.5,
        kurtosis=float((square * square).mean()) / second**2,
    )


def _spread(given: Moments) -> float:
    """Variance of the Sharpe estimate times ``observations - 1``."""
    sharpe = given.sharpe
    return 1.0 - given.skewness * sharpe + (given.kurtosis - 1.0) / 4.0 * sharpe**2


def probabilistic_sharpe(given: Moments, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark``, both per period.

    ``PSR = Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurt - 1)/4 SR^2))``.

    Examples
    --------
    >>> round(probabilistic_sharpe(Moments(0.458, 24)), 6)
    0.981675
    """
    distance = (given.sharpe - benchmark) * np.sqrt(given.observations - 1)
    return float(ndtr(distance / np.sqrt(max(_spread(given), 1e-12))))


def expected_maximum(trials: int) -> float:
    """Return the expected largest of ``trials`` worthless Sharpe ratios, each of unit variance.

    One trial has no maximum to be lucky with: 0.

    Examples
    --------
    >>> round(expected_maximum(100), 6)
    2.530603
    """
    if trials <= 1:
        return 0.0
    first = ndtri(1.0 - 1.0 / trials)
    second = ndtri(1.0 - 1.0 / (trials * np.e))
    return float((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_benchmark(trials: int, variance: float) -> float:
    """Sharpe ratio per period that the luckiest of ``trials`` worthless ones is expected to show.

    Parameters
    ----------
    trials : int
    variance : float
        Of the trials' Sharpe ratios per period.
    """
    return float(np.sqrt(max(variance, 0.0))) * expected_maximum(trials)


def deflated_sharpe(given: Moments, *, trials: int, variance: float) -> float:
    """Probability that the true Sharpe ratio exceeds what luck among ``trials`` would show."""
    return probabilistic_sharpe(given, deflated_benchmark(trials, variance))


def minimum_track_record(
    given: Moments, benchmark: float, *, confidence: float = 0.95
) -> float | None:
    """Observations after which ``given.sharpe`` beats ``benchmark`` with this confidence.

    None where the Sharpe ratio does not exceed the benchmark: no record is long enough.
    """
    if given.sharpe <= benchmark:
        return None
    z = float(ndtri(confidence))
    return 1.0 + _spread(given) * (z / (given.sharpe - benchmark)) ** 2


def minimum_backtest_length(trials: int, *, target: float = 1.0) -> float:
    """Years below which the best of ``trials`` worthless sets is expected to show ``target``.

    Examples
    --------
    >>> round(minimum_backtest_length(45), 6)
    4.998087
    """
    return (expected_maximum(trials) / target) ** 2


def luck_variance(sharpes: Floats, observations: int) -> float:
    """Variance of Sharpe ratios per session that luck explains: at least the sampling variance.

    Examples
    --------
    >>> luck_variance(np.array([0.01, 0.01]), 100)
    0.01
    """
    spread = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    return max(spread, 1.0 / observations)


def deflated_best(given: Moments, sharpes: Floats) -> float:
    """Deflated Sharpe ratio of the best of many trials.

    Parameters
    ----------
    given : Moments
        Of the best one.
    sharpes : float64, ``[trial]``
        Of all trials, per period. One without a value (NaN) counts in their number and not in
        their dispersion, which is at least what sampling alone gives, ``1 / observations``.
    """
    known = sharpes[np.isfinite(sharpes)]
    variance = luck_variance(known, given.observations)
    return deflated_sharpe(given, trials=len(sharpes), variance=variance)


def sharpe_error(sharpe: float, observations: int) -> float:
    """Standard error of a Sharpe ratio per period under iid normal returns (Lo 2002).

    Examples
    --------
    >>> round(sharpe_error(0.5, 12), 6)
    0.306186
    """
    return float(np.sqrt((1.0 + sharpe**2 / 2.0) / observations))


def annual_factor(autocorrelations: Floats, periods: int) -> float | None:
    """Factor from a Sharpe ratio per period to one of ``periods`` of them (Lo 2002, eta).

    ``q / sqrt(q + 2 sum_k (q - k) rho_k)``; ``sqrt(q)`` where nothing is autocorrelated.

    Parameters
    ----------
    autocorrelations : float64, ``[lag]``
        From lag 1 on; lags beyond ``periods - 1`` are not read, missing ones count as 0.
    periods : int

    Returns
    -------
    float, or None
        None where the autocorrelations leave no positive variance.

    Examples
    --------
    >>> round(annual_factor(0.2 ** np.arange(1, 12), 12), 6)
    2.878849
    """
    rho = np.asarray(autocorrelations, float)[: periods - 1]
    weight = periods - np.arange(1, len(rho) + 1)
    variance = periods + 2.0 * float(weight @ rho)
    return periods / float(np.sqrt(variance)) if variance > 1e-12 * periods else None


def adjusted_sharpe(returns: Floats, *, periods_per_year: int, lags: int = 10) -> float | None:
    """Annual Sharpe ratio that allows for autocorrelation up to ``lags`` sessions (Lo 2002).

    None where :func:`sharpe_ratio` has no value, or with no more sessions than twice the lags.
    """
    ratio = sharpe_ratio(returns)
    if ratio is None or len(returns) <= 2 * lags:
        return None
    centred = returns - returns.mean()
    square = float(centred @ centred)
    rho = np.array([float(centred[k:] @ centred[:-k]) / square for k in range(1, lags + 1)])
    factor = annual_factor(rho, periods_per_year)
    return None if factor is None else ratio * factor
