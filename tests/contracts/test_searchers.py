"""What every registered searcher must keep, found through the registry."""

import warnings
from typing import Annotated, Literal

import numpy as np
import pytest

from backtest.errors import ParameterError
from backtest.params import ParamGrid, Params, Range
from backtest.strategies.buy_and_hold import BuyAndHold
from backtest.strategies.confluence import ConfluenceParams
from backtest.strategies.ma_cross import MaCrossParams
from backtest.strategies.rsi_swing import RsiSwing
from ml.pareto import front_of, hypervolume
from ml.searcher import SEARCHERS
from ml.space import Space

NAMES = SEARCHERS.names()
MODELS = ("tpe", "gp", "cmaes", "nsga2", "genetic")
# A step of the Gaussian process takes a tenth of a second: by default it does the least.
EVERY = [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in NAMES]
LISTENING = [pytest.param(n, marks=pytest.mark.slow) if n == "gp" else n for n in MODELS]
SEVERAL = [p for p in EVERY if p != "cmaes"]
SPACES = {
    "rules and numbers": Space.of(MaCrossParams),
    "a lattice": Space.over(RsiSwing().candidates()),
    "twelve": Space.of(ConfluenceParams),
}


class Plane(Params):
    """Two numbers."""

    x: Annotated[float, Range(0.0, 1.0)] = 0.5
    y: Annotated[float, Range(0.0, 1.0)] = 0.5


class Labelled(Params):
    """Two numbers of which one is at least the other, and a label."""

    low: Annotated[int, Range(1, 4)] = 1
    high: Annotated[int, Range(1, 4)] = 2
    label: Literal["a", "b"] = "a"

    @classmethod
    def feasible(cls, grid: ParamGrid):
        return grid["low"] < grid["high"]


def sphere(space: Space, rows: list) -> np.ndarray:
    return -((space.unit(rows) - 0.7) ** 2).sum(axis=1, keepdims=True)


def branin(space: Space, rows: list) -> np.ndarray:
    x, y = (space.unit(rows) * 15.0 - np.array([5.0, 0.0])).T
    first = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return -(first + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)[:, None]


def compromise(space: Space, rows: list) -> np.ndarray:
    """Of ZDT1's form: the first coordinate trades two objectives, the others cost both."""
    u = space.unit(rows)
    g = 1.0 + 9.0 * u[:, 1:].mean(axis=1)
    return np.column_stack([-u[:, 0], -g * (1.0 - np.sqrt(u[:, 0] / g))])


def run(name, space, worth, *, trials=32, batch=8, seed=0, objectives=1, fine=None):
    """Sets and values of a search, in order."""
    searcher, told, values = SEARCHERS.get(name)(space, objectives=objectives, seed=seed), [], []
    while len(told) < trials:
        rows = searcher.ask(min(batch, trials - len(told)))
        if not rows:
            break
        value = worth(space, rows)
        kept = np.isfinite(value).all(axis=1) if fine is None else fine(rows)
        searcher.tell(rows, value, kept)
        told += rows
        values.append(value)
    return told, np.concatenate(values)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_sets_are_valid_feasible_and_new(name: str, space: str):
    made, trials = SPACES[space], 11 if name == "gp" else 32
    rows, _ = run(name, made, sphere, trials=trials, batch=10)
    assert len(rows) == trials
    for row in rows:
        made.params.parse(row)
    assert len({tuple(row.values()) for row in rows}) == trials


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_asks_the_same_and_another_seed_another(name: str):
    made = SPACES["rules and numbers"]
    trials = 12 if name == "gp" else 32
    first, again, other = (run(name, made, sphere, trials=trials, seed=s)[0] for s in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", NAMES)
def test_going_on_after_a_replay_is_as_if_nothing_had_happened(name: str):
    made = SPACES["rules and numbers"]
    size, rounds = (2, 6) if name == "gp" else (8, 4)  # the process models from ten sets on
    whole, values = run(name, made, sphere, batch=size, trials=(rounds + 1) * size)
    again = SEARCHERS.get(name)(made, objectives=1, seed=0)
    for start in range(0, rounds * size, size):
        assert again.ask(size) == whole[start : start + size]
        told = values[start : start + size]
        again.tell(whole[start : start + size], told, np.ones(size, dtype=bool))
    assert again.ask(size) == whole[rounds * size :]


@pytest.mark.parametrize("batch", [1, 23])
@pytest.mark.parametrize("name", EVERY)
def test_batches_of_any_size(name: str, batch: int):
    rows, _ = run(name, SPACES["rules and numbers"], sphere, batch=batch, trials=30)
    assert len(rows) == 30


@pytest.mark.parametrize("name", NAMES)
def test_a_small_space_is_tried_whole_and_then_is_exhausted(name: str):
    made = Space.of(Labelled)
    rows, _ = run(name, made, sphere, batch=5, trials=100)  # two are left for the third batch
    keys = {tuple(row.values()) for row in rows}
    assert len(rows) == len(keys) == 12  # 6 pairs with low < high, 2 labels


@pytest.mark.parametrize("name", EVERY)
def test_values_that_are_all_the_same(name: str):
    rows, _ = run(name, SPACES["a lattice"], lambda _, rows: np.ones((len(rows), 1)))
    assert len(rows) == 32


@pytest.mark.parametrize("name", EVERY)
def test_equal_bounds_hold_a_parameter_fixed(name: str):
    made = Space.of(MaCrossParams, {"fast": [7, 7], "volume_threshold": [1.25, 1.25]})
    rows, _ = run(name, made, sphere, trials=20)
    assert {row["fast"] for row in rows} == {7}
    assert {row["volume_threshold"] for row in rows} == {1.25}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "made",
    [Space.of(BuyAndHold.params), Space.of(Plane, {"x": [0.2, 0.2], "y": [0.3, 0.3]})],
    ids=["no parameter", "all fixed"],
)
def test_a_space_of_one_point(name: str, made: Space):
    searcher = SEARCHERS.get(name)(made, objectives=1, seed=0)
    rows = searcher.ask(4)
    assert rows == made.listed()
    searcher.tell(rows, np.zeros((1, 1)), np.ones(1, dtype=bool))
    assert searcher.ask(4) == []


@pytest.mark.parametrize("name", EVERY)
def test_undefined_values_and_broken_constraints_are_lived_with(name: str):
    def gappy(space, rows):
        value = sphere(space, rows)
        value[::3] = np.nan
        return value

    def nothing(space, rows):
        return np.full((len(rows), 1), np.nan)

    for worth in (gappy, nothing):
        assert len(run(name, SPACES["rules and numbers"], worth)[0]) == 32
    fine = lambda rows: np.array([row["fast"] < 12 for row in rows])  # noqa: E731
    assert len(run(name, SPACES["rules and numbers"], sphere, fine=fine)[0]) == 32


@pytest.mark.parametrize("name", LISTENING)
def test_a_searcher_that_listens_turns_away_from_what_breaks_a_constraint(name: str):
    """Three fifths of the plane are forbidden, and the best values lie there.

    Of random sets two fifths are allowed: of 288, a half is more than three standard errors away.
    """
    made = Space.of(Plane)
    fine = lambda rows: np.array([row["x"] < 0.4 for row in rows])  # noqa: E731
    shares = []
    for seed in range(2 if name == "gp" else 12):
        rows, _ = run(name, made, sphere, trials=56, seed=seed, fine=fine)
        shares.append(np.mean(fine(rows[-24:])))
    assert np.mean(shares) > 0.5


@pytest.mark.parametrize("name", SEVERAL)
def test_several_objectives(name: str):
    rows, _ = run(name, SPACES["rules and numbers"], compromise, objectives=2, trials=24)
    assert len(rows) == 24


def test_one_objective_only_is_said_in_one_line():
    with pytest.raises(ParameterError, match="E_OBJECTIVE: cmaes searches by one objective"):
        SEARCHERS.get("cmaes")(SPACES["twelve"], objectives=2, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_to_the_log_and_no_warning_passes(name: str, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(name, SPACES["rules and numbers"], sphere, trials=12 if name == "gp" else 24)
    assert capfd.readouterr() == ("", "")


def best_on_average(name: str, worth, seeds: range, trials: int) -> float:
    made = Space.of(Plane)
    return float(np.mean([run(name, made, worth, seed=s, trials=trials)[1].max() for s in seeds]))


@pytest.mark.parametrize(("worth", "top", "most"), [(sphere, 0.0, 0.5), (branin, -0.397887, 0.9)])
@pytest.mark.parametrize("name", LISTENING)
def test_a_searcher_that_listens_misses_less_than_random_search(name: str, worth, top, most):
    """At most a share of it; a Sobol sequence, which listens to nothing, misses 0.77 and 1.02."""
    seeds, trials = (range(4), 32) if name == "gp" else (range(12), 80)
    missed, drawn = (top - best_on_average(n, worth, seeds, trials) for n in (name, "uniform"))
    assert missed < most * drawn


@pytest.mark.parametrize("name", [pytest.param("tpe", marks=pytest.mark.slow), "nsga2", "genetic"])
def test_a_searcher_that_listens_spans_a_larger_front_than_random_search(name: str):
    made, reference = SPACES["twelve"], np.array([-1.1, -11.0])

    def volume(searcher: str, seed: int) -> float:
        _, values = run(searcher, made, compromise, objectives=2, trials=96, seed=seed)
        front = values[front_of(values, np.ones(len(values), dtype=bool))]
        return hypervolume(front, reference)

    found, drawn = ([volume(n, seed) for seed in range(5)] for n in (name, "uniform"))
    assert np.mean(found) > np.mean(drawn)
