"""The online model: parameters, regime and performance learned one decision at a time.

For: ``update_from_backtest``, ``predict_optimal_parameters`` and ``get_confidence_score``, over
River's linear regression, naive Bayes and adaptive random forest. Not for: schedules, and not for
outcomes that are not over: the caller hands them in when they are.

Prequential with delay: what was predicted at a decision is kept until its outcome is over, then
scored, and only then learned from. Predicting it then anew would look ahead: outcomes of decisions
a week apart share most of their sessions. A detector watches the errors; after its alarm for the
worse the model says so for ``pause`` decisions, and who uses it decides what to do.

A model is a pure function of its configuration and of what it was told, in order. So its saved
state is that journal, and a restored model has gone through it again: the same bits, no pickle.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from river import forest, linear_model, naive_bayes, optim, preprocessing

from backtest.errors import NotFittedError
from backtest.params import ParamGrid
from ml.online.config import OnlineConfig, same_schema
from ml.online.drift import DETECTORS
from ml.online.features import described
from ml.online.journal import Journal
from ml.online.prequential import Held, Scored, ranked
from ml.weights import read_weights, write_weights

Floats = npt.NDArray[np.float64]

REGIMES = ("bull", "sideways", "bear")
_LEARNED = 30
"""Decisions before the model is believed to know anything."""
_NEWEST = 12
"""Decisions that tell whether errors changed for the worse: detectors hear both."""


@dataclass(frozen=True)
class _Waiting:
    """A decision whose outcome is not over."""

    row: dict[str, float]
    features: Floats
    predicted: Floats
    guess: str | None


class OnlineModel:
    """Learns which sets a state favours; grows with every update.

    Parameters
    ----------
    grid : ParamGrid
        Candidate sets.
    columns : tuple of str
        Of the market's state; the first is the trend, by which regimes are told.
    config : OnlineConfig, optional
    about : mapping, optional
        Plain values that are saved with it: what it is taught on.

    Attributes
    ----------
    average : float64, ``[param]``
        Predictions of the last ``span`` decisions or so, averaged.
    held : Held, optional
        As of the last alarm's beginning.
    """

    def __init__(
        self,
        grid: ParamGrid,
        columns: tuple[str, ...],
        config: OnlineConfig | None = None,
        *,
        about: Mapping[str, Any] | None = None,
    ):
        self.grid, self.columns, self.config = grid, columns, config or OnlineConfig()
        self.about = dict(about or {})
        self.journal = Journal(grid.size, len(columns))
        self._sets = described(grid)
        own = self.config
        self._scaler: Any = preprocessing.StandardScaler()
        self._parameters: Any = linear_model.LinearRegression(
            optimizer=optim.SGD(own.rate), intercept_lr=0.0, l2=own.shrink
        )
        self._regime: Any = naive_bayes.GaussianNB()  # type: ignore[no-untyped-call]
        self._performance: Any = forest.ARFRegressor(n_models=own.trees, seed=own.seed)
        self._detector = DETECTORS.get(own.detector)(own.seed)
        self._names = [
            f"{k}/{j}"
            for k in range(len(columns) + len(REGIMES) + 1)
            for j in range(self._sets.shape[1])
        ]
        self._waiting: deque[_Waiting] = deque()
        self.average = np.zeros(grid.size)
        self.scored: list[Scored] = []
        self.alarms: list[int] = []
        self.held: Held | None = None
        self._ranking, self._right, self._error = 0.5, 0.5, math.nan

    def _row(self, state: Floats) -> dict[str, float]:
        """Standardised state by name; unknown is average."""
        known = {n: float(v) for n, v in zip(self.columns, state, strict=True) if np.isfinite(v)}
        scaled = self._scaler.transform_one(known)
        return {n: float(np.clip(scaled.get(n, 0.0), -4.0, 4.0)) for n in self.columns}

    def _features(self, row: dict[str, float]) -> Floats:
        """State and regime times description; ``[param, feature]``, of norm about 1."""
        told = self._regime.predict_proba_one(row) if self.decisions else {}
        words = [told.get(name, 1.0 / 3.0) - 1.0 / 3.0 for name in REGIMES]
        context = np.array([1.0, *row.values(), *words])
        full = (context[None, :, None] * self._sets[:, None, :]).reshape(len(self._sets), -1)
        return np.asarray(full / math.sqrt(full.shape[1] / 4.0))

    def observe(self, state: Floats) -> Floats:
        """Predict at a decision, and remember what was predicted until its outcome is known.

        Parameters
        ----------
        state : float64, ``[column]``
            At the close of the decision, NaN where unknown.

        Returns
        -------
        float64, ``[param]``
            As of :meth:`predict`.
        """
        self.journal.observe(state)
        row = self._row(state)
        features = self._features(row)
        predicted = self._linear(features)
        share = 1.0 / min(self.observed, self.config.span)
        self.average = self.average + (predicted - self.average) * share
        guess = self._regime.predict_one(row) if self.decisions else None
        self._waiting.append(_Waiting(row, features, predicted, guess))
        known = {n: float(v) for n, v in zip(self.columns, state, strict=True) if np.isfinite(v)}
        self._scaler.learn_one(known)
        return predicted

    @property
    def observed(self) -> int:
        """Decisions observed, whether or not their outcome is over."""
        return self.journal.observed

    @property
    def decisions(self) -> int:
        """Decisions learned from."""
        return len(self.scored)

    def update_from_backtest(
        self, outcomes: Floats, *, later: Floats, mean: float | None = None
    ) -> None:
        """Learn from the oldest decision that was observed and has not been learned from.

        Parameters
        ----------
        outcomes : float64, ``[param]``
            What every set earned since, Sharpe per session; NaN where it is not judged.
        later : float64, ``[column]``
            State some sessions on, from which the regime that came is told.
        mean : float, optional
            What the sets earned on average, Sharpe per session.

        Raises
        ------
        NotFittedError
            No decision waits for its outcome.
        """
        self.journal.update_from_backtest(outcomes, later=later, mean=mean)
        then = self._waiting.popleft()
        judged, came = np.isfinite(outcomes), self._named(later)
        self.scored.append(self._score(then, outcomes, judged, came))
        self._learn(then.features, outcomes, judged)
        self._regime.learn_one(then.row, came)
        if mean is not None and np.isfinite(mean):
            self._performance.learn_one(then.row, float(mean))

    def _linear(self, features: Floats) -> Floats:
        """Predicted outcome of every set; ``[param]``."""
        weights = self._parameters.weights
        return np.asarray(features @ np.array([weights.get(name, 0.0) for name in self._names]))

    def _score(
        self, then: _Waiting, outcomes: Floats, judged: npt.NDArray[np.bool_], came: str
    ) -> Scored:
        """Score one decision as it was predicted, and tell the detector."""
        ranking = error = regime = math.nan
        confidence, alarm, alarmed = self.get_confidence_score(), False, self.alarmed
        if then.guess is not None:
            ranking = ranked(then.predicted[judged], outcomes[judged])
            regime = float(then.guess == came)
            self._right = self._averaged(self._right, regime)
        if not math.isnan(ranking):
            error = float(np.mean((then.predicted[judged] - outcomes[judged]) ** 2))
            self._ranking, self._error = self._averaged(self._ranking, ranking), error
            self._detector.update(1.0 - ranking)
            alarm = bool(self._detector.drift_detected) and self._worse(ranking)
        if alarm:
            if not alarmed:
                self.held = Held(self.decisions, self.average, confidence)
            self.alarms.append(self.decisions)
        return Scored(ranking, regime, error, alarm, self._ranking, self._right)

    def _worse(self, ranking: float) -> bool:
        """Whether the newest decisions were ranked worse than those since the last alarm."""
        since = [one.ranking for one in self.scored[self.alarms[-1] if self.alarms else 0 :]]
        known = np.array([*since, ranking])
        known = known[np.isfinite(known)]
        return bool(known[-_NEWEST:].mean() < known.mean())

    def _averaged(self, before: float, new: float) -> float:
        share = max(1.0 / (self.decisions + 1.0), 1.0 - 0.5 ** (1.0 / self.config.memory))
        return float(before + share * (new - before))

    def _learn(self, features: Floats, outcomes: Floats, judged: npt.NDArray[np.bool_]) -> None:
        for p in np.flatnonzero(judged):
            x = dict(zip(self._names, features[p].tolist(), strict=True))
            self._parameters.learn_one(x, float(outcomes[p]))

    def _named(self, state: Floats) -> str:
        """Regime of a state by its trend, in deviations of the trends so far."""
        scaled = self._row(state)[self.columns[0]]
        band = self.config.band
        return "bull" if scaled >= band else "bear" if scaled <= -band else "sideways"

    def predict(self, state: Floats) -> Floats:
        """What every set should earn from this state, Sharpe per session; ``[param]``."""
        return self._linear(self._features(self._row(state)))

    def predict_optimal_parameters(self, state: Floats) -> dict[str, Any]:
        """The set that should earn most.

        Raises
        ------
        NotFittedError
            Nothing was learned yet.
        """
        if not self.decisions:
            raise NotFittedError(
                "the online model has learned nothing yet",
                where="predict_optimal_parameters",
                fix="call observe and update_from_backtest first",
            )
        return self.grid.row(int(self.predict(state).argmax()))

    def predict_regime(self, state: Floats) -> dict[str, float]:
        """Probability of each of ``REGIMES`` some sessions on."""
        told = self._regime.predict_proba_one(self._row(state)) if self.decisions else {}
        return {name: float(told.get(name, 1.0 / 3.0 if not told else 0.0)) for name in REGIMES}

    def estimate_performance(self, state: Floats) -> float:
        """What the sets should earn on average, Sharpe per session; by the adaptive forest."""
        return float(self._performance.predict_one(self._row(state)) or 0.0)

    @property
    def alarmed(self) -> bool:
        """Whether the last alarm still lasts."""
        return bool(self.alarms) and self.decisions - self.alarms[-1] < self.config.pause

    def get_confidence_score(self) -> float:
        """Share of material pairs that were lately told in order; 0.5 is chance, 0 an alarm.

        One half until enough was learned.
        """
        if self.alarmed:
            return 0.0
        return self._ranking if self.decisions >= _LEARNED else 0.5

    def replay(self, journal: Journal) -> None:
        """Go on with what a journal holds beyond what this model was told.

        Parameters
        ----------
        journal : Journal
            Begins with this model's own; see :meth:`Journal.parts_from`.
        """
        for k in range(self.decisions, journal.decisions):
            for state in journal.states[self.observed : journal.seen[k]]:
                self.observe(state)
            self.update_from_backtest(
                journal.outcomes[k], later=journal.later[k], mean=journal.means[k]
            )
        for state in journal.states[self.observed :]:
            self.observe(state)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Of its journal, from which it is built again; River's own state is not kept."""
        return self.journal.arrays()

    def save(self, folder: Path) -> None:
        """Write the journal and the configuration into a folder; see ``ml.weights``."""
        values = {
            "model": "online",
            "config": asdict(self.config),
            "columns": list(self.columns),
            "sets": self.grid.rows(),
            "about": self.about,
        }
        write_weights(folder, self.arrays(), values)

    @classmethod
    def load(
        cls, folder: Path, grid: ParamGrid, columns: tuple[str, ...] | None = None
    ) -> OnlineModel:
        """Read what :meth:`save` wrote, and go through it again.

        Parameters
        ----------
        folder : pathlib.Path
        grid : ParamGrid
        columns : tuple of str, optional
            That must be those of the saved model; not looked at if missing.

        Raises
        ------
        NotFittedError
            ``E_WEIGHTS``: a file is missing, cut short or altered. ``E_SCHEMA``: the folder holds
            another model, one of another version, or one of other columns or candidate sets.
        UnknownNameError
            A detector that is not there.
        """
        arrays, values = read_weights(folder)
        same_schema(values, grid, columns)
        made = cls(
            grid,
            tuple(values["columns"]),
            OnlineConfig(**values["config"]),
            about=values["about"],
        )
        made.replay(Journal.of(arrays))
        return made

    def scores(self) -> dict[str, float | int | None]:
        """Prequential scores: ranking and regime accuracy, squared error, alarms, decisions."""
        return {
            "decisions": self.decisions,
            "ranking_accuracy": self._ranking,
            "regime_accuracy": self._right,
            "squared_error": None if math.isnan(self._error) else self._error,
            "alarms": len(self.alarms),
        }
