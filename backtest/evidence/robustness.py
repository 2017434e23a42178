"""Intervals that respect dependence over time.

For: the stationary-bootstrap interval of a Sharpe ratio. Not for: closed forms (``sharpe``).
"""

from __future__ import annotations

import warnings

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
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    def annual(sample: Floats) -> Floats:
        deviation = sample.std(ddof=1)
        scale = np.sqrt(periods_per_year) / deviation if deviation > 0 else 0.0
        return np.asarray([sample.mean() * scale])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        block = float(optimal_block_length(returns)["stationary"].iloc[0])
    if not np.isfinite(block):
        block = len(returns) ** (1 / 3)
    bootstrap = StationaryBootstrap(max(1, round(block)), returns, seed=np.random.default_rng(seed))
    sample = bootstrap.apply(annual, draws)[:, 0]
    tail = 100.0 * (1.0 - coverage) / 2.0
    low, high = np.percentile(sample, [tail, 100.0 - tail])
    return float(low), float(high)
