"""How far "best of many" is overfitted: combinatorially symmetric cross-validation.

For: the probability of backtest overfitting with its null distribution, and the number of
clusters that many correlated streams amount to. Not for: deciding; one draw of the probability
has a standard deviation of about .2 on noise, so it is a diagnostic and never a criterion.

Sources: Bailey, Borwein, Lopez de Prado and Zhu, "The probability of backtest overfitting" (2017);
Lopez de Prado and Lewis, "Detection of false investment strategies using unsupervised learning
methods" (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from backtest.errors import DataError

Floats = npt.NDArray[np.float64]
_TINY = 1e-12
_CELLS = 8_000_000
"""Splits times streams that are held at once (64 MB of floats per array)."""

MOST_CLUSTERED = 1_000
"""Streams that are clustered at most; of more, evenly spaced ones are taken."""


@dataclass(frozen=True)
class Overfitting:
    """What cross-validation says of choosing the best stream.

    Parameters
    ----------
    pbo : float
        Share of splits in which the best stream in sample is at or below the median out of
        sample.
    splits, streams : int
        Streams without deviation are left out.
    null_mean, null_deviation : float or None
        Of the same number on resampled streams of equal merit; None with fewer than two draws.
    null_below : float or None
        ``(1 + draws at or below pbo) / (1 + draws)``: small where choosing the best is worth
        something.
    """

    pbo: float
    splits: int
    streams: int
    null_mean: float | None
    null_deviation: float | None
    null_below: float | None


def probability_of_overfitting(
    returns: Floats, *, blocks: int = 16, draws: int = 50, seed: int = 0
) -> Overfitting | None:
    """Split time into blocks, choose on every half of them, judge on the other half.

    Parameters
    ----------
    returns : float64, ``[stream, time]``
    blocks : int
        Even, 2 to 20. Sessions at the end that fill no block are left out.
    draws : int
        Resampled sets of streams behind the null distribution: each stream's mean is set to 0
        and the sessions are resampled together (stationary bootstrap, blocks of 10 on average),
        so that correlations and fat tails stay.
    seed : int

    Returns
    -------
    Overfitting, or None
        None with fewer than two streams that have a deviation.

    Raises
    ------
    DataError
        An odd number of blocks, fewer than two sessions per block, or values that are not finite.
    """
    _check(returns, blocks)
    usable = returns[returns.std(axis=1) > _TINY * np.maximum(1.0, np.abs(returns).max(axis=1))]
    if len(usable) < 2:
        return None
    halves = _halves(blocks)
    found = _pbo(usable, halves, blocks)
    equal = usable - usable.mean(axis=1, keepdims=True)
    source = np.random.default_rng(seed)
    null = np.array(
        [
            _pbo(equal[:, _resampled(equal.shape[1], 10.0, source)], halves, blocks)
            for _ in range(draws)
        ]
    )
    known = draws > 1
    return Overfitting(
        pbo=found,
        splits=len(halves),
        streams=len(usable),
        null_mean=float(null.mean()) if known else None,
        null_deviation=float(null.std(ddof=1)) if known else None,
        null_below=float((1 + (null <= found).sum()) / (1 + len(null))) if known else None,
    )


def _check(returns: Floats, blocks: int) -> None:
    if blocks % 2 or not 2 <= blocks <= 20:
        raise DataError(f"{blocks} blocks", fix="give an even number from 2 to 20", code="E_BLOCKS")
    if returns.ndim != 2 or returns.shape[1] < 2 * blocks:
        raise DataError(
            f"returns of shape {returns.shape} for {blocks} blocks",
            fix="give [stream, time] with at least two sessions per block",
            code="E_TOO_SHORT",
        )
    if not np.isfinite(returns).all():
        raise DataError("a return that is not finite", fix="leave the stream out or mend it")


def _halves(blocks: int) -> Floats:
    """Every choice of half of the blocks; ``[split, block]``.

    In lexicographic order, so that the complement of row ``k`` is row ``-1 - k``.
    """
    chosen = np.zeros((comb(blocks, blocks // 2), blocks))
    for row, members in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(members)] = 1.0
    return chosen


def _pbo(returns: Floats, halves: Floats, blocks: int) -> float:
    """Share of splits whose winner ends at or below the median of the other half."""
    streams, sessions = returns.shape
    size = sessions // blocks
    cut = returns[:, : size * blocks].reshape(streams, blocks, size)
    sums = cut.sum(axis=2).T  # [B, N]
    squares = (cut * cut).sum(axis=2).T  # [B, N]
    n = size * blocks // 2
    half, below = len(halves) // 2, 0.0
    step = max(1, _CELLS // streams)
    # each unordered pair of halves once: both directions are judged from the same two ratios
    for first in range(0, half, step):
        rows = slice(first, min(first + step, half))
        one = _ratio(halves[rows] @ sums, halves[rows] @ squares, n)
        rest = 1.0 - halves[rows]
        other = _ratio(rest @ sums, rest @ squares, n)
        below += _losers(one, other) + _losers(other, one)
    return below / len(halves)


def _ratio(sums: Floats, squares: Floats, n: int) -> Floats:
    """Sharpe ratio per session from sums; 0 without deviation; ``[split, stream]``."""
    mean = sums / n
    variance = np.maximum((squares - n * mean * mean) / (n - 1), 0.0)
    flat = variance <= _TINY * np.maximum(squares / n, 1e-300)
    ratio: Floats = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=~flat)
    return ratio


def _losers(seen: Floats, unseen: Floats) -> float:
    """Count splits whose winner in ``seen`` has a rank of at most the median in ``unseen``.

    Ties share a rank, so that equal streams come out at the median and half count as lost.
    """
    rows = np.arange(len(seen))
    mine = unseen[rows, seen.argmax(axis=1)][:, None]
    less = (unseen < mine).sum(axis=1)
    equal = (unseen == mine).sum(axis=1)
    rank = less + (equal + 1) / 2.0
    middle = (seen.shape[1] + 1) / 2.0
    tied = (rank == middle) & (equal > 1)
    return float((rank < middle).sum() + ((rank == middle) & ~tied).sum() + 0.5 * tied.sum())


def _resampled(
    sessions: int, mean_block: float, source: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Indices of one stationary-bootstrap sample (Politis and Romano 1994); ``[time]``."""
    starts = source.integers(0, sessions, sessions)
    fresh = source.random(sessions) < 1.0 / mean_block
    fresh[0] = True
    at = np.maximum.accumulate(np.where(fresh, np.arange(sessions), 0))
    return (starts[at] + np.arange(sessions) - at) % sessions


def effective_streams(returns: Floats) -> int | None:
    """Count clusters of streams that move together; stands beside the true count, never for it.

    Parameters
    ----------
    returns : float64, ``[stream, time]``

    Returns
    -------
    int, or None
        Number of clusters (average linkage on ``sqrt((1 - correlation) / 2)``) with the largest
        mean silhouette; a single cluster where no cut reaches a silhouette of .1. None without a
        stream that has a deviation.
    """
    usable = returns[np.isfinite(returns).all(axis=1) & (returns.std(axis=1) > _TINY)]
    if len(usable) > MOST_CLUSTERED:
        usable = usable[np.linspace(0, len(usable) - 1, MOST_CLUSTERED).round().astype(int)]
    if len(usable) < 3:
        return len(usable) or None
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.sqrt(np.clip((1.0 - np.corrcoef(usable)) / 2.0, 0.0, 1.0))
    np.fill_diagonal(distance, 0.0)
    distance = (distance + distance.T) / 2.0
    if distance.max() <= 1e-6:
        return 1
    tree = linkage(squareform(distance, checks=False), "average")
    best, most = 1, 0.1
    for count in range(2, min(len(usable), 50)):
        score = _silhouette(distance, fcluster(tree, count, "maxclust"))
        if score > most:
            best, most = count, score
    return best


def _silhouette(distance: Floats, labels: npt.NDArray[np.int32]) -> float:
    """Mean silhouette (Rousseeuw 1987); 0 for a stream that is alone in its cluster."""
    member = (labels[:, None] == np.unique(labels)).astype(float)  # [N, K]
    size = member.sum(axis=0)
    total = distance @ member  # [N, K]
    own = (total * member).sum(axis=1) / np.maximum(member @ size - 1.0, 1.0)
    other = np.where(member > 0, np.inf, total / size).min(axis=1)
    width = np.divide(
        other - own, np.maximum(own, other), out=np.zeros_like(own), where=other > _TINY
    )
    return float(np.where(member @ size > 1, width, 0.0).mean())
