"""Slices, plateaus and edges of a grid of scores, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.evidence.sensitivity import (
    annual_sharpes,
    edge_warning,
    sensitivity,
    standard_error,
)
from backtest.params import ParamGrid, Range
from backtest.strategies.buy_and_hold import BuyAndHoldParams
from backtest.strategies.ma_cross import MaCrossParams
from backtest.strategies.rsi_swing import RsiSwingParams

PERIODS = (5, 10, 20, 40)


def swings(**values: tuple) -> ParamGrid:
    """Two directions times four periods, direction slowest."""
    given_values = {"direction": ("reversion", "momentum"), "period": PERIODS, **values}
    return ParamGrid.product(RsiSwingParams, given_values)


SCORES = np.array([0.1, 0.2, np.nan, 0.4, 0.5, 0.8, 0.9, 1.3])


def test_a_grid_by_hand():
    found = sensitivity(swings(), SCORES, error=0.5)
    assert found is not None
    assert (found.best, found.score, found.error) == (7, 1.3, 0.5)
    assert found.near == 3 / 8  # 0.8, 0.9 and 1.3, of all eight
    period = found.parameters["period"]
    assert period.values == [5, 10, 20, 40]
    assert period.sets.tolist() == [2, 2, 2, 2]
    assert period.mean == pytest.approx([0.3, 0.5, 0.9, 0.85])
    assert period.median == pytest.approx([0.3, 0.5, 0.9, 0.85])
    assert period.highest == pytest.approx([0.5, 0.8, 0.9, 1.3])
    assert period.along == pytest.approx([0.5, 0.8, 0.9, 1.3])
    assert (period.best, period.below, period.above) == (3, 2, 0)
    assert period.edge == "the best period is 40, the largest tried: widen the grid"
    direction = found.parameters["direction"]
    assert direction.values == ["momentum", "reversion"]
    assert direction.along == pytest.approx([1.3, 0.4])
    assert (direction.numeric, direction.best, direction.edge) == (False, 0, None)
    assert (direction.below, direction.above) == (0, 0)


def test_a_plateau_ends_at_the_first_dip_and_at_a_missing_set():
    scores = np.array([1.0, 0.2, 1.2, 1.0, 0.0, 0.0, 0.0, 0.0])
    found = sensitivity(swings(), scores, error=0.3)
    assert found is not None
    period = found.parameters["period"]
    assert (period.best, period.below, period.above, period.edge) == (2, 0, 1, None)
    crosses = ParamGrid.product(
        MaCrossParams, {"fast": (5, 20), "slow": (15, 30, 50), "volume_threshold": (1.0,)}
    )
    assert crosses.size == 5  # 20 over 15 is no set
    found = sensitivity(crosses, np.array([0.9, 0.9, 0.9, 1.0, 0.9]), error=0.5)
    assert found is not None
    slow = found.parameters["slow"]
    assert np.isnan(slow.along[0])
    assert slow.sets.tolist() == [1, 2, 2]
    assert (slow.best, slow.below, slow.above) == (1, 0, 1)


def test_one_set_and_no_parameter():
    one = sensitivity(swings().take(np.array([2])), np.array([0.7]), error=0.1)
    assert one is not None
    assert one.near == 1.0
    assert one.parameters["period"].edge is None  # a single value says nothing
    held = sensitivity(ParamGrid.of(BuyAndHoldParams, [{}]), np.array([0.7]), error=0.1)
    assert held is not None
    assert (held.best, held.parameters) == (0, {})
    assert sensitivity(swings(), np.full(8, np.nan), error=0.1) is None


@pytest.mark.parametrize(
    ("values", "at", "said"),
    [
        ([5, 10, 40], 0, "the best period is 5, the smallest tried: widen the grid"),
        ([2, 10, 40], 0, "the best period is 2, the smallest tried and the smallest the strategy"),
        ([2, 10, 40], 2, "the best period is 40, the largest tried: widen the grid"),
        ([2, 10, 60], 2, "the best period is 60, the largest tried and the largest the strategy"),
        ([2, 10, 40], 1, None),
        ([2, 40], 1, None),
    ],
)
def test_edges(values: list[float], at: int, said: str | None):
    got = edge_warning("period", values, at, Range(2, 60))
    assert (got is None) if said is None else got.startswith(said)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), error=st.floats(0.0, 5.0))
def test_a_plateau_never_leaves_the_grid_and_grows_with_the_error(seed: int, error: float):
    scores = np.random.default_rng(seed).normal(size=8)
    narrow, wide = (sensitivity(swings(), scores, error=e) for e in (error, error + 1.0))
    assert narrow is not None
    assert wide is not None
    assert narrow.near <= wide.near <= 1.0
    for name in ("period", "width"):
        one, other = narrow.parameters[name], wide.parameters[name]
        assert 0 <= one.below <= other.below <= one.best
        assert 0 <= one.above <= other.above <= len(one.values) - 1 - one.best
        assert np.nanmax(one.along) == pytest.approx(scores.max())


def test_sharpe_ratios_of_streams_and_their_error():
    returns = np.array([[0.01, 0.03, 0.02], [0.0, 0.0, 0.0]])
    got = annual_sharpes(returns, 252)
    assert got[0] == pytest.approx(2.0 * np.sqrt(252))
    assert np.isnan(got[1])
    assert standard_error(252 * 4, 252) == 0.5
