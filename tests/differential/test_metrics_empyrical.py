"""Metrics and the RSI against other people's libraries."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

from backtest.indicators.oscillators import rsi
from backtest.metric import METRICS, MetricInput

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical

EXACT = {"rel": 1e-12, "abs": 1e-12}


def market(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    benchmark = rng.standard_t(4, n) * 0.01
    return 0.5 * benchmark + rng.standard_t(5, n) * 0.008 + 0.0003, benchmark


def value(name: str, given: MetricInput) -> float:
    got = METRICS.get(name).compute(given)
    assert isinstance(got, float)
    return got


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [2, 40, 1000])
@pytest.mark.parametrize("periods", [252, 12])
@pytest.mark.parametrize("risk_free", [0.0, 0.03])
def test_metrics_equal_empyrical(seed, n, periods, risk_free):
    returns, benchmark = market(seed, n)
    given = MetricInput(returns, periods, risk_free, benchmark=benchmark)
    daily = (1.0 + risk_free) ** (1.0 / periods) - 1.0
    expected = {
        "total_return": empyrical.cum_returns_final(returns),
        "cagr": empyrical.cagr(returns, annualization=periods),
        "annualised_return": empyrical.annual_return(returns, annualization=periods),
        "volatility": empyrical.annual_volatility(returns, annualization=periods),
        "sharpe": empyrical.sharpe_ratio(returns, daily, annualization=periods),
        "sortino": empyrical.sortino_ratio(returns, daily, annualization=periods),
        "max_drawdown": -empyrical.max_drawdown(returns),
        "calmar": empyrical.calmar_ratio(returns, annualization=periods),
        "var_95": max(0.0, -empyrical.value_at_risk(returns)),
        "cvar_95": max(0.0, -empyrical.conditional_value_at_risk(returns)),
        "alpha": empyrical.alpha(returns, benchmark, daily, annualization=periods),
        "beta": empyrical.beta(returns, benchmark, daily),
    }
    if n == 2:
        del expected["alpha"]  # two points leave no residual: rounding, raised to the power 252
    for name, other in expected.items():
        if np.isfinite(other):
            assert value(name, given) == pytest.approx(other, **EXACT), name
        else:
            assert not isinstance(METRICS.get(name).compute(given), float), name


@pytest.mark.parametrize("seed", range(4))
def test_shape_and_active_return_equal_scipy_and_the_definition(seed):
    returns, benchmark = market(seed, 500)
    given = MetricInput(returns, 252, benchmark=benchmark)
    assert value("skewness", given) == pytest.approx(stats.skew(returns), **EXACT)
    assert value("kurtosis", given) == pytest.approx(stats.kurtosis(returns, fisher=False), **EXACT)
    ratio = empyrical.excess_sharpe(returns, benchmark) * np.sqrt(252)
    assert value("information_ratio", given) == pytest.approx(ratio, **EXACT)


@pytest.mark.parametrize("period", [2, 3, 14, 40])
def test_rsi_equals_ta_lib(period):
    import polars_talib as plta

    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, 0.02, 400)))
    other = pl.DataFrame({"close": close}).select(plta.rsi(pl.col("close"), timeperiod=period))
    theirs = other.to_series().fill_null(np.nan).to_numpy()
    np.testing.assert_allclose(rsi(close, np.array([period]))[0], theirs, rtol=1e-11)
