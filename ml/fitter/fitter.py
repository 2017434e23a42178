"""The neural fitter: fit on a history, suggest a mix, save and load.

For: an ensemble of networks of two or more seeds, each trained in two stages, behind four verbs.
Not for: schedules of refits and exports (``learners.neural`` and ``decision``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from backtest import seeds
from backtest.errors import NotFittedError
from backtest.params import ParamGrid
from ml.fitter.config import FitterConfig
from ml.fitter.heads import REGIME_WORDS
from ml.fitter.lessons import Inputs, lessons, market_of, with_cash
from ml.fitter.network import PolicyNetwork
from ml.fitter.run import Progress, Resume, Run, built, one_thread, require_device
from ml.gpu import told_memory
from ml.learner import Floats, LearnerView
from ml.regime import REGIMES, RegimeFit
from ml.score_table import ScoreTable
from ml.weights import read_weights, write_weights

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Suggestion:
    """What the fitter proposes after the last close of a view.

    Parameters
    ----------
    weights : float64, ``[param]``
        Over the candidate sets; what is missing to 1 is cash.
    spread : float64, ``[param]``
        Deviation of each weight between the ensemble's networks.
    parameters : dict
        The heaviest set.
    confidence : dict of str to float
        Per parameter: the weight, cash aside, of the sets that share the heaviest set's value, less
        what the networks differ by; 0 to 1.
    outcome : float64, ``[3]``
        Mean return, Sharpe ratio and turnover expected of the mix, in training deviations.
    regime : dict of str to float
        Probability of each word five sessions later.
    """

    weights: Floats
    spread: Floats
    parameters: dict[str, Any]
    confidence: dict[str, float]
    outcome: Floats
    regime: dict[str, float]


@dataclass(frozen=True)
class NeuralFitter:
    """A trained ensemble over one strategy's candidate sets; immutable.

    Parameters
    ----------
    grid : ParamGrid
    config : FitterConfig
    regimes : RegimeFit
        Of the training sessions: whose words the networks read.
    inputs : Inputs
    table : ScoreTable
        Recipe of the table that teaches the networks, and that they tilt.
    networks : tuple of PolicyNetwork
    history : tuple of list of dict
        Per network, one row per epoch; ``stage`` is 1 or 2.
    refined : tuple of bool
        Per network, whether stage two was kept.
    faults : tuple of str
        Per network, what was not finite and ended a stage; mostly empty.
    span : tuple of str
        First and last date of the history that it was fitted on, kept back or not.
    """

    grid: ParamGrid
    config: FitterConfig
    regimes: RegimeFit
    inputs: Inputs
    table: ScoreTable
    networks: tuple[PolicyNetwork, ...]
    history: tuple[list[dict[str, float]], ...] = ()
    refined: tuple[bool, ...] = ()
    faults: tuple[str, ...] = ()
    span: tuple[str, str] = ("", "")

    @classmethod
    def fit(
        cls,
        view: LearnerView,
        config: FitterConfig | None = None,
        *,
        seed: int = 0,
        table: ScoreTable | None = None,
        periods_per_year: int = 252,
        previous: NeuralFitter | None = None,
        resume: Resume | None = None,
        progress: Progress | None = None,
    ) -> NeuralFitter:
        """Train on everything that a view knows.

        Parameters
        ----------
        view : LearnerView
            With a market; its probabilities are not read, the fitter has its own regime model.
        config : FitterConfig, optional
        seed : int
        table : ScoreTable, optional
            Recipe of the teacher.
        periods_per_year : int
        previous : NeuralFitter, optional
            To go on from, for at most ``warm_epochs`` epochs; other settings, columns or candidates
            start anew.
        resume : Resume, optional
            Where checkpoints are found and kept.

        Raises
        ------
        NotFittedError
            Too little history, no market's state, or a loss that was never finite.
        ConfigError
            ``E_DEVICE``: the device asked for is not there, or its memory is too small.
        """
        config = config or FitterConfig()
        require_device(config.training.device)
        first_kept_back, _ = config.windows.kept_back(view.sessions)
        market = market_of(view).rows(0, first_kept_back)
        warm = previous if previous is not None and previous.goes_on(view, config) else None
        regimes = REGIMES.get(config.regime_model).fit(
            market.state,
            market.columns,
            previous=None if warm is None else warm.regimes,
            seed=seeds.integer(seed, "fitter/regimes"),
        )
        view = _told(view, regimes)
        inputs = Inputs.fitted(market) if warm is None else warm.inputs
        recipe = table or ScoreTable()
        made = lessons(view, inputs=inputs, windows=config.windows, table=recipe)
        run = Run(view, config, made, seed, periods_per_year, resume, progress)
        done = run.ensemble(inputs.width, None if warm is None else warm.networks)
        networks, histories, refined, faults = zip(*done, strict=True)
        dates = market_of(view).dates
        span = str(dates[0]), str(dates[-1])
        trained = networks, histories, refined, faults, span
        return cls(view.grid, config, regimes, inputs, recipe, *trained)

    def goes_on(self, view: LearnerView, config: FitterConfig) -> bool:
        """Whether a fit on a view can go on from these weights."""
        same = self.config == config and self.grid.rows() == view.grid.rows()
        columns = set(market_of(view).columns)
        return same and set(self.inputs.columns) <= columns

    def mixes(self, view: LearnerView, sessions: int = 1) -> Floats:
        """Weights of every network at the last sessions; ``[network, session, param]``.

        A session's weights depend on what was known at its close: the state of the ``sequence``
        sessions that end with it, and what every set had earned.
        """
        return self._said(view, sessions)[0]

    def untilted(self, view: LearnerView, sessions: int = 1) -> Floats:
        """What the table proposes at the last sessions, before networks tilt it.

        Its shape is ``[session, param]``.
        """
        seen = _told(view, self.regimes)
        return self.table.mixes(seen, sessions, every=self.config.windows.step)

    def _said(self, view: LearnerView, sessions: int) -> tuple[Floats, Floats, Floats]:
        """Weights, outcomes and regime words ``[network, session, ...]``."""
        length, seen = self.config.windows.sequence, _told(view, self.regimes)
        rows = self.inputs.of(seen.last(length + sessions - 1))
        proposed = self.untilted(view, sessions)
        short = length + sessions - 1 - len(rows)
        rows = np.concatenate([np.zeros((max(short, 0), rows.shape[1]), np.float32), rows])
        windows = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)
        x = torch.from_numpy(windows.transpose(0, 2, 1).copy())
        at = torch.tensor([length - 1])
        table = torch.from_numpy(with_cash(proposed).astype(np.float32)[:, None])
        mixes, outcomes, regimes = [], [], []
        with torch.no_grad(), one_thread(), told_memory():
            for network in self.networks:
                device = next(network.parameters()).device
                said = network(x.to(device), at.to(device), table.to(device))
                mixes.append(said.mix.exp()[:, 0, :-1].cpu().double().numpy())
                outcomes.append(said.outcome[:, 0].cpu().double().numpy())
                words = said.regime[:, 0].cpu().double()
                told = torch.cat([words[:, :3].softmax(-1), words[:, 3:].sigmoid()], dim=-1)
                regimes.append(told.numpy())
        return np.stack(mixes), np.stack(outcomes), np.stack(regimes)

    def suggest(self, view: LearnerView) -> Suggestion:
        """Propose a mix after the last close of a view.

        Raises
        ------
        NotFittedError
            ``E_TOO_SHORT``: fewer sessions than a fit needs. ``E_SCHEMA``: a column of the market's
            state that it reads is not there, or has no value at all.
        """
        self.config.windows.require(view.sessions)
        self.inputs.require(market_of(view))
        mixes, outcomes, regimes = (one[:, -1] for one in self._said(view, 1))
        weights, spread = mixes.mean(axis=0), mixes.std(axis=0)
        best = int(weights.argmax())
        held = max(float(weights.sum()), 1e-12)
        confidence = {}
        for name, column in self.grid.columns.items():
            same = np.asarray(column == column[best])
            each = mixes[:, same].sum(axis=1) / held
            confidence[name] = float(np.clip(each.mean() - each.std(), 0.0, 1.0))
        words = regimes.mean(axis=0)
        return Suggestion(
            weights=weights,
            spread=spread,
            parameters=self.grid.row(best),
            confidence=confidence,
            outcome=outcomes.mean(axis=0),
            regime=dict(zip(REGIME_WORDS, words.tolist(), strict=True)),
        )

    def arrays(self) -> dict[str, Array]:
        """Weights by name, for a safetensors file."""
        out: dict[str, Array] = {
            f"{k}/{name}": value.detach().cpu().numpy()
            for k, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        return out | {f"regimes/{name}": one for name, one in self.regimes.arrays().items()}

    def plain(self) -> dict[str, Any]:
        """Plain values that, with the weights, rebuild the fitter."""
        return {
            "model": "neural_fitter",
            "config": asdict(self.config),
            "columns": list(self.inputs.columns),
            "centre": self.inputs.centre.tolist(),
            "scale": self.inputs.scale.tolist(),
            "sets": self.grid.rows(),
            "regimes": self.regimes.config(),
            "table": vars(self.table),
            "refined": list(self.refined),
            "faults": list(self.faults),
            "span": list(self.span),
            "history": [list(one) for one in self.history],
        }

    @classmethod
    def restore(
        cls, arrays: Mapping[str, Array], values: Mapping[str, Any], grid: ParamGrid
    ) -> NeuralFitter:
        """Rebuild a fitter from :meth:`arrays` and :meth:`plain`.

        Raises
        ------
        NotFittedError
            ``E_SCHEMA``: another kind of model, of another version, or the candidate sets are not
            those that it was trained on.
        """
        if values.get("model") != "neural_fitter":
            raise NotFittedError(
                "these are no neural fitter's weights",
                where=f"model: {values.get('model', 'of no name')}",
                fix="give what `weathervane fit` wrote",
                code="E_SCHEMA",
            )
        known, given = values["sets"], grid.rows()
        if given != known:
            raise NotFittedError(
                f"the fitter was trained on {len(known)} candidate sets that are not these",
                where=f"{sum(one not in known for one in given)} of {len(given)} are new to it",
                fix="give the strategy's own candidates, or train again",
                code="E_SCHEMA",
            )
        config = FitterConfig.of(values["config"])
        units = np.array(values["centre"]), np.array(values["scale"])
        inputs = Inputs(tuple(values["columns"]), *units)
        regimes = REGIMES.get(config.regime_model).restore(
            _within(arrays, "regimes"), values["regimes"]
        )
        networks = []
        for k in range(config.seeds):
            network = built(grid, config, width=inputs.width, seed=0)
            own = _within(arrays, str(k)).items()
            network.load_state_dict({name: torch.from_numpy(np.array(one)) for name, one in own})
            networks.append(network.eval())
        told = [tuple(values[name]) for name in ("history", "refined", "faults", "span")]
        recipe = ScoreTable(**values["table"])
        return cls(grid, config, regimes, inputs, recipe, tuple(networks), *told)

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json`` into a folder."""
        write_weights(folder, self.arrays(), self.plain())

    @classmethod
    def load(cls, folder: Path, grid: ParamGrid) -> NeuralFitter:
        """Read what :meth:`save` wrote.

        Raises
        ------
        NotFittedError
            ``E_WEIGHTS``: a file is missing, cut short or altered; as of :meth:`restore`.
        """
        return cls.restore(*read_weights(folder), grid)


def _within(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """Arrays of one part by their names in it."""
    start = f"{part}/"
    return {name[len(start) :]: one for name, one in arrays.items() if name.startswith(start)}


def _told(view: LearnerView, regimes: RegimeFit) -> LearnerView:
    """The same view with the regimes of a fit."""
    probabilities = regimes.filter(market_of(view).state)
    return replace(view, probabilities=probabilities, regimes=regimes.names)
