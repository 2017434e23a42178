"""What only a market with a known truth can tell of a regime model and of scores.

For: the accuracy of a filter that is fitted with the truth, how long a change of regime stays
unseen, and whether sets are ranked as they then earn. Not for: anything that is exported; every
function here reads the truth or the future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.hidden_markov import Chain, evidence_of, filtered
from ml.market_state import STATE_COLUMNS
from ml.regime_track import matched_states, state_accuracy
from ml.state_feature import TINY

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LIMIT = 4.0
_SHRINK = 20.0
_RARE = 0.1
"""Moves added to each count: a move that never happened is rare, not impossible."""


@dataclass(frozen=True)
class Detection:
    """How changes of the true state were seen.

    Parameters
    ----------
    delays : tuple of int
        Sessions from each change to the first close that named the new state.
    missed : int
        Changes whose state had ended before it was named.
    named : int
        Changes of the state that was named; far more than there were is flicker, which finds new
        states quickly and means nothing.
    """

    delays: tuple[int, ...]
    missed: int
    named: int


def detection(likeliest: Ints, truth: Ints) -> Detection:
    """Measure how long every change of state stayed unseen.

    Parameters
    ----------
    likeliest, truth : int64, ``[time]``
        States found at each close, and planted; named alike by the best one-to-one assignment.

    Examples
    --------
    >>> detection(np.array([1, 1, 1, 0, 0, 1]), np.array([0, 0, 1, 1, 1, 0]))
    Detection(delays=(1, 0), missed=0, named=2)
    """
    found = matched_states(likeliest, truth)
    changes = np.flatnonzero(np.diff(truth)) + 1
    ends = np.append(changes, len(truth))[1:]
    delays, missed = [], 0
    for first, stop in zip(changes, ends, strict=True):
        seen = np.flatnonzero(found[first:stop] == truth[first])
        if seen.size:
            delays.append(int(seen[0]))
        elif stop < len(truth):  # the last state has not ended: it may still be named
            missed += 1
    return Detection(tuple(delays), missed, int(np.count_nonzero(np.diff(found))))


def supervised_accuracy(
    state: Floats, columns: tuple[str, ...], truth: Ints, *, start: int
) -> float | None:
    """Accuracy of the filter that was told the truth while it was fitted.

    Same observations, same kind of chain, forward filter only; but means, covariance and moves
    are estimated with the true state of all sessions, so nothing is lost to fitting. It is a
    yardstick, not a bound: a chain of another kind may do better.

    Parameters
    ----------
    state : float64, ``[time, feature]``
        Market state, NaN where unknown.
    columns : tuple of str, ``[feature]``
    truth : int64, ``[time]``
    start : int
        First session that counts.

    Returns
    -------
    float or None
        None where some state has no session on which a varying market state is known.
    """
    x = state[:, [columns.index(name) for name in STATE_COLUMNS]]
    x = x[:, np.isfinite(x).any(axis=0)]
    whole = np.isfinite(x).all(axis=1) & (x.shape[1] > 0)
    kinds, truth = np.unique(truth, return_inverse=True)
    if set(truth[whole]) != set(range(len(kinds))) or not (x[whole].std(axis=0) > TINY).all():
        return None
    x = np.clip((x - x[whole].mean(axis=0)) / x[whole].std(axis=0), -_LIMIT, _LIMIT)
    member = np.eye(len(kinds))[truth]
    means = np.stack([x[whole & (truth == k)].mean(axis=0) for k in range(len(kinds))])
    left = (x - means[truth])[whole]
    covariance = (left.T @ left + _SHRINK * np.eye(x.shape[1])) / (len(left) + _SHRINK)
    moves = member[:-1].T @ member[1:] + _RARE
    chain = Chain(means, covariance, moves / moves.sum(axis=1, keepdims=True))
    evidence = np.ones(x.shape[1])
    for _ in range(2):
        evidence = evidence_of(x, chain, evidence)
    likeliest = filtered(x, chain, evidence).argmax(axis=1)
    return state_accuracy(likeliest[start:], truth[start:])


def ranking_accuracy(scores: Floats, outcomes: Floats) -> float | None:
    """Share of pairs that the scores order as the outcomes do, among pairs that differ materially.

    Material is a gap in outcome above the median gap; equal scores count half.

    Parameters
    ----------
    scores, outcomes : float64, ``[param]``

    Returns
    -------
    float or None
        None where fewer than two outcomes differ.

    Examples
    --------
    >>> ranking_accuracy(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 4.0]))
    1.0
    """
    first, second = np.triu_indices(len(scores), 1)
    gaps = outcomes[first] - outcomes[second]
    if not gaps.any():
        return None
    told = np.sign(scores[first] - scores[second])
    material = np.abs(gaps) > np.median(np.abs(gaps))
    if not material.any():
        return None
    right = told[material] * np.sign(gaps[material])
    return float(((right + 1.0) / 2.0).mean())
