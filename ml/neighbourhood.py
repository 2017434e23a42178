"""Which parameter sets lie next to each other.

For: smoothing scores over a plateau, so that a lone peak does not win. Not for: proposing sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.space import Row, Space

Floats = npt.NDArray[np.float64]

REACH = 0.1
"""How far a set's surroundings reach, as a share of the unit cube's diagonal."""


@lru_cache(maxsize=32)
def neighbour_average(grid: ParamGrid) -> Floats:
    """Matrix that turns scores ``[param]`` into the mean score of each set's neighbours.

    Two sets are neighbours if they agree in every field but one numeric one, and are one step
    of the grid's own values apart in that one. A set without neighbours is its own.

    Returns
    -------
    float64, ``[param, param]``
        Rows sum to 1; read-only, because every selection on this grid shares it.
    """
    numeric = grid.params.ranges()
    distance = np.zeros((grid.size, grid.size), dtype=np.int64)
    alike = np.ones_like(distance, dtype=bool)
    for name, column in grid.columns.items():
        rank = np.unique(column, return_inverse=True)[1]
        if name in numeric:
            distance += np.abs(rank[:, None] - rank)
        else:
            alike &= rank[:, None] == rank
    matrix = ((distance == 1) & alike).astype(float)
    alone = ~matrix.any(axis=1)
    matrix[alone, alone] = 1.0
    out: Floats = matrix / matrix.sum(axis=1, keepdims=True)
    out.setflags(write=False)
    return out


def plateau(space: Space, rows: Sequence[Row], scores: Floats) -> Floats:
    """Scores smoothed over what lies around each set; NaN where a set has no score; ``[set]``.

    Where every feasible set of a lattice was scored, the mean of a set's own score and of its
    neighbours' mean (:func:`neighbour_average`). Else, for sets spread over the unit cube,

        (score_i + around_i) / 2,  around_i = (sum_j K_ij score_j + mean) / (sum_j K_ij + 1)

    over the other sets ``j`` of the same categories, with ``K = exp(-|u_i - u_j|^2 / (2 h^2))``,
    ``h = REACH sqrt(dims)`` and ``mean`` over all sets: one pseudo-set of average merit, so that a
    lone peak is drawn halfway down and a plateau stays.

    Parameters
    ----------
    space : Space
    rows : sequence of dict
        Sets ``[set]``.
    scores : float64, ``[set]``
        NaN where undefined.
    """
    known = np.isfinite(scores)
    out = np.full(len(scores), np.nan)
    if not known.any():
        return out
    kept = [row for row, fine in zip(rows, known, strict=True) if fine]
    own = scores[known]
    listed = space.listed()
    if listed is not None and len(kept) == int(space.feasible(listed).sum()) and kept[0]:
        out[known] = 0.5 * own + 0.5 * neighbour_average(ParamGrid.of(space.params, kept)) @ own
        return out
    unit = space.unit(kept)
    ordered = np.array([one.ordered for one in space.dimensions], dtype=bool)
    numbers, labels = unit[:, ordered], unit[:, ~ordered]
    reach = REACH * np.sqrt(max(1, sum(one.ordered for one in space.searched)))
    smooth = np.empty(len(own))
    for i in range(len(own)):
        distance = ((numbers - numbers[i]) ** 2).sum(axis=1)
        alike = (labels == labels[i]).all(axis=1)
        kernel = np.where(alike, np.exp(-distance / (2.0 * reach**2)), 0.0)
        kernel[i] = 0.0
        smooth[i] = 0.5 * own[i] + 0.5 * (kernel @ own + own.mean()) / (kernel.sum() + 1.0)
    out[known] = smooth
    return out
