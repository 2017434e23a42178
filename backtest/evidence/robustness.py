"""Intervals that respect dependence over time.

For: the stationary-bootstrap interval of a Sharpe ratio, and a bound of how far one falls short of
another. Not for: closed forms (``sharpe``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sharpe_interval(
    returns: Floats,
    *,
    periods_per_year: int,
    seed: int,
    draws: int = 500,
    coverage: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of the annualised Sharpe ratio by the stationary bootstrap.

    Parameters
    ----------
    returns : float64, ``[time]``
        Simple returns per session.
    periods_per_year : int
    seed : int
    draws : int
    coverage : float

    Returns
    -------
    tuple of float, or None
        Lower and upper end; None below 30 sessions or without deviation.

    Notes
    -----
    The mean block length is Politis and White's rule (2004) as ``arch`` computes it.
    """
    if len(returns) < 30 or float(np.std(returns)) < 1e-12:
        return None

    def annual(sample: Floats) -> Floats:
        deviation = sample.std(ddof=1)
        scale = np.sqrt(periods_per_year) / deviation if deviation > 0 else 0.0
        return np.asarray([sample.mean() * scale])

    sample = _resampled(returns, annual, block=_block(returns), seed=seed, draws=draws)
    tail = 100.0 * (1.0 - coverage) / 2.0
    low, high = np.percentile(sample, [tail, 100.0 - tail])
    return float(low), float(high)


def shortfall_bound(
    benchmark: Floats, returns: Floats, *, seed: int, draws: int = 500, coverage: float = 0.95
) -> float | None:
    """Upper bound of how far a Sharpe ratio per session lies below a benchmark's.

    Parameters
    ----------
    benchmark, returns : float64, ``[time]``
        Returns on the same sessions, which are drawn together.
    seed : int
    draws : int
    coverage : float
        One-sided.

    Returns
    -------
    float, or None
        None below 30 sessions, or where one of them has no deviation.
    """
    streams = np.stack([benchmark, returns], axis=1)
    if len(streams) < 30 or float(streams.std(axis=0).min()) < 1e-12:
        return None

    def gap(sample: Floats) -> Floats:
        ratio = sample.mean(axis=0) / np.maximum(sample.std(axis=0), 1e-12)
        return np.asarray([ratio[0] - ratio[1]])

    block = max(_block(benchmark), _block(returns))
    sample = _resampled(streams, gap, block=block, seed=seed, draws=draws)
    return float(np.percentile(sample, 100.0 * coverage))


def _block(returns: Floats) -> int:
    """Mean length of the blocks that are drawn."""
    from arch.bootstrap import optimal_block_length

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        block = float(optimal_block_length(returns)["stationary"].iloc[0])
    if not np.isfinite(block):
        block = len(returns) ** (1 / 3)
    return max(1, round(block))


def _resampled(
    series: Floats, statistic: Callable[[Floats], Floats], *, block: int, seed: int, draws: int
) -> Floats:
    """The statistic of every draw; ``[draw]``."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, series, seed=np.random.default_rng(seed))
    return np.asarray(bootstrap.apply(statistic, draws)[:, 0])
