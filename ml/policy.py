"""A policy: which learner decides, on which schedule, with which regimes.

For: the configuration that names a stream of decisions, its hash, and the schedule's arithmetic.
Not for: deciding (``decision``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backtest.errors import ConfigError, NotFittedError
from ml.learner import LEARNERS, Learner, least_window_of
from ml.score_table import ScoreTable
from ml.trials import config_hash


class PolicyConfig(BaseModel):
    """Everything that defines a policy but the data it reads.

    Parameters
    ----------
    learner : str
        Name in ``LEARNERS``; the others of a comparison are made by :meth:`with_learner`.
    regime_model : str
        Name in ``REGIMES``.
    train : int
        Sessions before the first decision, and the length of a rolling window.
    step, refit : int
        Sets are reselected where ``(i - train) % step == 0``, regimes refitted where
        ``(i - train) % refit == 0``; ``i`` counts sessions from the panel's first.
    window : str
        ``anchored`` (all history) or ``rolling`` (the last ``train`` sessions).
    temperature, shrinkage, smoothing, members
        See :class:`ml.score_table.ScoreTable`.
    max_step : float
        Largest part of the exported mix that may change in one session, in (0, 1].
    least_confidence : float
        A proposal whose confidence is not above it changes nothing that is exported. One half is
        what no evidence amounts to; below 0.01 or so nothing is ever held back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learner: str = "regime_table"
    regime_model: str = "hmm"
    train: Annotated[int, Field(ge=60)] = 756
    step: Annotated[int, Field(ge=1)] = 5
    refit: Annotated[int, Field(ge=1)] = 125
    window: Literal["anchored", "rolling"] = "anchored"
    temperature: Annotated[float, Field(gt=0.0)] = 0.02
    shrinkage: Annotated[float, Field(ge=0.0)] = 60.0
    smoothing: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    members: Annotated[int, Field(ge=1, le=16)] = 16
    max_step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    least_confidence: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5

    def with_learner(self, learner: str) -> PolicyConfig:
        """Return the same policy with another learner, for a fair comparison."""
        return self.model_copy(update={"learner": learner})

    def build(self) -> Learner:
        """Make the learner, with those of this policy's settings that it has.

        Raises
        ------
        ConfigError
            A rolling window that is too short for it.
        """
        part: Any = LEARNERS.get(self.learner)
        told = {
            "table": ScoreTable(self.temperature, self.shrinkage, self.smoothing, self.members),
            "members": self.members,
        }
        own = part.__dataclass_fields__
        made: Learner = part(**{name: value for name, value in told.items() if name in own})
        if self.window == "rolling" and self.train < (least := least_window_of(made)):
            raise ConfigError(
                f"{self.learner} has nothing to say in a rolling window of {self.train} sessions",
                where="policy.train",
                fix=f"give at least {least}, or window = anchored",
            )
        return made

    def selected_at(self, i: int) -> int:
        """Index of the last selection at or before session ``i``.

        A refit selects anew as well: a table speaks of the states of one fit.
        """
        return max(self._last(i, self.step), self._last(i, self.refit))

    def refitted_at(self, i: int) -> int:
        """Index of the last regime fit at or before session ``i``."""
        return self._last(i, self.refit)

    def _last(self, i: int, every: int) -> int:
        if i < self.train:
            raise NotFittedError(
                f"session {i} lies before the first decision",
                where=f"train = {self.train}",
                fix="give more history or a smaller train",
            )
        return i - (i - self.train) % every

    def first_row(self, i: int) -> int:
        """First session that a learner may read at session ``i``."""
        return 0 if self.window == "anchored" else max(0, i + 1 - self.train)

    def hash(self, **context: Any) -> str:
        """SHA-256 of the policy, its learner's settings and the context it is judged in."""
        learner = self.build().config()
        return config_hash({"policy": self.model_dump(), "learner": learner, **context})
