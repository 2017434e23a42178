"""Sets by a small student of the ensemble: one row of the market's state, a few thousand weights.

For: what is left of the ensemble where a proposal must be small and quick. Not for: fitting the
student (``ml.distill``).

The student is fitted on the ensemble's last ``window`` proposals, up to the last multiple of
``refit`` sessions: years ago it said other things of the same state. A rolling window is learned
from since its first such multiple: it moves in steps, and so a fit outlasts a selection. Until
there are enough, the teacher speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.learner import LEARNERS, Floats, LearnerView, heaviest

if TYPE_CHECKING:
    from ml.distill import Student as Network

TEACHER = "ensemble"


@dataclass(frozen=True)
class StudentSelection:
    """The student as of one selection.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Weight that each set gets; a comparison between sets, not a Sharpe ratio.
    sessions : float64, ``[1]``
    network : Student or None
        None where the teacher had proposed too little.
    fitted : tuple of int
        First session, and the first one after those that it was fitted on.
    """

    scores: Floats
    sessions: Floats
    network: Network | None
    fitted: tuple[int, int]


@LEARNERS.register("student")
@dataclass(frozen=True)
class Student:
    """A student of the ensemble.

    Parameters
    ----------
    members : int
        Most sets in the mix.
    refit : int
        Sessions between two fits.
    least, window : int
        Proposals before the first fit, and most of those that one is fitted on.
    seed : int
    """

    members: int = 16
    refit: int = 63
    least: int = 126
    window: int = 756
    seed: int = 0

    @property
    def needs(self) -> tuple[str, ...]:
        """Learners whose past proposals are read."""
        return (TEACHER,)

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "student", "teacher": TEACHER, **vars(self)}

    def select(self, view: LearnerView, *, before: Any = None) -> StudentSelection:
        """Fit where a fit is due."""
        stop = (view.first + view.sessions) // self.refit * self.refit
        seen = view.rows(view.stepped(self.refit), view.sessions)
        fitted = seen.first, stop
        if before is not None and before.fitted == fitted:
            network = before.network
        else:
            network = self._fitted(seen, stop - seen.first)
        weights = self._mix(network, view)
        return StudentSelection(weights[None], np.array([float(stop)]), network, fitted)

    def _fitted(self, view: LearnerView, stop: int) -> Network | None:
        """The student of the teacher's proposals before ``stop``."""
        proposed = view.proposals[TEACHER][: max(stop, 0)]
        start = int(proposed.any(axis=1).argmax()) if proposed.any() else len(proposed)
        if view.market is None or len(proposed) - start < self.least:
            return None
        from ml.distill import distil, rows_of

        start = max(start, stop - self.window)
        rows = rows_of(view.market.state[:stop])[start:]
        return distil(rows, proposed[start:], seed=self.seed)

    def _mix(self, network: Network | None, view: LearnerView) -> Floats:
        """Weights of the last session."""
        if network is None or view.market is None:
            return np.asarray(view.proposals[TEACHER][-1])
        from ml.distill import rows_of

        return np.asarray(network.mixes(rows_of(view.market.state)[-1:])[0])

    def weigh(self, selection: StudentSelection, view: LearnerView) -> Floats:
        """Mix of the last session; ``[param]``."""
        return heaviest(self._mix(selection.network, view), self.members)
