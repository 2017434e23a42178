"""What every registered strategy owes; a new one needs no new test."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, default_set
from backtest.strategy import STRATEGIES
from tests.backtest.markets import random_panel, targets_of

NAMES = STRATEGIES.names()
PANEL = random_panel(3, 240, seed=21, gaps=0.05, swing=0.03)


def cut(bars: SymbolBars, stop: int) -> SymbolBars:
    arrays = {f: getattr(bars, f)[:stop] for f in ("at", "open", "high", "low", "close", "volume")}
    return dataclasses.replace(bars, **arrays)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def rule(name):
    return STRATEGIES.get(name)


def test_the_name_is_the_file(name, rule):
    module = importlib.import_module(f"backtest.strategies.{name}")
    assert type(rule).__module__ == module.__name__


def test_targets_are_positions(rule):
    grid = rule.candidates()
    for s in range(3):
        bars = PANEL.bars(s)
        targets = targets_of(rule, bars, grid)
        assert targets.shape == (grid.size, bars.size)
        sized = rule.rules(grid).guards is not None and rule.rules(grid).guards.size is not None
        assert targets.dtype == (np.float64 if sized else np.int8)
        assert sized or set(np.unique(targets)) <= {-1, 0, 1}
        assert (np.abs(targets) <= 1.0).all()


def test_the_rule_takes_positions(rule):
    grid = rule.candidates()
    taken = sum(np.abs(targets_of(rule, PANEL.bars(s), grid)).any(axis=1) for s in range(3))
    assert (taken > 0).mean() > 0.5


@pytest.mark.parametrize("stop", [0, 1, 2, 17, 60, 61, 150, 200])
def test_targets_do_not_know_the_future(rule, stop):
    grid, bars = rule.candidates(), PANEL.bars(0)
    np.testing.assert_array_equal(
        targets_of(rule, cut(bars, stop), grid), targets_of(rule, bars, grid)[:, :stop]
    )


def test_the_same_question_has_the_same_answer_and_leaves_the_bars_alone(rule):
    grid, bars = rule.candidates(), PANEL.bars(1)
    before = [getattr(bars, f).copy() for f in ("open", "high", "low", "close", "volume")]
    first = targets_of(rule, bars, grid)
    np.testing.assert_array_equal(first, targets_of(rule, bars, grid))
    assert not np.shares_memory(first, targets_of(rule, bars, grid))
    for old, field in zip(before, ("open", "high", "low", "close", "volume"), strict=True):
        np.testing.assert_array_equal(old, getattr(bars, field))


def test_one_set_is_a_slice_of_the_batch(rule):
    grid, bars = rule.candidates(), PANEL.bars(0)
    batch = targets_of(rule, bars, grid)
    for i in np.random.default_rng(0).permutation(grid.size)[:10]:
        np.testing.assert_array_equal(targets_of(rule, bars, grid.take(np.array([i])))[0], batch[i])


def test_the_slow_twin_agrees(rule):
    grid, random = rule.candidates(), ParamGrid.sobol(rule.params, 16, seed=1)[0]
    for s in range(2):
        bars = PANEL.bars(s)
        for sets, picks in ((grid, range(0, grid.size, 11)), (random, range(random.size))):
            batch = targets_of(rule, bars, sets)
            for i in picks:
                assert list(rule.reference(bars, sets.set(i))) == batch[i].tolist()


@pytest.mark.parametrize("bars", [0, 1, 2])
def test_hardly_any_bars(rule, bars):
    grid, few = rule.candidates(), cut(PANEL.bars(0), bars)
    assert targets_of(rule, few, grid).shape == (grid.size, bars)
    assert len(rule.reference(few, grid.set(0))) == bars


def test_unknown_volume_is_no_error(rule):
    bars = dataclasses.replace(PANEL.bars(0), volume=np.full(PANEL.bars(0).size, np.nan))
    grid = rule.candidates()
    targets = targets_of(rule, bars, grid)
    assert list(rule.reference(bars, grid.set(0))) == targets[0].tolist()


def test_the_unit_of_prices_does_not_matter(rule):
    bars, grid = PANEL.bars(0), rule.candidates()
    scaled = dataclasses.replace(
        bars, **{f: getattr(bars, f) * 8.0 for f in ("open", "high", "low", "close")}
    )
    np.testing.assert_array_equal(targets_of(rule, bars, grid), targets_of(rule, scaled, grid))


def test_candidates_are_distinct_sets_within_the_bounds(rule):
    grid = rule.candidates()
    assert 1 <= grid.size <= 500
    assert grid.params is rule.params
    assert rule.params.feasible(grid).all()
    parsed, infeasible = ParamGrid.parse(rule.params, grid.rows())
    assert (parsed.size, infeasible) == (grid.size, 0)
    assert len({tuple(row.items()) for row in grid.rows()}) == grid.size


def test_the_defaults_are_a_feasible_set(rule):
    assert rule.params.parse({}).model_dump() == default_set(rule.params)


def test_bounds_reach_the_schema(rule):
    schema = rule.params.model_json_schema()["properties"] if rule.params.model_fields else {}
    for field, bounds in rule.params.ranges().items():
        assert schema[field]["minimum"] == bounds.low
        assert schema[field]["maximum"] == bounds.high
    for field, options in rule.params.choices().items():
        assert set(schema[field]["enum"]) == set(options)
    assert set(rule.params.ranges()) | set(rule.params.choices()) == set(rule.params.model_fields)
