"""What groups of sets earned, known at each close."""

from dataclasses import dataclass

import numpy as np
import pytest

from backtest.errors import DataError
from backtest.params import ParamGrid, Params
from ml.book_state import book_state, groups
from ml.state_feature import BOOK_FEATURES
from tests.ml.histories import planted_history, small_grid

HISTORY = planted_history(300)


class Plain(Params):
    """No categorical and one number."""

    width: float = 1.0


def test_groups_are_categoricals_times_thirds_of_the_first_integer() -> None:
    found = groups(small_grid())
    assert set(found) == {
        f"{direction}_{third}"
        for direction in ("reversion", "momentum")
        for third in ("low", "middle", "high")
    }
    assert (sum(inside.astype(int) for inside in found.values()) == 1).all()
    grid = small_grid()
    assert set(grid["period"][found["momentum_low"]]) == {5}
    assert set(grid["direction"][found["momentum_low"]]) == {"momentum"}


def test_a_grid_of_one_kind_is_one_group() -> None:
    grid = ParamGrid.of(Plain, [{"width": 1.0}, {"width": 2.0}])
    assert list(groups(grid)) == ["all"]


def test_earnings_are_in_units_of_volatility_known_the_day_before() -> None:
    returns = np.tile([0.01, -0.01], 100)
    returns[150] = 0.08
    found = BOOK_FEATURES.get("earned_1").value(returns)
    assert np.isnan(found[:20]).all()
    assert found[149] == pytest.approx(-1.0, abs=0.02)
    assert found[150] == 4.0  # eight of them, cut at four
    assert abs(found[151]) < 0.9  # the jump is in the volatility from the next day on


def test_averages_by_hand() -> None:
    returns = np.tile([0.01, -0.01], 60)
    one, five = (BOOK_FEATURES.get(f"earned_{n}").value(returns) for n in (1, 5))
    known = one[np.isfinite(one)][:5]
    weight = (2.0 / 3.0) ** np.arange(4, -1, -1)
    assert five[np.isfinite(five)][0] == pytest.approx((weight * known).sum() / weight.sum())


def test_a_still_group_is_unknown() -> None:
    assert np.isnan(BOOK_FEATURES.get("earned_1").value(np.zeros(100))).all()


@pytest.mark.parametrize("cut", [30, 120, 299])
def test_history_cut_at_t_equals_the_full_history_up_to_t(cut: int) -> None:
    whole, columns = book_state(HISTORY.strategies)
    short, again = book_state(HISTORY.until(cut - 1).strategies)
    assert columns == again
    np.testing.assert_array_equal(short, whole[:cut])
    assert "earned_20/swing_0/momentum_high" in columns


def test_strategies_of_different_lengths_are_refused() -> None:
    @dataclass(frozen=True)
    class Other:
        grid: ParamGrid
        returns: np.ndarray

    one = Other(small_grid(), np.zeros((12, 50)))
    with pytest.raises(DataError, match="E_DATA: 2 strategies over"):
        book_state({"a": one, "b": Other(one.grid, np.zeros((12, 51)))})
    with pytest.raises(DataError, match="0 strategies"):
        book_state({})
