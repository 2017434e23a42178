"""A fit of the neural fitter: asked for, trained, and told as tables and pictures.

For: what ``weathervane fit`` and the asset ``neural_fitter`` share. Not for: bars, or where the
files of a fit lie.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from backtest.market.panel import Panel
    from ml.fitter.config import FitterConfig
    from ml.fitter.fitter import NeuralFitter, Suggestion
    from ml.fitter.results import FitResults
    from ml.fitter.run import Resume
    from ml.learner import LearnerView

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FitOptions:
    """How a fitter is trained.

    Parameters
    ----------
    extractor : str
        Name in ``EXTRACTORS``.
    refinement : str
        ``gradient``, ``evolution``, ``reinforce``, ``none``; or ``alone``: reinforcement without a
        supervised stage before it.
    networks, epochs : int
        Of the ensemble, and most of stage one.
    device : str
    fast : bool
        On a GPU: bfloat16, compiled networks and algorithms that need not repeat.
    seed : int
    """

    extractor: str = "tcn"
    refinement: str = "gradient"
    networks: int = 2
    epochs: int = 60
    device: str = "cpu"
    fast: bool = False
    seed: int = 0

    def config(self, *, book: str, cost_bps: float) -> "FitterConfig":
        """The fitter that these options, a book and a cost per side ask for.

        Raises
        ------
        WeathervaneError
            ``E_UNKNOWN``: no such extractor. ``E_DEVICE``: the device is not there, or ``fast``
            without a GPU.
        """
        from typing import cast

        from backtest.engine.costs import cost_per_side
        from backtest.errors import ConfigError
        from backtest.portfolio.book import checked_kind
        from ml.fitter.config import FitterConfig, Refinement
        from ml.fitter.extractor import EXTRACTORS
        from ml.fitter.run import require_device

        EXTRACTORS.get(self.extractor)
        require_device(self.device)
        if self.fast and self.device == "cpu":
            raise ConfigError(
                "fast training is for a GPU",
                where="device cpu",
                fix="leave fast out, or give device cuda",
                code="E_DEVICE",
            )
        plain, alone = FitterConfig(), self.refinement == "alone"
        return replace(
            plain,
            extractor=self.extractor,
            seeds=self.networks,
            pretrained=not alone,
            refinement=cast("Refinement", "reinforce" if alone else self.refinement),
            book=checked_kind(book),
            cost=cost_per_side(cost_bps),
            training=replace(
                plain.training,
                epochs=self.epochs,
                device=self.device,
                bf16=self.fast,
                compiled=self.fast,
                deterministic=not self.fast,
            ),
        )


def view_of(panel: "Panel", strategy: str, config: "FitterConfig") -> "LearnerView":
    """What every candidate set of a strategy earned on a panel, and the state of its market.

    Raises
    ------
    DataError
        ``E_DATA``: no set ever earned or lost anything.
    """
    from backtest.errors import DataError
    from backtest.portfolio.book import checked_kind
    from ml.corpus import WalkSpec, corpus, history_of
    from ml.learner import STILL

    spec = WalkSpec(book=checked_kind(config.book), cost=config.cost)
    corpora = {strategy: corpus(panel, strategy, spec, progress=None)}
    view = history_of(panel, corpora).view(strategy)
    if not (view.returns.std(axis=1) > STILL).any():
        raise DataError(
            f"no candidate set of {strategy} ever earned or lost anything",
            where=f"{len(panel.symbols)} symbols in a {config.book} book",
            fix="give more symbols, or another book",
        )
    return view


@dataclass(frozen=True)
class Lesson:
    """Everything that a fit depends on.

    Parameters
    ----------
    strategy : str
    view : LearnerView
        With a market; its one regime is always: a fitter has its own.
    config : FitterConfig
    seed : int
    periods_per_year : int
    revision : str
        Of the code that trains.
    previous : NeuralFitter, optional
        To go on from.
    """

    strategy: str
    view: "LearnerView"
    config: "FitterConfig"
    seed: int
    periods_per_year: int
    revision: str
    previous: "NeuralFitter | None" = None

    @cached_property
    def key(self) -> str:
        """Digest of it; a checkpoint, a kept fitter and a tracked run belong to one."""
        view, market = self.view, self.view.market
        told: list[Any] = [asdict(self.config), self.seed, self.periods_per_year]
        told += [
            self.revision,
            self.strategy,
            view.grid.rows(),
            None if market is None else market.columns,
        ]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        digest.update(view.returns.tobytes())
        if market is not None:
            for part in (market.dates, market.state, market.turnover):
                digest.update(part.tobytes())
        if self.previous is not None:
            digest.update(json.dumps(self.previous.plain(), sort_keys=True).encode())
            for name, array in sorted(self.previous.arrays().items()):
                digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()

    def learn(
        self, *, resume: "Resume | None" = None, progress: Progress | None = None
    ) -> "NeuralFitter":
        """Train.

        Parameters
        ----------
        resume : Resume, optional
            Where checkpoints are found and kept, under :attr:`key`.
        progress : callable, optional
            Told stage, epochs done and most epochs.

        Raises
        ------
        NotFittedError
            ``E_TOO_SHORT``: too little history.
        """
        from ml.fitter.fitter import NeuralFitter

        return NeuralFitter.fit(
            self.view,
            self.config,
            seed=self.seed,
            periods_per_year=self.periods_per_year,
            previous=self.previous,
            resume=resume,
            progress=progress,
        )


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Parameters
    ----------
    fitter : NeuralFitter
    results : FitResults
    lesson : Lesson
    told : dict
        What it was made of and what it came to, in plain values: content of ``fit.json``.
    """

    fitter: "NeuralFitter"
    results: "FitResults"
    lesson: Lesson
    told: dict[str, Any]

    def tables(self) -> "dict[str, pl.DataFrame]":
        """Training by epoch, and parameters and returns by date, by the names of their files."""
        return {
            "training_history": self.results.training_history,
            "parameter_history": self._dated(self.results.parameter_history),
            "backtest": self._dated(self.results.backtest),
        }

    def _dated(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        import polars as pl

        market = self.lesson.view.market
        dates = pl.Series("date", [] if market is None else market.dates).cast(pl.Date)
        days = dates.gather(frame["session"] - self.lesson.view.first)
        return frame.select(days.alias("date"), pl.exclude("session"))

    def pictures(self) -> dict[str, bytes]:
        """Training and parameters as PNG, by the names of their files."""
        from backtest.fit_plots import parameters_plot, training_plot

        tables, made_up = self.tables(), self.told["synthetic"]
        return {
            "training": training_plot(tables["training_history"], synthetic=made_up),
            "parameters": parameters_plot(tables["parameter_history"], synthetic=made_up),
        }


def kept_fitter(
    lesson: Lesson, folder: Path, *, progress: Progress | None = None
) -> "NeuralFitter":
    """The fitter that a folder holds of a lesson; trained, and kept there, where it holds none.

    Parameters
    ----------
    lesson : Lesson
    folder : pathlib.Path
        Below it, each lesson has a folder of its own. Checkpoints lie there until it is trained.
    progress : callable, optional
    """
    from backtest.errors import NotFittedError
    from ml.fitter.files import CheckpointFolder
    from ml.fitter.fitter import NeuralFitter

    own = place_of(lesson, folder)
    if own.is_dir():
        try:
            return NeuralFitter.load(own, lesson.view.grid)
        except NotFittedError as error:
            logger.warning("trained anew (%s)", error)
    checkpoints = folder / f"{own.name}-checkpoints"
    resume = CheckpointFolder(checkpoints, lesson.key)
    fitter = lesson.learn(resume=resume, progress=progress)
    fitter.save(own)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return fitter


def place_of(lesson: Lesson, folder: Path) -> Path:
    """Where :func:`kept_fitter` keeps the fitter of a lesson."""
    return folder / lesson.key[:12]


def fitted(fitter: "NeuralFitter", lesson: Lesson, *, about: dict[str, Any]) -> Fitted:
    """Show what a fitter came to on what it was taught.

    Parameters
    ----------
    fitter : NeuralFitter
    lesson : Lesson
    about : dict
        Of the bars: ``synthetic``, ``first``, ``last`` and more.
    """
    from ml.fitter.results import results_of

    results = results_of(fitter, lesson.view, periods_per_year=lesson.periods_per_year)
    last = results.training_history.group_by("network", "stage", maintain_order=True).last()
    told = {
        "strategy": lesson.strategy,
        "seed": lesson.seed,
        "config": asdict(fitter.config),
        "parameters": results.parameters,
        "confidence": results.confidence,
        "mix": results.mix,
        "refined": list(fitter.refined),
        "faults": list(fitter.faults),
        "epochs": results.training_history.height,
        "comparison_on_sessions_kept_back": results.comparison,
        "last_epochs": last.to_dicts(),
        **about,
    }
    return Fitted(fitter, results, lesson, told)


def plain_suggestion(said: "Suggestion", fitter: "NeuralFitter") -> dict[str, Any]:
    """A suggestion as plain values: what ``weathervane suggest`` prints."""
    from ml.fitter.results import mix_of

    names = ("mean_return", "sharpe", "turnover")
    return {
        "parameters": said.parameters,
        "confidence": said.confidence,
        "mix": [
            {
                "weight": weight,
                "spread": float(said.spread[p]),
                "parameters": fitter.grid.row(p),
            }
            for p, weight in mix_of(said.weights)
        ],
        "cash": max(1.0 - float(said.weights.sum()), 0.0),
        "expected_in_training_deviations": dict(zip(names, said.outcome.tolist(), strict=True)),
        "regime_five_sessions_later": said.regime,
    }
