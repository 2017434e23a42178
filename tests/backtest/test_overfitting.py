"""Cross-validated overfitting against a plain recount, on noise, and on what is real."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.evidence.overfitting import effective_streams, probability_of_overfitting


def noise(streams: int, sessions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((streams, sessions)) * 0.01


def recounted(returns: np.ndarray, blocks: int) -> float:
    """PBO with sorted ranks and whole samples, one split at a time."""
    size = returns.shape[1] // blocks
    parts = [returns[:, k * size : (k + 1) * size] for k in range(blocks)]
    lost, splits = 0, 0
    for chosen in combinations(range(blocks), blocks // 2):
        seen = np.concatenate([parts[k] for k in chosen], axis=1)
        unseen = np.concatenate([parts[k] for k in range(blocks) if k not in chosen], axis=1)
        best = np.argmax(seen.mean(axis=1) / seen.std(axis=1, ddof=1))
        ratio = unseen.mean(axis=1) / unseen.std(axis=1, ddof=1)
        rank = sorted(ratio).index(ratio[best]) + 1
        omega = rank / (len(returns) + 1)
        lost += np.log(omega / (1 - omega)) <= 0
        splits += 1
    return lost / splits


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), streams=st.integers(2, 9), blocks=st.sampled_from([2, 4, 6]))
def test_a_plain_recount_agrees(seed: int, streams: int, blocks: int):
    returns = noise(streams, 6 * blocks + seed % 5, seed)
    found = probability_of_overfitting(returns, blocks=blocks, draws=0)
    assert found is not None
    assert found.pbo == pytest.approx(recounted(returns, blocks), abs=1e-12)


def test_sixteen_blocks_are_12870_splits():
    found = probability_of_overfitting(noise(5, 320, 1), draws=2, seed=3)
    assert found is not None
    assert (found.splits, found.streams) == (12_870, 5)
    assert found == probability_of_overfitting(noise(5, 320, 1), draws=2, seed=3)


def test_noise_is_in_the_middle_of_its_null_and_skill_below_it():
    seeds = range(20)
    on_noise = [probability_of_overfitting(noise(30, 640, s), blocks=8, draws=60) for s in seeds]
    assert all(one is not None for one in on_noise)
    assert 0.3 < np.mean([one.pbo for one in on_noise]) < 0.7
    assert 0.3 < np.mean([one.null_mean for one in on_noise]) < 0.7
    assert 0.1 < np.mean([one.null_deviation for one in on_noise]) < 0.3
    assert sum(one.null_below <= 0.05 for one in on_noise) <= 4
    skilled = noise(30, 640, 99)
    skilled[7] += 0.003
    found = probability_of_overfitting(skilled, blocks=8, draws=60)
    assert found is not None
    assert (found.pbo, found.null_below) == (0.0, 1 / 61)


def test_equal_streams_are_lost_half_the_time():
    same = np.repeat(noise(1, 80, 4), 5, axis=0)
    found = probability_of_overfitting(same, blocks=4, draws=0)
    assert found is not None
    assert found.pbo == 0.5
    assert found.null_mean is found.null_deviation is found.null_below is None


def test_streams_without_deviation_are_left_out():
    returns = noise(4, 80, 5)
    flat = np.vstack([returns, np.zeros(80), np.full(80, 0.001)])
    assert probability_of_overfitting(flat, blocks=4) == probability_of_overfitting(
        returns, blocks=4
    )
    assert probability_of_overfitting(flat[3:], blocks=4) is None
    assert probability_of_overfitting(returns[:1], blocks=4) is None


def test_more_splits_than_fit_in_memory_come_in_parts(monkeypatch: pytest.MonkeyPatch):
    returns = noise(40, 160, 6)
    whole = probability_of_overfitting(returns, blocks=8, draws=3)
    monkeypatch.setattr("backtest.evidence.overfitting._CELLS", 130)
    assert probability_of_overfitting(returns, blocks=8, draws=3) == whole


@pytest.mark.parametrize(
    ("returns", "blocks", "code"),
    [
        (noise(3, 100, 0), 7, "E_BLOCKS"),
        (noise(3, 100, 0), 22, "E_BLOCKS"),
        (noise(3, 31, 0), 16, "E_TOO_SHORT"),
        (noise(1, 100, 0)[0], 4, "E_TOO_SHORT"),
        (np.full((3, 100), np.nan), 4, "E_DATA"),
    ],
)
def test_bad_input_is_one_line(returns: np.ndarray, blocks: int, code: str):
    with pytest.raises(DataError, match=f"^{code}: "):
        probability_of_overfitting(returns, blocks=blocks)


def test_effective_streams():
    base = noise(6, 500, 7)
    copies = np.repeat(base, 8, axis=0) + noise(48, 500, 8) * 0.2
    assert effective_streams(copies) == 6
    assert effective_streams(np.vstack([copies, np.zeros(500), np.full(500, np.nan)])) == 6
    assert effective_streams(np.repeat(base[:1], 9, axis=0)) == 1
    assert effective_streams(base[:2]) == 2
    assert effective_streams(np.zeros((3, 500))) is None
