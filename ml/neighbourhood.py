"""Which parameter sets of a grid lie next to each other.

For: smoothing scores over a plateau, so that a lone peak does not win. Not for: proposing sets.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid

Floats = npt.NDArray[np.float64]


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
