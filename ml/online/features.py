"""Numbers that the online model reads: the market's state times a description of each set.

For: one row per candidate set, so that a linear model can learn which sets a state favours. Not
for: scaling, which the model learns row by row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid

Floats = npt.NDArray[np.float64]


def described(grid: ParamGrid) -> Floats:
    """Describe every set by centred numbers; ``[param, description]``.

    Each numeric parameter from -1 to 1 over its bounds (logarithms of positive ones), each value
    of a category as 1 or 0 less its share, and each number within each category; the first is 1.
    """
    ranges = grid.params.ranges()
    numbers, codes = [], []
    for name, column in grid.columns.items():
        if name in ranges:
            values = np.asarray(column, dtype=np.float64)
            if ranges[name].low > 0.0:
                values = np.log(values)
            span = float(np.ptp(values))
            if span > 0.0:
                numbers.append(2.0 * (values - values.min()) / span - 1.0)
        else:
            found, code = np.unique(column, return_inverse=True)
            codes += [(code == k) - (code == k).mean() for k in range(len(found) - 1)]
    pairs = [n * c for n in numbers for c in codes]
    columns = [np.ones(grid.size), *numbers, *codes, *pairs]
    return np.column_stack(columns)
