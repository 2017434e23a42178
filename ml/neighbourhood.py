"""Which parameter sets of a grid lie next to each other.

For: smoothing scores over a plateau, so that a lone peak does not win. Not for: proposing sets.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid

Floats = npt.NDArray[np.float64]


def neighbour_average(grid: ParamGrid) -> Floats:
    """Matrix that turns scores ``[param]`` into the mean score of each set's neighbours.

    Two sets are neighbours if they agree in every field but one numeric one, and are one step
    of the grid's own values apart in that one. A set without neighbours is its own.

    Returns
    -------
    float64, ``[param, param]``
        Rows sum to 1.
    """
    numeric = grid.params.ranges()
    ranks: list[tuple[int, ...]] = []
    labels: list[tuple[int, ...]] = []
    for name, column in grid.columns.items():
        order = np.unique(column, return_inverse=True)[1]
        (ranks if name in numeric else labels).append(tuple(int(v) for v in order))
    return _average(grid.size, tuple(ranks), tuple(labels))


@lru_cache(maxsize=32)
def _average(
    size: int, ranks: tuple[tuple[int, ...], ...], labels: tuple[tuple[int, ...], ...]
) -> Floats:
    distance = np.zeros((size, size), dtype=np.int64)
    for column in ranks:
        values = np.asarray(column)
        distance += np.abs(values[:, None] - values)
    beside = distance == 1
    for column in labels:
        values = np.asarray(column)
        beside &= values[:, None] == values
    matrix = beside.astype(float)
    alone = ~beside.any(axis=1)
    matrix[alone, alone] = 1.0
    out: Floats = matrix / matrix.sum(axis=1, keepdims=True)
    out.setflags(write=False)
    return out
