"""Our closed forms about Sharpe ratios against skfolio's."""

import numpy as np
import pytest
from skfolio import measures

from backtest.evidence.sharpe import (
    deflated_sharpe,
    expected_maximum,
    moments,
    probabilistic_sharpe,
)


def returns(seed):
    """Fat-tailed, skewed returns with a small drift."""
    random = np.random.default_rng(seed)
    return 0.0005 + 0.01 * (random.standard_t(5, 750) - 0.2 * random.exponential(1.0, 750))


@pytest.mark.parametrize("trials", [2, 10, 45, 1000])
def test_expected_maximum(trials):
    theirs = measures.expected_max_sharpe_ratio(trials, 1.0)
    assert expected_maximum(trials) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_probabilistic_and_deflated(seed):
    series = returns(seed)
    trials = np.random.default_rng(seed + 100).normal(0.0, 0.05, 20)
    given = moments(series)
    # the second library estimates skewness and kurtosis with its own small-sample terms
    psr = measures.probabilistic_sharpe_ratio(series)
    assert probabilistic_sharpe(given) == pytest.approx(float(psr), abs=2e-3)
    dsr = measures.deflated_sharpe_ratio(series, trial_sharpe_ratios=trials)
    ours = deflated_sharpe(given, trials=20, variance=float(trials.var(ddof=1)))
    assert ours == pytest.approx(float(dsr), abs=2e-3)
