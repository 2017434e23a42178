"""Closed forms about Sharpe ratios against published and recomputed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.evidence.robustness import sharpe_interval, shortfall_bound
from backtest.evidence.sharpe import (
    Moments,
    adjusted_sharpe,
    annual_factor,
    deflated_benchmark,
    deflated_best,
    deflated_sharpe,
    expected_maximum,
    minimum_backtest_length,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
    sharpe_error,
)

MONTHLY = Moments(0.458, 24)
FAT = Moments(0.458, 24, -2.448, 10.164)


@pytest.mark.parametrize(
    ("record", "benchmark", "expected"),
    [(MONTHLY, 0.0, 0.981675), (FAT, 0.0, 0.913361), (FAT, 0.1, 0.856431)],
)
def test_probabilistic_sharpe(record: Moments, benchmark: float, expected: float):
    assert probabilistic_sharpe(record, benchmark) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("trials", "expected"), [(10, 1.574598), (45, 2.235640), (100, 2.530603), (1000, 3.255122)]
)
def test_expected_maximum(trials: int, expected: float):
    assert expected_maximum(trials) == pytest.approx(expected, abs=1e-6)


def test_one_trial_has_benchmark_zero():
    assert deflated_benchmark(1, 0.5 / 250) == 0.0
    assert deflated_sharpe(FAT, trials=1, variance=1.0) == probabilistic_sharpe(FAT)


def test_deflated_benchmark():
    assert deflated_benchmark(100, 0.5 / 250) == pytest.approx(0.113172, abs=1e-6)


@pytest.mark.parametrize(
    ("skewness", "kurtosis", "trials", "expected"),
    [(-3.0, 10.0, 100, 0.900397), (-3.0, 10.0, 46, 0.950502), (0.0, 3.0, 88, 0.950491)],
)
def test_deflated_sharpe(skewness: float, kurtosis: float, trials: int, expected: float):
    record = Moments(2.5 / math.sqrt(250), 1250, skewness, kurtosis)
    found = deflated_sharpe(record, trials=trials, variance=0.5 / 250)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("trials", "years"), [(10, 2.479360), (45, 4.998087), (100, 6.403951)])
def test_minimum_backtest_length(trials: int, years: float):
    assert minimum_backtest_length(trials) == pytest.approx(years, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "periods", "years"),
    [
        ((0.0, 3.0), 252, 2.730984),
        ((0.0, 3.0), 52, 2.828834),
        ((0.0, 3.0), 12, 3.239801),
        ((-0.72, 5.78), 252, 3.006255),
        ((-0.72, 5.78), 52, 3.513752),
        ((-0.72, 5.78), 12, 4.991258),
    ],
)
def test_minimum_track_record(shape: tuple[float, float], periods: int, years: float):
    root = math.sqrt(periods)
    found = minimum_track_record(Moments(2.0 / root, 1000, *shape), 1.0 / root)
    assert found is not None
    assert found / periods == pytest.approx(years, abs=1e-6)


def test_no_track_record_is_long_enough_for_less_than_the_benchmark():
    assert minimum_track_record(Moments(0.1, 100), 0.1) is None


def test_moments_by_hand():
    found = moments(np.array([0.01, -0.01, 0.02, 0.0]))
    assert found is not None
    # mean .005; squares .25, 2.25, 2.25, .25 (e-4): sum 5e-4, so sd = sqrt(5e-4 / 3)
    assert found.sharpe == pytest.approx(0.005 / math.sqrt(5e-4 / 3), rel=1e-12)
    assert found.skewness == pytest.approx(0.0, abs=1e-12)
    # fourth powers .0625, 5.0625, 5.0625, .0625 (e-8), mean 2.5625e-8; second moment 1.25e-4
    assert found.kurtosis == pytest.approx(2.5625e-8 / 1.25e-4**2, rel=1e-12)


@pytest.mark.parametrize("returns", [np.zeros(50), np.full(50, 0.001), np.array([0.1, 0.2])])
def test_no_moments_without_deviation_or_rows(returns: np.ndarray):
    assert moments(returns) is None


@settings(max_examples=50, deadline=None)
@given(
    sharpe=st.floats(-0.3, 0.3),
    n=st.integers(30, 3000),
    trials=st.integers(2, 500),
)
def test_more_trials_never_help(sharpe: float, n: int, trials: int):
    record = Moments(sharpe, n)
    fewer = deflated_sharpe(record, trials=trials, variance=1 / n)
    assert deflated_sharpe(record, trials=trials + 1, variance=1 / n) <= fewer
    assert fewer <= probabilistic_sharpe(record)


def test_the_gate_formulas_agree_with_a_second_opinion():
    norm = pytest.importorskip("scipy.stats").norm
    rng = np.random.default_rng(3)
    returns = rng.standard_t(5, 700) * 0.01 + 0.0008
    found = moments(returns)
    from scipy.stats import kurtosis, skew

    sharpe = returns.mean() / returns.std(ddof=1)
    skewness, fourth = skew(returns), kurtosis(returns, fisher=False)
    error = math.sqrt((1 - skewness * sharpe + (fourth - 1) / 4 * sharpe**2) / 699)
    assert found is not None
    assert probabilistic_sharpe(found, 0.01) == pytest.approx(
        norm.cdf((sharpe - 0.01) / error), abs=1e-12
    )


def test_the_interval_is_seeded_and_covers_the_point():
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 900)
    point = returns.mean() / returns.std(ddof=1) * math.sqrt(252)
    first = sharpe_interval(returns, periods_per_year=252, seed=4, draws=300)
    again = sharpe_interval(returns, periods_per_year=252, seed=4, draws=300)
    other = sharpe_interval(returns, periods_per_year=252, seed=5, draws=300)
    assert first == again != other
    assert first is not None
    assert first[0] < point < first[1]
    # iid normal: standard error about sqrt(252 / 900), so 95 % spans four of these
    assert first[1] - first[0] == pytest.approx(3.92 * math.sqrt(252 / 900), rel=0.25)


def test_no_interval_without_returns():
    assert sharpe_interval(np.zeros(500), periods_per_year=252, seed=0) is None
    assert sharpe_interval(np.ones(10), periods_per_year=252, seed=0) is None


@pytest.mark.parametrize(
    ("sharpe", "n", "expected"), [(0.5, 12, 0.306186), (1.5, 12, 0.420813), (1.5, 60, 0.188193)]
)
def test_standard_error(sharpe: float, n: int, expected: float):
    assert sharpe_error(sharpe, n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [(0.2, 2.878849), (0.1, 3.160111), (-0.2, 4.170848), (0.5, 2.121288), (0.9, 1.207038)],
)
def test_annual_factor(rho: float, expected: float):
    assert annual_factor(rho ** np.arange(1, 12), 12) == pytest.approx(expected, abs=1e-6)


def test_annual_factor_at_its_ends():
    assert annual_factor(np.zeros(0), 252) == pytest.approx(math.sqrt(252), rel=1e-15)
    # q + 2 (q - 1) rho = 2 + 2 rho at q = 2: nothing is left at rho = -1
    assert annual_factor(np.array([-1.0, 0.5]), 2) is None


def test_adjusted_sharpe_by_hand():
    returns = np.array([0.02, 0.01, -0.01, 0.0, 0.01, -0.02, 0.03, 0.0])
    mean, centred = returns.mean(), returns - returns.mean()
    rho = (centred[1:] @ centred[:-1]) / (centred @ centred)
    expected = mean / returns.std(ddof=1) * 4 / math.sqrt(4 + 2 * 3 * rho)
    found = adjusted_sharpe(returns, periods_per_year=4, lags=1)
    assert found == pytest.approx(expected, rel=1e-12)
    assert adjusted_sharpe(np.zeros(100), periods_per_year=252) is None
    assert adjusted_sharpe(returns, periods_per_year=252, lags=4) is None


def test_trials_without_a_value_count_in_number_only():
    given_, known = Moments(0.1, 1000), np.array([0.02, -0.02, 0.1])
    expected = deflated_sharpe(given_, trials=5, variance=float(known.var(ddof=1)))
    assert deflated_best(given_, np.append(known, [np.nan, np.nan])) == expected
    assert deflated_best(given_, np.array([0.1])) == probabilistic_sharpe(given_)
    # nothing known of the others: their spread is that of sampling
    assert deflated_best(given_, np.full(7, np.nan)) == deflated_sharpe(
        given_, trials=7, variance=1 / 1000
    )


def test_the_best_of_a_hundred_thousand_trials_on_noise_is_not_believed():
    sharpes = np.random.default_rng(1).normal(0.0, 1 / math.sqrt(2520), 100_000)
    best = Moments(float(sharpes.max()), 2520)
    assert probabilistic_sharpe(best) > 0.999
    assert deflated_best(best, sharpes) < 0.95


def test_the_shortfall_bound_covers_the_truth_as_often_as_it_says():
    """Streams that share most of their noise: the bound is narrow, and below the truth rarely."""
    missed, wide = 0, []
    for seed in range(40):
        random = np.random.default_rng(seed)
        shared, own = random.normal(0.0, 0.01, 500), random.normal(0.0, 0.002, (2, 500))
        ahead, behind = shared + own[0] + 0.0005, shared + own[1]
        found = shortfall_bound(ahead, behind, seed=seed, draws=200)
        truth = 0.0005 / np.hypot(0.01, 0.002)
        missed += found < truth
        wide.append(found - truth)
    assert missed <= 7  # two are expected; more than seven in 1 of 1,000
    assert np.mean(wide) < 0.05


def test_a_stream_falls_short_of_itself_by_nothing():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 300)
    assert shortfall_bound(returns, returns, seed=0) == 0.0
    assert shortfall_bound(returns, np.zeros(300), seed=0) is None
    assert shortfall_bound(returns[:20], returns[:20], seed=0) is None
