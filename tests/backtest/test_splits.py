"""Folds: nothing overlaps, published counts, and a second library's splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.walkforward.splits import CombinatorialSplits, walk_forward_splits


def test_anchored_folds_by_hand():
    folds = list(walk_forward_splits(10, train=4, test=3, horizon=1))
    assert [f.train.tolist() for f in folds] == [[0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert [f.test.tolist() for f in folds] == [[4, 5, 6], [7, 8, 9]]


def test_rolling_folds_by_hand():
    folds = list(walk_forward_splits(11, train=4, test=3, window="rolling"))
    assert [f.train.tolist() for f in folds] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert [f.test.tolist() for f in folds] == [[4, 5, 6], [7, 8, 9], [10]]


@settings(max_examples=50, deadline=None)
@given(
    sessions=st.integers(1, 200),
    train=st.integers(6, 80),
    test=st.integers(1, 40),
    horizon=st.integers(0, 5),
    window=st.sampled_from(["anchored", "rolling"]),
)
def test_no_label_reaches_into_the_test(sessions, train, test, horizon, window):
    folds = list(
        walk_forward_splits(sessions, train=train, test=test, horizon=horizon, window=window)
    )
    for fold in folds:
        assert fold.train[-1] + horizon < fold.test[0]
    every = np.concatenate([f.test for f in folds]) if folds else np.array([])
    assert every.tolist() == list(range(train, sessions))


@pytest.mark.parametrize(("folds", "tests", "splits", "paths"), [(10, 8, 45, 36), (6, 2, 15, 5)])
def test_published_counts(folds: int, tests: int, splits: int, paths: int):
    found = CombinatorialSplits(300, folds, tests)
    assert (found.splits, found.paths) == (splits, paths)
    assert len(list(found)) == splits
    assert found.path_of().shape == (paths, folds)


@pytest.mark.parametrize(("folds", "tests"), [(10, 8), (6, 2), (5, 3)])
@pytest.mark.parametrize(("horizon", "embargo"), [(0, 0), (3, 0), (2, 4)])
def test_skfolio_splits_alike(folds: int, tests: int, horizon: int, embargo: int):
    from skfolio.model_selection import CombinatorialPurgedCV

    theirs = CombinatorialPurgedCV(folds, tests, purged_size=horizon, embargo_size=embargo)
    rows = np.zeros((folds * 12, 1))
    ours = CombinatorialSplits(len(rows), folds, tests, horizon=horizon, embargo=embargo)
    assert ours.paths == theirs.n_test_paths
    for (train, blocks), split in zip(theirs.split(rows), ours, strict=True):
        assert split.test.tolist() == np.concatenate(blocks).tolist()
        # skfolio holds the embargo only, we hold purge and embargo after a test
        assert set(split.train.tolist()) <= set(train.tolist())
        if embargo == 0:
            assert split.train.tolist() == train.tolist()


@settings(max_examples=50, deadline=None)
@given(
    sessions=st.integers(12, 90),
    folds=st.integers(2, 8),
    horizon=st.integers(0, 4),
    embargo=st.integers(0, 4),
    seed=st.integers(0, 100),
)
def test_purged_and_every_path_is_whole(sessions, folds, horizon, embargo, seed):
    tests = 1 + seed % (folds - 1)
    found = CombinatorialSplits(sessions, folds, tests, horizon=horizon, embargo=embargo)
    every = list(found)
    for split in every:
        apart = np.abs(split.train[:, None] - split.test)
        assert apart.size == 0 or apart.min() > horizon
        ahead = split.train[:, None] - split.test
        assert not ((ahead > 0) & (ahead <= horizon + embargo)).any()
    blocks = found.blocks()
    seen = set()
    for path in found.path_of():
        for k, split in enumerate(path):
            assert set(blocks[k].tolist()) <= set(every[split].test.tolist())
            seen.add((k, int(split)))
    assert len(seen) == found.paths * folds  # no block of a split is used twice


@pytest.mark.parametrize("wrong", [(5, 6, 2), (50, 4, 4), (50, 4, 0)])
def test_what_cannot_be_split(wrong):
    with pytest.raises(DataError, match=r"^E_SPLIT: "):
        CombinatorialSplits(*wrong)
    with pytest.raises(DataError, match=r"^E_SPLIT: "):
        list(walk_forward_splits(10, train=3, test=1, horizon=3))
