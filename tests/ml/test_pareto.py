"""Fronts and hypervolume, by hand, by brute force and against Optuna's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.pareto import crowding, front_of, hypervolume, ranks


def points(random: np.random.Generator, n: int, goals: int) -> np.ndarray:
    """Points of which some are equal in places."""
    return np.round(random.random((n, goals)), 1)


def test_ranks_by_hand():
    values = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [1.0, 2.0], [0.0, 0.0], [2.0, 2.0]])
    assert ranks(values).tolist() == [0, 0, 0, 1, 2, 0]
    assert ranks(np.array([[1.0], [3.0], [1.0]])).tolist() == [1, 0, 1]
    assert ranks(np.zeros((0, 2))).tolist() == []


@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 3))
def test_the_front_is_what_no_other_beats(seed: int, n: int, goals: int):
    values = points(np.random.default_rng(seed), n, goals)

    def beaten(i: int, left: list[int]) -> bool:
        return any((values[j] >= values[i]).all() and (values[j] > values[i]).any() for j in left)

    left, level, expected = list(range(n)), 0, [0] * n
    while left:
        front = [i for i in left if not beaten(i, left)]
        for i in front:
            expected[i] = level
        left, level = [i for i in left if i not in front], level + 1
    assert ranks(values).tolist() == expected
    feasible = np.arange(n) % 3 != 1
    held = [int(i) for i in np.flatnonzero(feasible)]
    alone = [i for i in held if not beaten(i, held)]
    assert front_of(values, feasible).tolist() == alone


def test_undefined_values_are_on_no_front():
    values = np.array([[np.nan, 9.0], [1.0, 1.0]])
    assert front_of(values, np.array([True, True])).tolist() == [1]
    assert front_of(values, np.array([True, False])).tolist() == []


def test_crowding_by_hand():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
    assert crowding(values).tolist() == [np.inf, 2.0, np.inf]


@pytest.mark.parametrize(
    ("values", "reference", "expected"),
    [
        ([[2.0, 1.0], [1.0, 2.0]], [0.0, 0.0], 3.0),
        ([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]], [0.0, 0.0], 3.0),
        ([[2.0, 1.0]], [2.0, 0.0], 0.0),
        ([[1.0, 1.0, 1.0], [2.0, 0.5, 1.0]], [0.0, 0.0, 0.0], 1.5),
        ([[3.0]], [1.0], 2.0),
        ([[-1.0, -1.0]], [0.0, 0.0], 0.0),
    ],
)
def test_hypervolume_by_hand(values: list, reference: list, expected: float):
    assert hypervolume(np.array(values), np.array(reference)) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 15), st.integers(1, 3))
def test_hypervolume_by_inclusion_and_exclusion_of_cells(seed: int, n: int, goals: int):
    """Values are tenths, so the volume is a count of cells of a tenth."""
    values = points(np.random.default_rng(seed), n, goals)
    centres = np.stack(
        np.meshgrid(*[(np.arange(10) + 0.5) / 10.0] * goals, indexing="ij"), axis=-1
    ).reshape(-1, goals)
    covered = (values[:, None] > centres).all(axis=2).any(axis=0).mean()
    assert hypervolume(values, np.zeros(goals)) == pytest.approx(covered, abs=1e-12)


@pytest.mark.parametrize("goals", [2, 3, 4])
def test_hypervolume_agrees_with_optuna(goals: int):
    from optuna._hypervolume import compute_hypervolume

    for seed in range(5):
        values = np.random.default_rng(seed).random((20, goals))
        second = compute_hypervolume(-values, np.zeros(goals))
        assert hypervolume(values, np.zeros(goals)) == pytest.approx(second, rel=1e-9)
