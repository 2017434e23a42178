"""Which of several goals' compromises no other beats: fronts, crowding, hypervolume.

For: sorting sets by several objectives at once. Not for: what the objectives are (``objective``).
Everything here is larger-is-better.

Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def ranks(values: Floats) -> Ints:
    """Number of the front on which each set lies: 0 is beaten by none; int64, ``[set]``.

    One set beats another if it is nowhere worse and somewhere better.

    Parameters
    ----------
    values : float64, ``[set, objective]``
        Finite.

    Examples
    --------
    >>> ranks(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.5]])).tolist()
    [0, 0, 1]
    """
    if values.shape[1] == 1:
        dense: Ints = np.unique(-values[:, 0], return_inverse=True)[1].astype(np.int64)
        return dense
    above = np.ones((len(values), len(values)), dtype=bool)
    strictly = np.zeros_like(above)
    for column in values.T:
        above &= column[:, None] >= column
        strictly |= column[:, None] > column
    beats = above & strictly  # [winner, loser]
    out = np.full(len(values), -1, dtype=np.int64)
    left, level = np.ones(len(values), dtype=bool), 0
    while left.any():
        front = left & ~(beats & left[:, None]).any(axis=0)
        out[front] = level
        left &= ~front
        level += 1
    return out


def front_of(values: Floats, feasible: Bools) -> Ints:
    """Places of the sets that no feasible set beats; undefined values never belong; ascending."""
    usable = np.flatnonzero(feasible & np.isfinite(values).all(axis=1))
    front: Ints = usable[ranks(values[usable]) == 0]
    return front


def crowding(values: Floats) -> Floats:
    """Room around each set of one front, infinite at its ends; float64, ``[set]``."""
    out = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        held = column[order]
        width = held[-1] - held[0]
        out[order[[0, -1]]] = np.inf
        if width > 0.0:
            out[order[1:-1]] += (held[2:] - held[:-2]) / width
    return out


def hypervolume(values: Floats, reference: Floats) -> float:
    """Volume between a reference point and what a set of compromises reaches.

    Exact, by slices along the last objective: fine for fronts of hundreds with two or three
    objectives, and slow beyond.

    Parameters
    ----------
    values : float64, ``[set, objective]``
        Finite; sets that are not above the reference everywhere add nothing.
    reference : float64, ``[objective]``

    Examples
    --------
    >>> hypervolume(np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2))
    3.0
    """
    points = values[(values > reference).all(axis=1)] - reference
    return _volume(points)


def _volume(points: Floats) -> float:
    """Volume above the origin that points, positive everywhere, span."""
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1], kind="stable")]
    heights = np.append(points[:, -1], 0.0)
    total, front = 0.0, points[:0, :-1]
    for k, point in enumerate(points[:, :-1]):
        if not (front >= point).all(axis=1).any():
            front = np.vstack([front[~(front <= point).all(axis=1)], point])
        if heights[k] > heights[k + 1]:
            total += _volume(front) * float(heights[k] - heights[k + 1])
    return total
