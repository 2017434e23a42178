"""One neural fitter, trained on bars: weights, results and pictures in a folder.

For: ``weathervane fit``. Not for: judging a fitter: that is the walk-forward's and the board's,
where the learner ``neural`` is refitted along the history.

A fit that was interrupted goes on where it stopped: checkpoints lie in the folder until it is done.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pipeline.commands.files import results_folder, write_bytes, write_json, write_parquet
from pipeline.commands.panels import Loaded, PanelOptions, load_panel

if TYPE_CHECKING:
    from backtest.market.panel import Panel
    from ml.fitter.config import FitterConfig
    from ml.fitter.fitter import NeuralFitter
    from ml.fitter.results import FitResults
    from ml.learner import LearnerView
    from pipeline.config import Home

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Fitted:
    """What a fit found.

    Parameters
    ----------
    fitter : NeuralFitter
    results : FitResults
    told : dict
        Content of ``fit.json``.
    """

    fitter: "NeuralFitter"
    results: "FitResults"
    told: dict[str, Any]


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
    seed : int
    """

    extractor: str = "tcn"
    refinement: str = "gradient"
    networks: int = 2
    epochs: int = 60
    device: str = "cpu"
    seed: int = 0


def run_fit(
    strategy: str,
    source: Path,
    *,
    out: Path,
    book: str = "dollar-neutral",
    cost_bps: float = 5.0,
    asked: FitOptions | None = None,
    home: "Home | None" = None,
    progress: Progress | None = None,
    **options: Unpack[PanelOptions],
) -> Fitted:
    """Train a fitter on all bars, and write what it came to.

    Parameters
    ----------
    cost_bps : float
        Per side.
    asked : FitOptions, optional
    home : Home, optional
        Whose tracker is told.
    **options
        As in ``panels.PanelOptions``.

    Raises
    ------
    WeathervaneError
        Anything wrong in what was handed in; ``E_TOO_SHORT``, ``E_DEVICE``.
    """
    from backtest.strategy import STRATEGIES
    from ml.fitter.files import CheckpointFolder
    from ml.fitter.fitter import NeuralFitter
    from ml.fitter.results import results_of
    from ml.fitter.run import require_device

    STRATEGIES.get(strategy)
    asked = asked or FitOptions()
    config = _config(asked, cost_bps=cost_bps)
    require_device(asked.device)
    folder = results_folder(out)
    loaded = load_panel(source, **options)
    view = view_of(loaded.panel, strategy, book=book, cost_bps=cost_bps)
    year, key = loaded.panel.periods_per_year, _key(view, config, asked.seed)
    fitter = NeuralFitter.fit(
        view,
        config,
        seed=asked.seed,
        periods_per_year=year,
        resume=CheckpointFolder(folder / CHECKPOINTS, key),
        progress=progress,
    )
    results = results_of(fitter, view, periods_per_year=year)
    told = _told(fitter, results, loaded, strategy=strategy, source=source, seed=asked.seed)
    _write(folder, fitter, results, view, told)
    if home is not None:
        told["tracked"] = _track(home, fitter, results, told, folder=folder, key=key)
        write_json(folder / "fit.json", told)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Fitted(fitter, results, told)


def view_of(panel: "Panel", strategy: str, *, book: str, cost_bps: float) -> "LearnerView":
    """Everything that is known at a panel's last close, for one strategy.

    The regimes of the view are one, always: a fitter has its own.
    """
    import numpy as np

    from backtest.engine.costs import cost_per_side
    from backtest.portfolio.book import checked_kind
    from ml.corpus import WalkSpec, corpus, history_of
    from ml.learner import LearnerView, Market

    spec = WalkSpec(book=checked_kind(book), cost=cost_per_side(cost_bps))
    corpora = {strategy: corpus(panel, strategy, spec, progress=None)}
    history = history_of(panel, corpora)
    one = history.strategies[strategy]
    turnover = np.full_like(one.returns, np.nan) if one.turnover is None else one.turnover
    always = np.ones((history.sessions, 1))
    market = Market(history.dates, history.state, history.columns, turnover)
    return LearnerView(one.grid, one.returns, always, ("always",), market=market)


def _config(asked: FitOptions, *, cost_bps: float) -> "FitterConfig":
    from typing import cast

    from backtest.engine.costs import cost_per_side
    from ml.fitter.config import FitterConfig, Refinement
    from ml.fitter.extractor import EXTRACTORS

    EXTRACTORS.get(asked.extractor)
    plain = FitterConfig()
    alone = asked.refinement == "alone"
    return replace(
        plain,
        extractor=asked.extractor,
        seeds=asked.networks,
        pretrained=not alone,
        refinement=cast("Refinement", "reinforce" if alone else asked.refinement),
        cost=cost_per_side(cost_bps),
        training=replace(plain.training, epochs=asked.epochs, device=asked.device),
    )


def _key(view: "LearnerView", config: "FitterConfig", seed: int) -> str:
    """Digest of all that a checkpoint depends on."""
    digest = hashlib.sha256(json.dumps([asdict(config), seed], sort_keys=True).encode())
    digest.update(view.returns.tobytes())
    if view.market is not None:
        digest.update(view.market.state.tobytes())
    return digest.hexdigest()


def _told(
    fitter: "NeuralFitter",
    results: "FitResults",
    loaded: Loaded,
    *,
    strategy: str,
    source: Path,
    seed: int,
) -> dict[str, Any]:
    from backtest.market.world_files import is_synthetic

    last = results.training_history.group_by("network", "stage", maintain_order=True).last()
    return {
        "strategy": strategy,
        "synthetic": is_synthetic(Path(source)),
        "seed": seed,
        "config": asdict(fitter.config),
        "parameters": results.parameters,
        "confidence": results.confidence,
        "mix": results.mix,
        "refined": list(fitter.refined),
        "epochs": results.training_history.height,
        "comparison_on_sessions_kept_back": results.comparison,
        "last_epochs": last.to_dicts(),
        **loaded.about(),
    }


def _write(
    folder: Path,
    fitter: "NeuralFitter",
    results: "FitResults",
    view: "LearnerView",
    told: dict[str, Any],
) -> None:
    """Weights, tables and pictures."""
    import polars as pl

    from backtest.fit_plots import parameters_plot, training_plot

    fitter.save(folder)
    dates = pl.Series("date", [] if view.market is None else view.market.dates).cast(pl.Date)
    write_parquet(folder / "training_history.parquet", results.training_history)
    for name in ("parameter_history", "backtest"):
        frame = getattr(results, name)
        dated = frame.with_columns(dates.gather(frame["session"]).alias("date")).drop("session")
        write_parquet(folder / f"{name}.parquet", dated.select("date", pl.exclude("date")))
        if name == "parameter_history":
            write_bytes(
                folder / "parameters.png", parameters_plot(dated, synthetic=told["synthetic"])
            )
    write_bytes(
        folder / "training.png",
        training_plot(results.training_history, synthetic=told["synthetic"]),
    )
    write_json(folder / "fit.json", told)


def _track(
    home: "Home",
    fitter: "NeuralFitter",
    results: "FitResults",
    told: dict[str, Any],
    *,
    folder: Path,
    key: str,
) -> dict[str, Any]:
    """Log the fit in the home's tracker, and register its weights."""
    from pipeline.config import TrackingConfig
    from pipeline.logbook import log_fit
    from pipeline.tracker import open_tracker

    tracker = open_tracker(home, TrackingConfig())
    return log_fit(tracker, fitter, results, told, folder=folder, key=key)


def summary_lines(told: dict[str, Any], out: Path) -> list[str]:
    """Say in a few lines what was trained."""
    mark = "SYNTHETIC market, " if told["synthetic"] else ""
    kept = sum(told["refined"])
    lines = [
        f"{mark}{told['symbols']} symbols x {told['sessions']} sessions, "
        f"{told['epochs']} epochs of {len(told['refined'])} networks, stage two kept in {kept}",
        "today's heaviest set: " + json.dumps(told["parameters"]),
        "confidence: " + ", ".join(f"{n} {v:.2f}" for n, v in told["confidence"].items()),
        "annual Sharpe ratio on the sessions that chose the epoch (not out of sample): "
        + ", ".join(
            f"{name} {value:+.2f}"
            for name, value in told["comparison_on_sessions_kept_back"].items()
        ),
    ]
    if "tracked" in told:
        lines.append(f"model {told['tracked']['model']} version {told['tracked']['version']}")
    return [*lines, f"files: {out}"]
