"""The online model along the sessions of a market: begun, gone on with, told as tables.

For: a kept state that goes on with the sessions since, and refuses a market that is not the one
it was taught. Not for: learning (``online``) or the mix (``learners.online``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtest.errors import DataError, WeathervaneError
from ml.learner import HORIZON, LearnerView, Market, held_sets
from ml.learners.online import Online, OnlineSelection
from ml.online.journal import Journal
from ml.online.model import OnlineModel
from ml.weights import CONFIG, WEIGHTS

SCORES = {
    "date": pl.Date,
    "judged_on": pl.Date,
    "ranking": pl.Float64,
    "ranking_accuracy": pl.Float64,
    "regime_right": pl.Boolean,
    "regime_accuracy": pl.Float64,
    "squared_error": pl.Float64,
    "alarm": pl.Boolean,
}
"""Columns of the scores: the decision, the close when its outcome was over, and how it did."""


@dataclass(frozen=True)
class Course:
    """A model that was taught all of a market.

    Parameters
    ----------
    learner : Online
    view : LearnerView
    model : OnlineModel
    new : int
        Decisions observed and outcomes told that the kept state did not hold.
    """

    learner: Online
    view: LearnerView
    model: OnlineModel
    new: int

    @property
    def selection(self) -> OnlineSelection:
        """Who speaks at the last close, and what."""
        return self.learner.selection(self.model, self.view)

    def scores(self) -> pl.DataFrame:
        """One row per decision whose outcome is over; columns as of ``SCORES``."""
        dates = market_of(self.view).dates
        places = np.array(self.learner.decisions(self.view)[: self.model.decisions], dtype=np.int64)
        scored = self.model.scored
        columns = {
            "date": dates[places],
            "judged_on": dates[places + HORIZON],
            "ranking": [one.ranking for one in scored],
            "ranking_accuracy": [one.ranking_accuracy for one in scored],
            "regime_right": [None if np.isnan(one.regime) else one.regime > 0.5 for one in scored],
            "regime_accuracy": [one.regime_accuracy for one in scored],
            "squared_error": [one.squared_error for one in scored],
            "alarm": [one.alarm for one in scored],
        }
        return pl.DataFrame(columns, schema_overrides=SCORES).fill_nan(None)

    def today(self) -> dict[str, Any]:
        """What the model says after the last close, as plain values."""
        model, view, selection = self.model, self.view, self.selection
        state, scores = self.learner.state(view)[-1], self.scores()
        weights = self.learner.weigh(selection, view)
        held = held_sets(weights)
        left = model.config.pause - (model.decisions - model.alarms[-1]) if model.alarmed else 0
        return {
            "decided_after": str(market_of(view).dates[-1]),
            "scores": model.scores(),
            "alarms": [str(day) for day in scores.filter("alarm")["judged_on"]],
            "drift": {
                "detector": model.config.detector,
                "alarmed": model.alarmed,
                "answer": self.learner.alarm,
                "decisions_left": left,
            },
            "confidence": model.get_confidence_score(),
            "best_set": model.predict_optimal_parameters(state),
            "best_set_sharpe_per_session": float(model.predict(state).max()),
            "mean_set_sharpe_per_session": model.estimate_performance(state),
            "regime": model.predict_regime(state),
            "speaker": selection.speaker,
            "mix": [{"parameters": view.grid.row(p), "weight": float(weights[p])} for p in held],
            "cash": float(max(1.0 - weights.sum(), 0.0)),
        }


def course(
    view: LearnerView,
    learner: Online,
    *,
    folder: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> Course:
    """Teach a model all of a view, from where a kept state ends.

    Parameters
    ----------
    view : LearnerView
        With a market.
    learner : Online
    folder : pathlib.Path, optional
        Of a kept state; a new model is begun where none lies there.
    about : mapping, optional
        Plain values that the state belongs to, beside the learner's schedule.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``: no outcome is over. ``E_STATE``: the kept state was taught otherwise, or
        another market.
    NotFittedError
        ``E_WEIGHTS``, ``E_SCHEMA``: as of :meth:`OnlineModel.load`.
    """
    told, dates = Journal(view.grid.size, len(learner.columns(view))), market_of(view).dates
    learner.teach(told, view)
    if not told.decisions:
        first = (learner.decisions(view) or [learner.warm_up + learner.every])[0]
        raise DataError(
            f"{view.sessions} sessions, and no outcome is over",
            where=f"the first takes {first + HORIZON + 1}",
            fix="give more history",
            code="E_TOO_SHORT",
        )
    whole = {**(about or {}), **_schedule(learner), "first": str(dates[0])}
    if folder is not None and _kept(folder):
        model = OnlineModel.load(folder, view.grid, learner.columns(view))
        _same(model, told, whole, dates[learner.decisions(view)], folder)
    else:
        model = learner.begin(view)
        model.about = whole
    before = model.observed + model.decisions
    model.replay(told)
    return Course(learner, view, model, model.observed + model.decisions - before)


def gone_on(
    view: LearnerView,
    learner: Online,
    folders: Sequence[Path],
    *,
    about: Mapping[str, Any] | None = None,
) -> tuple[Course, list[str]]:
    """Go on from the first of some kept states that fits, or begin anew; as of :func:`course`.

    Parameters
    ----------
    folders : sequence of pathlib.Path
        The first is preferred.

    Returns
    -------
    Course
    list of str
        Why states that lie in a folder were left.
    """
    left: list[str] = []
    for folder in folders:
        if not _kept(folder):
            continue
        try:
            return course(view, learner, folder=folder, about=about), left
        except WeathervaneError as error:
            if error.code not in ("E_STATE", "E_WEIGHTS", "E_SCHEMA"):
                raise
            left.append(str(error))
    return course(view, learner, about=about), left


def _kept(folder: Path) -> bool:
    """Whether a state, or a part of one, lies in a folder."""
    return any((folder / name).exists() for name in (CONFIG, WEIGHTS))


def _schedule(learner: Online) -> dict[str, Any]:
    """Settings on which what the model is told, or how it learns, depends."""
    names = ("every", "span", "warm_up", "detector")
    return {name: getattr(learner, name) for name in names}


def _same(
    model: OnlineModel,
    told: Journal,
    about: Mapping[str, Any],
    decisions: np.ndarray[Any, np.dtype[np.datetime64]],
    folder: Path,
) -> None:
    """Refuse settings or a market that a kept state was not taught."""
    what = None
    for name in sorted({*about, *model.about} - {"first"}):
        kept, given = model.about.get(name), about.get(name)
        if kept != given:
            what = f"the state was taught with {name} {kept}, not {given}"
            break
    if what is None and model.about.get("first") != about["first"]:
        what = f"the bars begin on {about['first']}, the state's on {model.about.get('first')}"
    parts = model.journal.parts_from(told)
    if what is None and parts is not None:
        short = told.observed < model.observed or told.decisions < model.decisions
        what = (
            f"the bars end before what the state has learned: {model.observed} decisions"
            if short
            else f"the bars differ from what the state has learned of {decisions[parts]} or since"
        )
    if what is not None:
        raise DataError(
            what,
            where=str(folder),
            fix="give what it was taught, or another folder",
            code="E_STATE",
        )


def market_of(view: LearnerView) -> Market:
    """The market of a view."""
    if view.market is None:
        raise ValueError("a course needs the market's dates and state")
    return view.market
