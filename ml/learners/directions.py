"""Each direction of a strategy as a plain average of its sets, mixed by what they earned.

For: the baseline that times reversion against momentum and picks no parameters. Not for:
promotion.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.learner import LEARNERS, Floats, LearnerView
from ml.score_table import ScoreTable, TableSelection


@LEARNERS.register("directions")
@dataclass(frozen=True)
class Directions:
    """One score per combination of the categorical parameters, given to all its sets alike.

    Parameters
    ----------
    table : ScoreTable
        Shares the mix out among directions and cash. A mix holds few sets, so a direction is
        traded by as many of its sets as fit, spread evenly over its grid.
    """

    table: ScoreTable = field(default_factory=ScoreTable)

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "directions", **vars(self.table)}

    def select(self, view: LearnerView, *, before: Any = None) -> TableSelection:
        """Score every direction's average over all sessions."""
        kinds = directions_of(view.grid)
        members = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
        averages = np.stack([view.returns[own].mean(axis=0) for own in members])
        one_each = view.grid.take(np.array([own[0] for own in members]))
        found = self.table.select(
            dataclasses.replace(view, grid=one_each, returns=averages).blind()
        )
        shares = np.zeros((1, view.grid.size))
        room = max(self.table.members // len(members), 1)
        for kind, own in enumerate(members):
            spread = np.unique(np.linspace(0, len(own) - 1, min(room, len(own))).round())
            shares[0, own[spread.astype(np.int64)]] = found.shares[0, kind] / len(spread)
        return TableSelection(found.scores[:, kinds], found.sessions, shares)

    def weigh(self, selection: TableSelection, view: LearnerView) -> Floats:
        """Shares of the directions; ``[param]``."""
        return self.table.weigh(selection, view.blind())


def directions_of(grid: ParamGrid) -> npt.NDArray[np.int64]:
    """Number of each set's combination of categorical parameters; ``[param]``."""
    numeric = grid.params.ranges()
    words = [column for name, column in grid.columns.items() if name not in numeric]
    named = [np.unique(column, return_inverse=True)[1] for column in words]
    if not named:
        return np.zeros(grid.size, dtype=np.int64)
    return np.asarray(np.unique(np.stack(named), axis=1, return_inverse=True)[1]).reshape(-1)
