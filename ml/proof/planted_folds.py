"""Planted leaks in folds: shuffled rows, and labels that reach into the test.

For: traps of a model that is fitted on training rows and judged on test rows. Not for: any model;
nothing outside ``ml.proof.traps`` may import this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl

from backtest import seeds
from backtest.walkforward.splits import Split, walk_forward_splits
from ml.feature import feature_plan
from ml.labels import label_plan
from ml.proof.trap import SEEN_BY_CUTS, SEEN_ON_NULL, TRAIN, Feed, Floats, Trap, Twin

HORIZON = 20
LABEL = f"y_return_{HORIZON}"
READS = ("momentum_return_20", "momentum_return_60")
FOLDS, BLOCK = 5, 5


def shuffled(sessions: int) -> Iterator[Split]:
    """Deal sessions to folds at random, whatever their order in time."""
    dealt = (FOLDS * seeds.generator(0, "traps/folds").random(sessions)).astype(int)
    for fold in range(FOLDS):
        yield Split(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold))


def unpurged(sessions: int) -> Iterator[Split]:
    """Train on every session before the test."""
    return walk_forward_splits(sessions, train=TRAIN, test=BLOCK)


def purged(sessions: int) -> Iterator[Split]:
    """Train on the sessions whose label is complete before the test begins."""
    return walk_forward_splits(sessions, train=TRAIN, test=BLOCK, horizon=HORIZON)


def reshaped(feed: Feed, frame: pl.DataFrame, name: str) -> Floats:
    """Lay one column out as ``[symbol, time]``."""
    return frame[name].fill_null(np.nan).to_numpy().reshape(feed.panel.shape)


def outcomes(feed: Feed) -> Floats:
    """Labels ``[symbol, time]``; NaN while they are not known."""
    return reshaped(feed, label_plan(feed.panel.frame().lazy(), [LABEL]).collect(), LABEL)


def nearest(splits: Callable[[int], Iterable[Split]]) -> Twin:
    """Predict the label of a symbol's training row whose features are nearest."""

    def publishes(feed: Feed) -> Floats:
        frame = feature_plan(feed.panel.frame().lazy(), READS).collect()
        x = np.stack([reshaped(feed, frame, name) for name in READS])  # [F, S, T]
        y = outcomes(feed)
        out = np.full(y.shape, np.nan)
        for split in splits(y.shape[1]):
            whole = np.isfinite(x[:, :, split.train]).all(axis=(0, 1))
            rows = split.train[whole & np.isfinite(y[:, split.train]).all(axis=0)]
            if len(rows) == 0:
                continue
            apart = sum((f[:, split.test, None] - f[:, None, rows]) ** 2 for f in x)
            near = rows[np.argmin(apart, axis=2)]  # [S, test], of [S, test, train]
            out[:, split.test] = np.take_along_axis(y, near, axis=1)
        return np.where(np.isfinite(x).all(axis=0), out, np.nan)

    return Twin(publishes, coefficients, splits=splits)


def coefficients(feed: Feed, predictions: Floats) -> Floats:
    """Correlation across symbols of prediction and label at each session; ``[time]``."""
    y = outcomes(feed)
    out = np.full(y.shape[1], np.nan)
    at = np.flatnonzero(np.isfinite(y).all(axis=0) & np.isfinite(predictions).all(axis=0))
    a = predictions[:, at] - predictions[:, at].mean(axis=0)
    b = y[:, at] - y[:, at].mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    out[at] = (a * b).sum(axis=0) / np.maximum(size, 1e-12)
    return out


SEEN_BY = SEEN_BY_CUTS | SEEN_ON_NULL | {"fold order"}

FITTED = (
    Trap(
        "shuffled folds",
        "sessions are dealt to folds at random, so the neighbours of a test row are trained on",
        nearest(shuffled),
        nearest(purged),
        SEEN_BY,
        measure="IC",
        horizon=HORIZON,
    ),
    Trap(
        "overlapping labels",
        "training ends the day before the test, with labels that reach 20 sessions into it",
        nearest(unpurged),
        nearest(purged),
        SEEN_BY,
        measure="IC",
        horizon=HORIZON,
    ),
)
