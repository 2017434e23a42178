"""Combiners: weights of members from what each earned out of sample.

For: three rules and their registry. Not for: what the members propose, and never for what they
would have earned on sessions that they had learned from: a member's stream is made of the proposals
as they were at each close.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from backtest.registry import Registry
from ml.learner import HORIZON, STILL

Floats = npt.NDArray[np.float64]

Combiner = Callable[[Floats, Floats, Floats], Floats]
"""From streams ``[member, time]``, proposals ``[member, decision, param]`` and outcomes
``[decision, param]`` to weights ``[member]``, non-negative, sum at most 1; the rest is cash."""

COMBINERS: Registry[Combiner] = Registry("combiner", "ml.ensemble.combiner")

RECENT = 252
"""Sessions over which recent performance is measured."""
_TEMPERATURE = 0.03
_LEAST = 63
_FOLDS = 5
_PENALTIES = (0.01, 0.1, 1.0, 10.0)


def sharpe_of(streams: Floats) -> Floats:
    """Mean over deviation of each stream's last ``RECENT`` sessions; 0 where it stood still."""
    last = streams[:, -RECENT:]
    deviation = last.std(axis=1)
    out: Floats = np.divide(
        last.mean(axis=1), deviation, out=np.zeros(len(last)), where=deviation > STILL
    )
    return out


@COMBINERS.register("softmax")
def softmax(streams: Floats, _proposals: Floats, _outcomes: Floats) -> Floats:
    """Shares by recent Sharpe per session at one temperature; cash takes part with 0."""
    if streams.shape[1] < _LEAST:
        return np.full(len(streams), 1.0 / len(streams))
    sharpe = sharpe_of(streams)
    best = max(float(sharpe.max()), 0.0)
    raised = np.exp((sharpe - best) / _TEMPERATURE)
    out: Floats = raised / (raised.sum() + np.exp(-best / _TEMPERATURE))
    return out


@COMBINERS.register("sharpe")
def sharpe(streams: Floats, _proposals: Floats, _outcomes: Floats) -> Floats:
    """Recent Sharpe where it is positive, over how much a member repeats the others.

    ``w_i ~ max(S_i, 0) / (1 + sum of max(correlation with each other member, 0))``: two members
    that say the same share one member's weight.
    """
    if streams.shape[1] < _LEAST:
        return np.full(len(streams), 1.0 / len(streams))
    known = np.maximum(sharpe_of(streams), 0.0)
    last = streams[:, -RECENT:]
    centred = last - last.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    unit = np.divide(centred, size[:, None], out=np.zeros_like(centred), where=size[:, None] > 0.0)
    alike = np.maximum(unit @ unit.T, 0.0)
    np.fill_diagonal(alike, 1.0)
    raw = known / alike.sum(axis=1)
    total = float(raw.sum())
    return raw / total if total > 0.0 else np.zeros(len(streams))


@COMBINERS.register("stacked")
def stacked(streams: Floats, proposals: Floats, outcomes: Floats) -> Floats:
    """Non-negative regression of what sets earned on what members gave them, ridge to the mean.

    Proposals are out of sample already. The penalty is chosen on purged folds: blocks of
    decisions in time, without those whose outcome overlaps the block's.
    """
    count = len(proposals)
    even = np.full(count, 1.0 / count)
    judged = np.isfinite(outcomes)
    known = np.flatnonzero(judged.any(axis=1))
    if len(known) < 2 * _FOLDS:
        return even
    y = np.where(judged, outcomes, 0.0)[known]
    x = np.where(judged[None], proposals, 0.0)[:, known]
    y = np.where(judged[known], y - _mean(y, judged[known]), 0.0)
    x = np.where(judged[known][None], x - _mean(x, judged[known][None]), 0.0)
    blocks = np.array_split(np.arange(len(known)), _FOLDS)
    step = max(1, round(float(np.median(np.diff(known))))) if len(known) > 1 else 1
    purge = -(-HORIZON // (5 * step))
    errors = [_left_out(x, y, penalty, blocks, purge) for penalty in _PENALTIES]
    found = _solved(x, y, _PENALTIES[int(np.argmin(errors))])
    total = float(found.sum())
    return found / total if total > 0.0 else np.zeros(count)


def _mean(values: Floats, judged: npt.NDArray[np.bool_]) -> Floats:
    total = np.where(judged, values, 0.0).sum(axis=-1, keepdims=True)
    return np.asarray(total / np.maximum(judged.sum(axis=-1, keepdims=True), 1))


def _left_out(
    x: Floats, y: Floats, penalty: float, blocks: list[npt.NDArray[np.int64]], purge: int
) -> float:
    """Mean squared error on blocks that were not fitted on."""
    total = 0.0
    for block in blocks:
        away = np.ones(y.shape[0], dtype=bool)
        away[max(block[0] - purge, 0) : block[-1] + purge + 1] = False
        if away.sum() < 2:
            continue
        found = _solved(x[:, away], y[away], penalty)
        total += float(((y[block] - np.tensordot(found, x[:, block], axes=1)) ** 2).mean())
    return total


def _solved(x: Floats, y: Floats, penalty: float) -> Floats:
    """Coefficients ``[member]``: non-negative, pulled towards each other."""
    flat = x.reshape(len(x), -1).T  # [row, member]
    target = y.reshape(-1)
    size = max(float((flat**2).sum()) / len(x), 1e-18)
    plain = max(
        float(target @ flat.sum(axis=1)) / max(float((flat.sum(axis=1) ** 2).sum()), 1e-18), 0.0
    )
    pull = np.sqrt(penalty * size) * np.eye(len(x))
    both = np.concatenate([flat, pull])
    wanted = np.concatenate([target, np.sqrt(penalty * size) * np.full(len(x), plain)])
    return np.asarray(nnls(both.T @ both, both.T @ wanted)[0])
