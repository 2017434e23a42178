"""Sets by a model that learns one decision at a time: River's regression as a learner.

For: feeding outcomes to the online model when they are over, and a mix from what it predicts. Not
for: the model itself (``ml.online``).

After a drift alarm the model is demoted: the soft static table speaks until the alarm is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.learner import HORIZON, LEARNERS, Floats, LearnerView
from ml.neighbourhood import neighbour_average
from ml.performance import outcomes
from ml.score_table import ScoreTable, TableSelection

if TYPE_CHECKING:
    from ml.online.model import OnlineModel

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


@dataclass(frozen=True)
class OnlineSelection:
    """The model as of one selection.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Smoothed predictions, Sharpe per session.
    sessions : float64, ``[1]``
        Decisions learned from times ``HORIZON``.
    model : OnlineModel
        Shared by the selections of one history; it may have moved on.
    average : float64, ``[param]``
        Of the predictions, before smoothing.
    observed, learned : int
        Decisions that it had observed and learned from at this selection.
    first : int
    static : TableSelection
        What speaks where the model is demoted or knows too little.
    demoted : bool
    """

    scores: Floats
    sessions: Floats
    model: OnlineModel
    average: Floats
    observed: int
    learned: int
    first: int
    static: TableSelection
    demoted: bool


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
    """

    table: ScoreTable = field(default_factory=ScoreTable)
    every: int = 5
    span: float = 4.0
    warm_up: int = 63

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        own = {"every": self.every, "span": self.span, "warm_up": self.warm_up}
        return {"learner": "online", **vars(self.table), **own}

    def select(self, view: LearnerView, *, before: Any = None) -> OnlineSelection:
        """Observe the decisions since, and learn from those whose outcome is over."""
        static = self.table.select(view.blind())
        model, average = self._begun(view, before)
        decisions, state = self._decisions(view), self._state(view)
        for place in range(model.observed, len(decisions)):
            now = decisions[place]
            self._learn(model, view, state, decisions, until=now)
            predicted = model.observe(state[now])
            average = average + (predicted - average) / min(place + 1.0, self.span)
        self._learn(model, view, state, decisions, until=view.sessions - 1)
        smooth, beside = self.table.smoothing, neighbour_average(view.grid)
        scores = (1.0 - smooth) * average + smooth * (beside @ average)
        return OnlineSelection(
            scores=np.where(np.isfinite(static.scores[0]), scores, -np.inf)[None],
            sessions=np.array([float(model.decisions * self.every)]),
            model=model,
            average=average,
            observed=model.observed,
            learned=model.decisions,
            first=view.first,
            static=static,
            demoted=model.get_confidence_score() <= 0.5,
        )

    def _begun(self, view: LearnerView, before: Any) -> tuple[OnlineModel, Floats]:
        """The model as of ``before`` if it is still there, else a new one."""
        from ml.online.model import OnlineModel

        if before is not None and before.first == view.first:
            same = (before.observed, before.learned) == (
                before.model.observed,
                before.model.decisions,
            )
            if same and before.observed <= len(self._decisions(view)):
                return before.model, before.average
        return OnlineModel(view.grid, self._columns(view)), np.zeros(view.grid.size)

    def _decisions(self, view: LearnerView) -> list[int]:
        """Sessions of the view at which a decision is observed."""
        start = self.warm_up + (-(view.first + self.warm_up)) % self.every
        return list(range(start, view.sessions, self.every))

    @staticmethod
    def _columns(view: LearnerView) -> tuple[str, ...]:
        """Columns that are there; where none is, a trend that is never known."""
        known = () if view.market is None else view.market.columns
        return tuple(name for name in COLUMNS if name in known) or COLUMNS[:1]

    def _state(self, view: LearnerView) -> Floats:
        """Columns read, NaN where unknown; ``[time, column]``."""
        columns = self._columns(view)
        if view.market is None or columns[0] not in view.market.columns:
            return np.full((view.sessions, len(columns)), np.nan)
        return view.market.state[:, [view.market.columns.index(name) for name in columns]]

    def _learn(
        self,
        model: OnlineModel,
        view: LearnerView,
        state: Floats,
        decisions: list[int],
        *,
        until: int,
    ) -> None:
        """Learn from every observed decision whose outcome is over at the close of ``until``."""
        while model.decisions < model.observed:
            s = decisions[model.decisions]
            if s + HORIZON > until:
                return
            earned = outcomes(view.returns[:, : s + HORIZON + 1], np.array([s]))[0]
            mean = float(np.nanmean(earned)) if np.isfinite(earned).any() else None
            model.update_from_backtest(earned, later=state[s + AHEAD], mix=mean)

    def weigh(self, selection: OnlineSelection, view: LearnerView) -> Floats:
        """Mix of the last selection; ``[param]``."""
        if selection.demoted:
            return self.table.weigh(selection.static, view.blind())
        shares = self.table.shares(selection.scores)
        return self.table.weigh(
            TableSelection(selection.scores, selection.sessions, shares), view.blind()
        )
