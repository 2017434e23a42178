"""Search spaces: the unit cube, Optuna's terms, exact round trips, narrower bounds."""

import math
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.errors import ParameterError
from backtest.params import ParamGrid, Params, Range
from backtest.strategies.rsi_swing import RsiSwing
from backtest.strategy import STRATEGIES
from ml.space import Space


class Mixed(Params):
    """One parameter of every kind."""

    label: Literal["a", "b", "c"] = "a"
    count: Annotated[int, Range(2, 60)] = 5
    even: Annotated[int, Range(2, 20, step=2)] = 4
    spread: Annotated[int, Range(1, 100_000, log=True)] = 10
    share: Annotated[float, Range(0.005, 0.05)] = 0.01
    level: Annotated[float, Range(0.0, 1.0, step=0.1)] = 0.5
    rate: Annotated[float, Range(1e-4, 10.0, log=True)] = 0.1
    third: Annotated[float, Range(1 / 3, 2 / 3)] = 0.5


SPACE = Space.of(Mixed)


@given(st.integers(0, 10_000))
def test_sets_come_back_from_the_cube_and_from_optuna_unchanged(seed: int):
    unit = np.random.default_rng(seed).random((8, len(SPACE.dimensions)))
    unit[0], unit[1] = 0.0, 1.0
    rows = SPACE.rows(unit)
    assert SPACE.rows(SPACE.unit(rows)) == rows
    suggested = [SPACE.to_optuna(row) for row in rows]
    assert SPACE.from_optuna(suggested) == rows
    for name, distribution in SPACE.distributions().items():
        for row in suggested:
            inner = distribution.to_internal_repr(row[name])
            assert distribution._contains(inner)
            assert distribution.to_external_repr(inner) == row[name]
    for row in rows:
        Mixed.parse(row)


def test_the_corners_of_the_cube_are_the_bounds():
    first, last = SPACE.rows(np.array([np.zeros(8), np.ones(8)]))
    assert first == {
        **{"label": "a", "count": 2, "even": 2, "spread": 1},
        **{"share": 0.005, "level": 0.0, "rate": 1e-4, "third": 1 / 3},
    }
    assert last == {
        **{"label": "c", "count": 60, "even": 20, "spread": 100_000},
        **{"share": 0.05, "level": 1.0, "rate": 10.0, "third": 2 / 3},
    }


def test_points_by_hand():
    half = SPACE.rows(np.full((1, 8), 0.5))[0]
    assert half["label"] == "b"
    assert half["count"] == 31  # level 29 of 59
    assert half["spread"] == round(math.sqrt(100_000))
    assert half["rate"] == pytest.approx(math.sqrt(1e-3), rel=1e-6)
    assert half["share"] == 0.0275
    assert half["level"] == 0.5
    assert SPACE.unit([half])[0, 1] == 29.5 / 59


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_s_grid_round_trips(name: str):
    grid = STRATEGIES.get(name).candidates()
    rows = grid.rows() if grid.columns else [{}]
    whole = Space.of(grid.params)
    assert whole.rows(whole.unit(rows)) == rows
    lattice = Space.over(grid)
    assert lattice.rows(lattice.unit(rows)) == rows


def test_a_lattice_lists_every_combination():
    space = Space.over(RsiSwing().candidates())
    assert space.size == 140
    listed = space.listed()
    assert len({tuple(row.values()) for row in listed}) == 140
    assert SPACE.listed() is None
    assert SPACE.size is None


def test_rules_between_parameters_are_asked_of_whole_batches():
    space = Space.of(STRATEGIES.get("ma_cross").params)
    rows = [{"fast": 10, "slow": 30, "volume_threshold": 1.0}] * 2
    rows[1] = rows[1] | {"fast": 20, "slow": 15}
    assert space.feasible(rows).tolist() == [True, False]
    assert space.feasible([]).size == 0


def test_equal_bounds_are_a_fixed_parameter():
    space = Space.of(Mixed, {"count": [7, 7], "share": [0.02, 0.02], "label": ["b"]})
    assert [one.name for one in space.dimensions if one.levels == 1] == ["label", "count", "share"]
    row = space.rows(np.full((1, 8), 0.9))[0]
    assert (row["label"], row["count"], row["share"]) == ("b", 7, 0.02)
    assert set(space.distributions()) == set(Mixed.model_fields) - {"label", "count", "share"}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"cuont": [1, 2]}, "did you mean 'count'"),
        ({"count": [9, 3]}, "write \\[low, high\\]"),
        ({"count": [9]}, "write \\[low, high\\]"),
        ({"count": [True, 9]}, "write \\[low, high\\]"),
        ({"count": [1, 9]}, "the strategy allows 2 to 60"),
        ({"count": [3.2, 3.8]}, "no whole number"),
        ({"label": ["d"]}, "choose from a, b, c"),
        ({"label": []}, "choose from a, b, c"),
    ],
)
def test_wrong_bounds(bounds: dict, said: str):
    with pytest.raises(ParameterError, match=said):
        Space.of(Mixed, bounds)


def test_a_lattice_of_a_grid_keeps_labels_apart_from_numbers():
    grid = ParamGrid.product(Mixed, {"label": ("a", "c"), "count": (3, 9)})
    space = Space.over(grid)
    assert [one.ordered for one in space.dimensions[:2]] == [False, True]
