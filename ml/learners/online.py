"""Sets by a model that learns one decision at a time: River's regression as a learner.

For: feeding outcomes to the online model when they are over, and a mix from what it predicts. Not
for: the model itself (``ml.online``).

While a drift alarm lasts the model is not believed: it is demoted, so that the soft static table
speaks, or frozen, so that the mix stays which was in force when the alarm began. It learns on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from backtest.errors import UnknownNameError
from backtest.registry import closest
from ml.learner import HORIZON, LEARNERS, Floats, LearnerView
from ml.neighbourhood import neighbour_average
from ml.performance import outcomes
from ml.score_table import ScoreTable, TableSelection

if TYPE_CHECKING:
    from ml.online.model import OnlineModel

Alarm = Literal["demote", "freeze"]
Speaker = Literal["model", "table", "frozen"]

COLUMNS = (
    "market_return_20",
    "market_volatility_20",
    "market_volume_5",
    "market_comovement_10",
    "market_correlation_20",
    "market_autocorrelation_2_20",
    "market_autocorrelation_12_20",
    "market_dispersion_5",
    "market_breadth_50",
)
"""Columns of the market's state that are read, those that there are; the first is the trend."""
AHEAD = 5
"""Sessions after which the regime that came is told."""
ANEW = 63
"""A rolling window is learned from since its first multiple of so many sessions: the model goes on
until that moves, and is begun anew then, not at every selection."""


class Taught(Protocol):
    """What is told states and outcomes in order: the model, or its journal."""

    @property
    def observed(self) -> int:
        """Decisions observed."""
        ...

    @property
    def decisions(self) -> int:
        """Decisions whose outcome was told."""
        ...

    def observe(self, state: Floats) -> Any:
        """Hear the state of a decision."""
        ...

    def update_from_backtest(
        self, outcomes: Floats, *, later: Floats, mean: float | None = None
    ) -> None:
        """Hear the outcome of the oldest decision without one."""
        ...


@dataclass(frozen=True)
class OnlineSelection:
    """The model as of one selection.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Of who speaks, Sharpe per session.
    sessions : float64, ``[1]``
        Decisions learned from times ``every``; of the table where it speaks.
    shares : float64, ``[1, param]``
    speaker : str
        ``model``; ``table`` where it is demoted or knows too little; ``frozen`` where the mix is
        that of an alarm's beginning.
    model : OnlineModel
        Shared by the selections of one history; it may have moved on.
    observed, learned : int
        Decisions that it had observed and learned from at this selection.
    first : int
        Session from which it was taught.
    """

    scores: Floats
    sessions: Floats
    shares: Floats
    speaker: Speaker
    model: OnlineModel
    observed: int
    learned: int
    first: int


@LEARNERS.register("online")
@dataclass(frozen=True)
class Online:
    """Predicted scores, smoothed over decisions, turned into shares like a table's.

    Parameters
    ----------
    table : ScoreTable
        How scores become shares, and the table that stands in.
    every : int
        Sessions between two decisions that are learned from.
    span : float
        Decisions over which predictions are averaged.
    warm_up : int
        Sessions before the first decision that is learned from.
    detector : str
        Name in ``ml.online.drift.DETECTORS``.
    alarm : str
        ``demote``: while an alarm lasts, the static table speaks. ``freeze``: the mix stays that
        was in force when it began. The model learns on under both.
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    every: int = 5
    span: float = 4.0
    warm_up: int = 63
    detector: str = "adwin"
    alarm: Alarm = "demote"

    def __post_init__(self) -> None:
        if self.alarm not in get_args(Alarm):
            raise UnknownNameError(
                f"unknown answer to an alarm {self.alarm!r}",
                fix=closest(self.alarm, get_args(Alarm)),
            )

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        names = ("every", "span", "warm_up", "detector", "alarm")
        own = {name: getattr(self, name) for name in names}
        return {"learner": "online", **vars(self.table), **own}

    def select(self, view: LearnerView, *, before: Any = None) -> OnlineSelection:
        """Observe the decisions since, and learn from those whose outcome is over."""
        model = self._begun(view, before)
        self.teach(model, view)
        return self.selection(model, view)

    def begin(self, view: LearnerView) -> OnlineModel:
        """Make a model that knows nothing yet, for a view's candidates and columns."""
        from ml.online.config import OnlineConfig
        from ml.online.model import OnlineModel

        config = OnlineConfig(detector=self.detector, span=self.span)
        return OnlineModel(view.grid, self.columns(view), config)

    def teach(self, model: Taught, view: LearnerView) -> None:
        """Tell a model, or a journal, all of a view that it has not been told."""
        decisions, state = self.decisions(view), self.state(view)
        for now in decisions[model.observed :]:
            self._learn(model, view, state, decisions, until=now)
            model.observe(state[now])
        self._learn(model, view, state, decisions, until=view.sessions - 1)

    def selection(self, model: OnlineModel, view: LearnerView) -> OnlineSelection:
        """Say who speaks at a view's last close, and what.

        Parameters
        ----------
        model : OnlineModel
            Taught on this view, and on nothing else.
        view : LearnerView
        """
        speaker: Speaker
        average, confidence, seen = model.average, model.get_confidence_score(), view
        if model.alarmed and self.alarm == "freeze" and model.held is not None:
            speaker, average, confidence = "frozen", model.held.average, model.held.confidence
            began = self.decisions(view)[model.held.decision] + HORIZON
            seen = view.rows(0, began + 1)
        else:
            speaker = "model" if confidence > 0.5 else "table"
        spoken = self.table.select(seen.blind())
        if confidence > 0.5:
            scores = np.where(np.isfinite(spoken.scores), self._smoothed(average, view), -np.inf)
            learned = np.array([float(model.decisions * self.every)])
            spoken = TableSelection(scores, learned, self.table.shares(scores))
        return OnlineSelection(
            scores=spoken.scores,
            sessions=spoken.sessions,
            shares=spoken.shares,
            speaker=speaker,
            model=model,
            observed=model.observed,
            learned=model.decisions,
            first=view.first + view.stepped(ANEW),
        )

    def _smoothed(self, average: Floats, view: LearnerView) -> Floats:
        """Averaged predictions drawn to those of the sets beside; ``[param]``."""
        smooth = self.table.smoothing
        return (1.0 - smooth) * average + smooth * (neighbour_average(view.grid) @ average)

    def _begun(self, view: LearnerView, before: Any) -> OnlineModel:
        """The model as of ``before`` if it is still there, else a new one."""
        if before is not None and before.first == view.first + view.stepped(ANEW):
            model: OnlineModel = before.model
            same = (before.observed, before.learned) == (model.observed, model.decisions)
            if same and before.observed <= len(self.decisions(view)):
                return model
        return self.begin(view)

    def decisions(self, view: LearnerView) -> list[int]:
        """Sessions of the view at which a decision is observed; see ``ANEW``."""
        start = view.stepped(ANEW) + self.warm_up
        start += -(view.first + start) % self.every
        return list(range(start, view.sessions, self.every))

    @staticmethod
    def columns(view: LearnerView) -> tuple[str, ...]:
        """Columns that are there; where none is, a trend that is never known."""
        known = () if view.market is None else view.market.columns
        return tuple(name for name in COLUMNS if name in known) or COLUMNS[:1]

    def state(self, view: LearnerView) -> Floats:
        """Columns read, NaN where unknown; ``[time, column]``."""
        columns = self.columns(view)
        if view.market is None or columns[0] not in view.market.columns:
            return np.full((view.sessions, len(columns)), np.nan)
        return view.market.state[:, [view.market.columns.index(name) for name in columns]]

    def _learn(
        self,
        model: Taught,
        view: LearnerView,
        state: Floats,
        decisions: list[int],
        *,
        until: int,
    ) -> None:
        """Learn from every observed decision whose outcome is over at the close of ``until``."""
        begin = view.stepped(ANEW)  # earlier returns would move with the window under a kept model
        while model.decisions < model.observed:
            s = decisions[model.decisions]
            if s + HORIZON > until:
                return
            known = view.returns[:, begin : s + HORIZON + 1]
            earned = outcomes(known, np.array([s - begin]))[0]
            mean = float(np.nanmean(earned)) if np.isfinite(earned).any() else None
            model.update_from_backtest(earned, later=state[s + AHEAD], mean=mean)

    def weigh(self, selection: OnlineSelection, view: LearnerView) -> Floats:
        """Mix of the last selection; ``[param]``."""
        spoken = TableSelection(selection.scores, selection.sessions, selection.shares)
        return self.table.weigh(spoken, view.blind())
