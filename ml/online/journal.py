"""What an online model was told, in order: its whole state, as plain arrays.

For: recording states and outcomes, arrays to keep and read back, and where two records part. Not
for: learning from them: a model is a pure function of its configuration and this journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.errors import NotFittedError

Floats = npt.NDArray[np.float64]

_TOLERANCE = 1e-9
"""Relative; the same bars under a longer history may differ in their last bits."""


class Journal:
    """States observed and outcomes told, in order; grows.

    Parameters
    ----------
    sets, columns : int
        Candidates, and columns of the market's state.
    """

    def __init__(self, sets: int, columns: int):
        self.sets, self.columns = sets, columns
        self.states: list[Floats] = []
        self.outcomes: list[Floats] = []
        self.later: list[Floats] = []
        self.means: list[float] = []
        self.seen: list[int] = []

    @property
    def observed(self) -> int:
        """Decisions observed."""
        return len(self.states)

    @property
    def decisions(self) -> int:
        """Decisions whose outcome was told."""
        return len(self.outcomes)

    def observe(self, state: Floats) -> None:
        """Write down the state of a decision; as :meth:`OnlineModel.observe`."""
        self.states.append(np.array(state, dtype=np.float64))

    def update_from_backtest(
        self, outcomes: Floats, *, later: Floats, mean: float | None = None
    ) -> None:
        """Write down an outcome; as :meth:`OnlineModel.update_from_backtest`.

        Raises
        ------
        NotFittedError
            No decision waits for its outcome.
        """
        if self.decisions == self.observed:
            raise NotFittedError(
                "no decision waits for its outcome",
                where="update_from_backtest",
                fix="call observe at the decision",
            )
        self.outcomes.append(np.array(outcomes, dtype=np.float64))
        self.later.append(np.array(later, dtype=np.float64))
        self.means.append(np.nan if mean is None else float(mean))
        self.seen.append(self.observed)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything, by name.

        Returns
        -------
        dict of str to ndarray
            ``states`` ``[observed, column]``, ``outcomes`` ``[decision, param]``, ``later``
            ``[decision, column]``, ``means`` ``[decision]`` (NaN where none was told) and ``seen``
            ``[decision]``: decisions that had been observed when the outcome was told.
        """
        return {
            "states": np.array(self.states).reshape(self.observed, self.columns),
            "outcomes": np.array(self.outcomes).reshape(self.decisions, self.sets),
            "later": np.array(self.later).reshape(self.decisions, self.columns),
            "means": np.array(self.means, dtype=np.float64),
            "seen": np.array(self.seen, dtype=np.int64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Journal:
        """Read what :meth:`arrays` returned.

        Raises
        ------
        NotFittedError
            ``E_SCHEMA``: arrays of other names.
        """
        if unlike := set(arrays) ^ set(cls(0, 0).arrays()):
            raise NotFittedError(
                "the journal was written by another version",
                where=", ".join(sorted(unlike)),
                fix="begin anew",
                code="E_SCHEMA",
            )
        made = cls(arrays["outcomes"].shape[1], arrays["states"].shape[1])
        made.states, made.outcomes = list(arrays["states"]), list(arrays["outcomes"])
        made.later, made.means = list(arrays["later"]), arrays["means"].tolist()
        made.seen = arrays["seen"].tolist()
        return made

    def parts_from(self, other: Journal) -> int | None:
        """First decision of which ``other`` tells something else, None if it goes on from this one.

        The order of the telling counts, too. What ``other`` lacks is something else.
        """
        if other.observed < self.observed or other.decisions < self.decisions:
            return min(other.observed, other.decisions)
        mine, others = self.arrays(), other.arrays()
        differ = [self.observed]
        for name, one in mine.items():
            same = np.isclose(
                one, others[name][: len(one)], rtol=_TOLERANCE, atol=1e-12, equal_nan=True
            )
            whole = same if same.ndim == 1 else same.all(axis=1)
            differ += np.flatnonzero(~whole).tolist()[:1]
        first = min(differ)
        return None if first == self.observed else first
