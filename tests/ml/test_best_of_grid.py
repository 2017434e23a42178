"""The best set in hindsight: flattering in sample, deflated by all that were tried."""

import numpy as np
import pytest

from ml.overfitting import best_of_grid


def noise(seed: int, sets: int = 60, sessions: int = 1260) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (sets, sessions))


def test_the_best_of_noise_looks_good_until_all_are_counted():
    found = [best_of_grid(noise(seed), periods_per_year=252, seed=0) for seed in range(10)]
    assert sum(one.psr >= 0.95 for one in found) >= 8
    assert sum(one.dsr >= 0.95 for one in found) == 0
    assert all(one.candidates == 60 and one.reasons == {} for one in found)


def test_a_set_that_works_is_believed():
    returns = noise(3)
    returns[11] += 0.002
    found = best_of_grid(returns, periods_per_year=252, seed=0)
    ratio = returns[11].mean() / returns[11].std(ddof=1) * np.sqrt(252)
    assert found.sharpe == pytest.approx(ratio)
    assert found.dsr is not None
    assert found.dsr > 0.99
    assert found.pbo is not None
    assert found.pbo < 0.01
    assert found.pbo_null_below == 1 / 31


def test_dead_sets_count_in_number():
    returns = np.vstack([noise(4), np.zeros((400, 1260))])
    few = best_of_grid(noise(4), periods_per_year=252, seed=0)
    many = best_of_grid(returns, periods_per_year=252, seed=0)
    assert many.candidates == 460
    assert many.sharpe == few.sharpe
    assert many.pbo == few.pbo
    assert many.dsr is not None
    assert few.dsr is not None
    assert many.dsr < few.dsr


def test_nothing_to_say_has_a_reason():
    flat = best_of_grid(np.zeros((3, 100)), periods_per_year=252, seed=0)
    assert (flat.sharpe, flat.psr, flat.dsr, flat.pbo) == (None, None, None, None)
    assert set(flat.reasons) == {"sharpe", "psr", "dsr", "pbo"}
    short = best_of_grid(noise(1, sessions=31), periods_per_year=252, seed=0)
    assert short.pbo is None
    assert short.reasons == {"pbo": "fewer than 32 sessions"}
