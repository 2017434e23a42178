"""What a grid wants of one symbol, as engines read it.

For: the record that ``plan`` fills and every engine walks. Not for: making or reading bits
(``bits``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STOP, TAKE, TRAIL, SIZE = range(4)
"""Rows of the measures in :class:`Limits`."""


@dataclass(frozen=True)
class Limits:
    """Guards of all sets: each measure is a number of times a level of one symbol.

    Parameters
    ----------
    times : float64, ``[measure, param]``
        Infinity for no limit.
    row : int64, ``[measure, param]``
        Which level it is multiplied with.
    longest : int64, ``[param]``
        Bars that a trade may last; 0 for no limit.
    levels : float64, ``[row, bar]``
        Values of the indicators; the first row is 1 throughout.
    """

    times: Floats
    row: Ints
    longest: Ints
    levels: Floats

    @property
    def arrays(self) -> tuple[Floats, Ints, Ints, Floats]:
        """All of it, in the order in which kernels take it."""
        return self.times, self.row, self.longest, self.levels


@dataclass(frozen=True)
class Signals:
    """What all sets of a grid want of one symbol.

    Parameters
    ----------
    columns : uint64, ``[column, word]``
        Bit ``t % 64`` of word ``t // 64`` speaks of bar ``t``; bits after the last bar are not
        to be read.
    enter_long, exit_long, enter_short, exit_short : int64, ``[param]``
        Column of each set.
    limits : Limits, optional
        Where the sets have guards.
    """

    columns: npt.NDArray[np.uint64]
    enter_long: Ints
    exit_long: Ints
    enter_short: Ints
    exit_short: Ints
    limits: Limits | None = None

    @property
    def sides(self) -> tuple[Any, Any, Any, Any]:
        """Columns of both entries and exits, in the order in which kernels take them."""
        return self.enter_long, self.exit_long, self.enter_short, self.exit_short
