"""Volume, ranges, deviations, channels and MACD: hand-computed numbers, and their slow twins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.indicators import plain
from backtest.indicators.averages import average, macd_histogram
from backtest.indicators.bands import distance
from backtest.indicators.channels import highest_before, lowest_before
from backtest.indicators.volatility import return_deviation, true_range
from backtest.indicators.volume import money_flow_index, relative_volume
from backtest.market.panel import SymbolBars
from backtest.strategy import STRATEGIES
from tests.backtest.markets import bars_of, random_panel, targets_of

nan = np.nan
one = np.array([2])


def as_array(values: list[float | None]) -> np.ndarray:
    return np.array([nan if v is None else v for v in values], dtype=float)


def bars(high: list[float], low: list[float], close: list[float], volume: list[float]):
    flat = bars_of(np.array(close), np.array(close), np.array(volume))
    return dataclasses.replace(flat, high=np.array(high), low=np.array(low))


def test_money_flow_by_hand():
    # Typical prices 2, 3, 2, 2; flows up 6, down 2, none for the last: it did not move.
    told = bars([3, 4, 3, 3], [1, 2, 1, 1], [2, 3, 2, 2], [1, 2, 1, 5])
    got = money_flow_index(told, window=np.array([2, 1]))
    np.testing.assert_array_equal(got, [[nan, nan, 75.0, 0.0], [nan, 100.0, 0.0, 50.0]])


def test_true_range_by_hand():
    # True ranges 3 (4 down to the close 1), 2, 2; averages of two: 2.5, then (2.5 + 2) / 2.
    told = bars([1, 4, 5, 4], [1, 2, 3, 2], [1, 4, 4, 2], [nan] * 4)
    got = true_range(told, window=one)
    np.testing.assert_array_equal(got, [[nan, nan, 2.5 / 4.0, 2.25 / 2.0]])


def test_deviation_of_returns_by_hand():
    # Returns 1, 0, -0.5: mean 0.5 and deviation sqrt(0.5), then mean -0.25 and sqrt(0.125).
    told = bars_of(np.ones(4), np.array([1.0, 2.0, 2.0, 1.0]))
    got = return_deviation(told, window=one)
    np.testing.assert_allclose(got, [[nan, nan, np.sqrt(0.5), np.sqrt(0.125)]], rtol=1e-15)


def test_channels_by_hand():
    told = bars_of(np.ones(5), np.array([2.0, 1.0, 3.0, 3.0, 0.5]))
    np.testing.assert_array_equal(highest_before(told, window=one), [[nan, nan, 1.0, 0.0, -2.5]])
    np.testing.assert_array_equal(lowest_before(told, window=one), [[nan, nan, 2.0, 2.0, -2.5]])


def test_relative_volume_by_hand():
    told = bars_of(np.ones(21), np.ones(21), np.array([1.0] * 20 + [20.0]))
    got = relative_volume(told)[0]
    assert np.isnan(got[:19]).all()
    assert got[19:].tolist() == [1.0, 20.0 / 1.95]
    none = bars_of(np.ones(20), np.ones(20), np.zeros(20))
    assert np.isnan(relative_volume(none)).all()


def test_distance_where_nothing_moves_is_missing():
    np.testing.assert_array_equal(distance(np.array([3.0, 3.0, 4.0]), one), [[nan, nan, 1.0]])


@pytest.mark.parametrize("price", [10.1, 0.1, 33.3, 1 / 3, 7e-5])
def test_indicators_stand_still_where_prices_do(price):
    """A halt or a peg must not be traded on what rounding makes of it."""
    still = bars_of(np.full(80, price), np.full(80, price), np.full(80, 0.7))
    w = np.arange(2, 40)
    assert np.isnan(distance(still.close, w)).all()
    told = average(still, window=w)
    assert (told[~np.isnan(told)] == price).all()
    assert (macd_histogram(still, fast=w, slow=2 * w, signal=w) == 0.0).all()
    assert np.nanmax(np.abs(return_deviation(still, window=w))) == 0.0
    for name in ("bollinger_reversion", "ma_cross", "macd_trend", "confluence"):
        rule = STRATEGIES.get(name)
        assert not targets_of(rule, still, rule.candidates()).any(), name


INDICATORS = {
    "average": (
        lambda b, w: average(b, window=w),
        lambda b, w: plain.sma(b.close.tolist(), w),
    ),
    "distance": (
        lambda b, w: distance(b.close, w),
        lambda b, w: plain.distance(b.close.tolist(), w),
    ),
    "macd": (
        lambda b, w: macd_histogram(b, fast=w, slow=2 * w, signal=w + 1),
        lambda b, w: plain.macd_histogram(b.close.tolist(), w, 2 * w, w + 1),
    ),
    "money flow": (
        lambda b, w: money_flow_index(b, window=w),
        lambda b, w: plain.money_flow_index(
            ((b.high + b.low + b.close) / 3.0).tolist(), b.volume.tolist(), w
        ),
    ),
    "true range": (
        lambda b, w: true_range(b, window=w),
        lambda b, w: plain.true_range(b.high.tolist(), b.low.tolist(), b.close.tolist(), w),
    ),
    "deviation": (
        lambda b, w: return_deviation(b, window=w + 1),
        lambda b, w: plain.return_deviation(b.close.tolist(), w + 1),
    ),
    "highest": (
        lambda b, w: highest_before(b, window=w),
        lambda b, w: [
            b.close[t] - max(b.close[t - w : t]) if t >= w else None for t in range(b.size)
        ],
    ),
    "lowest": (
        lambda b, w: lowest_before(b, window=w),
        lambda b, w: [
            b.close[t] - min(b.close[t - w : t]) if t >= w else None for t in range(b.size)
        ],
    ),
}


def some_bars(seed: int, size: int) -> SymbolBars:
    told = random_panel(1, 70, seed=seed, swing=0.05).bars(0)
    names = ("at", "open", "high", "low", "close", "volume")
    cut = {name: getattr(told, name)[:size] for name in names}
    cut["close"] = np.round(cut["close"])  # equal neighbours, too
    return dataclasses.replace(told, **cut)


windows = st.lists(st.integers(1, 20), min_size=1, max_size=6).map(np.array)


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 70), w=windows)
def test_indicators_equal_their_slow_twins(name, seed, size, w):
    fast, slow = INDICATORS[name]
    told = some_bars(seed, size)
    rows = fast(told, w)
    assert rows.shape == (w.size, size)
    for k, window in enumerate(w.tolist()):
        np.testing.assert_array_equal(rows[k], as_array(slow(told, window)))


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 60), w=windows)
def test_indicators_do_not_know_the_future(name, seed, cut, w):
    fast, _ = INDICATORS[name]
    np.testing.assert_array_equal(
        fast(some_bars(seed, cut), w), fast(some_bars(seed, 60), w)[:, :cut]
    )
