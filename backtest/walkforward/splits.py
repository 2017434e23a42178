"""Splits of a session axis: walk-forward folds, and combinatorial purged paths.

For: training and test rows with purge and embargo from a label's horizon. Not for: fitting, or
the decision path, which folds over single sessions (``ml.walkforward``).

Source: Lopez de Prado, "Advances in financial machine learning" (2018), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.errors import DataError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """One training set and one test set.

    Parameters
    ----------
    train, test : int64
        Session indices, ascending.
    """

    train: Rows
    test: Rows


def walk_forward_splits(
    sessions: int,
    *,
    train: int,
    test: int,
    window: Literal["anchored", "rolling"] = "anchored",
    horizon: int = 0,
) -> Iterator[Split]:
    """Folds in time: train on the past, test on what follows, move on by the test's length.

    Parameters
    ----------
    sessions : int
    train : int
        Length of a rolling window, and of the first anchored one, purged rows included.
    test : int
        Sessions of each test; the last one may be shorter.
    window : str
    horizon : int
        Sessions that a label looks ahead: so many rows before the test are purged, because their
        labels overlap it.
    """
    if min(train, test) < 1 or horizon < 0 or train <= horizon:
        raise DataError(
            f"train = {train}, test = {test}, horizon = {horizon}",
            fix="give positive lengths and more training rows than the horizon",
            code="E_SPLIT",
        )
    for first in range(train, sessions, test):
        start = 0 if window == "anchored" else first - train
        yield Split(
            np.arange(start, first - horizon), np.arange(first, min(first + test, sessions))
        )


@dataclass(frozen=True)
class CombinatorialSplits:
    """Every choice of ``tests`` of ``folds`` blocks of time as the test set.

    Parameters
    ----------
    sessions, folds, tests : int
    horizon : int
        Rows on each side of a test block whose label, or the test's, overlaps are purged.
    embargo : int
        Further rows after each test block that are left out.
    """

    sessions: int
    folds: int = 10
    tests: int = 8
    horizon: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be split."""
        if not 1 <= self.tests < self.folds <= self.sessions or min(self.horizon, self.embargo) < 0:
            raise DataError(
                f"{self.tests} of {self.folds} folds of {self.sessions} sessions",
                fix="give 1 <= tests < folds <= sessions, horizon and embargo of at least 0",
                code="E_SPLIT",
            )

    @property
    def splits(self) -> int:
        """Number of splits: ``folds`` over ``tests``."""
        return comb(self.folds, self.tests)

    @property
    def paths(self) -> int:
        """Number of whole histories that the test blocks make up."""
        return self.splits * self.tests // self.folds

    def blocks(self) -> list[Rows]:
        """Sessions of each fold; the first ones are longer by one where they don't divide."""
        return [np.asarray(rows) for rows in np.array_split(np.arange(self.sessions), self.folds)]

    def __iter__(self) -> Iterator[Split]:
        """Yield every split in lexicographic order of its test blocks."""
        blocks = self.blocks()
        for chosen in combinations(range(self.folds), self.tests):
            keep = np.ones(self.sessions, dtype=bool)
            for k in chosen:
                first, last = int(blocks[k][0]), int(blocks[k][-1])
                keep[max(0, first - self.horizon) : last + 1 + self.horizon + self.embargo] = False
            yield Split(np.flatnonzero(keep), np.concatenate([blocks[k] for k in chosen]))

    def path_of(self) -> npt.NDArray[np.int64]:
        """Split whose test covers each block on each path; ``[path, fold]``.

        The ``j``-th path takes, for every block, the ``j``-th split that tests it.
        """
        chosen = list(combinations(range(self.folds), self.tests))
        covers = [[s for s, blocks in enumerate(chosen) if k in blocks] for k in range(self.folds)]
        return np.array(covers, dtype=np.int64).T
