"""Indicators against hand-computed numbers, and fast kernels against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.indicators import plain
from backtest.indicators.averages import ema, sma
from backtest.indicators.oscillators import rsi

prices = st.lists(st.floats(0.5, 500.0), min_size=0, max_size=60)
spans = st.lists(st.integers(1, 20), min_size=1, max_size=4)


def as_array(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def test_rsi_by_hand():
    # Moves +1 -1 +2 -1: averages (.5, .5), then (1.25, .25), then (.625, .625).
    got = rsi(np.array([10.0, 11.0, 10.0, 12.0, 11.0]), np.array([2, 3]))
    np.testing.assert_allclose(got[0, 2:], [50.0, 250 / 3, 50.0], rtol=1e-15)
    # Period 3: first averages (1, 1/3), then (2/3, 5/9).
    np.testing.assert_allclose(got[1, 3:], [75.0, 600 / 11], rtol=1e-15)
    assert np.isnan(got[0, :2]).all()
    assert np.isnan(got[1, :3]).all()


@pytest.mark.parametrize(
    ("close", "value"), [([5.0] * 9, 50.0), (range(1, 10), 100.0), (range(10, 1, -1), 0.0)]
)
def test_rsi_at_its_ends(close, value):
    assert (rsi(np.array(close, dtype=float), np.array([3]))[0, 3:] == value).all()


def test_rsi_needs_one_bar_more_than_its_period():
    assert np.isnan(rsi(np.array([1.0, 2.0, 3.0]), np.array([3]))).all()
    assert rsi(np.array([]), np.array([3])).shape == (1, 0)


def test_averages_by_hand():
    rows = np.array([[np.nan, 1.0, 3.0, np.nan, 7.0], [2.0, 4.0, 8.0, 16.0, 32.0]])
    got = ema(rows, np.array([0, 1]), np.array([3, 1]))
    np.testing.assert_array_equal(got[0], [np.nan, 1.0, 2.0, np.nan, 4.5])
    np.testing.assert_array_equal(got[1], rows[1])
    np.testing.assert_array_equal(
        sma(rows[0], np.array([2]))[0], [np.nan, np.nan, 2.0, np.nan, np.nan]
    )
    np.testing.assert_array_equal(sma(rows[1], np.array([5]))[0], [np.nan] * 4 + [12.4])


@settings(max_examples=60, deadline=None)
@given(prices, spans)
def test_kernels_equal_their_slow_twins(close, periods):
    series, whole = np.array(close, dtype=float), np.array(periods)
    fast_rsi, fast_sma = rsi(series, whole), sma(series, whole)
    smoothed = ema(fast_rsi, np.arange(whole.size), whole)
    for k, period in enumerate(periods):
        slow = plain.rsi(close, period)
        np.testing.assert_array_equal(fast_rsi[k], as_array(slow))
        np.testing.assert_array_equal(smoothed[k], as_array(plain.ema(slow, period)))
        np.testing.assert_array_equal(fast_sma[k], as_array(plain.sma(close, period)))


@settings(max_examples=30, deadline=None)
@given(prices, spans, st.integers(0, 60))
def test_the_past_does_not_know_the_future(close, periods, cut):
    series, whole = np.array(close, dtype=float), np.array(periods)
    for indicator in (rsi, sma):
        full = indicator(series, whole)
        np.testing.assert_array_equal(indicator(series[:cut], whole), full[:, :cut])
