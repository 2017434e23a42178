"""One neural fitter, trained on bars: weights, results and pictures in a folder.

For: ``weathervane fit``. Not for: judging a fitter: that is the walk-forward's and the board's,
where the learner ``neural`` is refitted along the history.

A fit that was interrupted goes on where it stopped: checkpoints lie in the folder until it is done.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pipeline.commands.files import model_folder, write_bytes, write_json, write_parquet
from pipeline.commands.panels import PanelOptions, load_panel
from pipeline.fitting import FitOptions, Fitted, Lesson, Progress, fitted, view_of

if TYPE_CHECKING:
    from pipeline.config import Home

CHECKPOINTS = "checkpoints"
FACTS = "fit.json"


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
    from backtest.market.world_files import is_synthetic
    from backtest.strategy import STRATEGIES
    from ml.fitter.files import CheckpointFolder
    from pipeline.exports import running_revision

    STRATEGIES.get(strategy)
    asked = asked or FitOptions()
    config = asked.config(book=book, cost_bps=cost_bps)
    folder = model_folder(out, "neural_fitter")
    loaded = load_panel(source, **options)
    view = view_of(loaded.panel, strategy, config)
    year, revision = loaded.panel.periods_per_year, running_revision()
    lesson = Lesson(strategy, view, config, asked.seed, year, revision)
    checkpoints = CheckpointFolder(folder / CHECKPOINTS, lesson.key)
    fitter = lesson.learn(resume=checkpoints, progress=progress)
    about = {"synthetic": is_synthetic(Path(source)), **loaded.about()}
    done = fitted(fitter, lesson, about=about)
    _write(folder, done)
    loaded.write_quarantine(folder)
    if home is not None:
        done.told["tracked"] = _track(home, done, source)
        write_json(folder / FACTS, done.told)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return done


def _write(folder: Path, done: Fitted) -> None:
    """Weights, tables and pictures; the facts come last."""
    done.fitter.save(folder)
    for name, frame in done.tables().items():
        write_parquet(folder / f"{name}.parquet", frame)
    for name, png in done.pictures().items():
        write_bytes(folder / f"{name}.png", png)
    write_json(folder / FACTS, done.told)


def _track(home: "Home", done: Fitted, source: Path) -> dict[str, Any]:
    """Log the fit in the home's tracker, and register its weights."""
    from pipeline.config import TrackingConfig, load_settings
    from pipeline.fitters import log_fit
    from pipeline.tracker import open_tracker

    universe = load_settings(path=Path(source)).universe
    return log_fit(open_tracker(home, TrackingConfig()), done, universe=universe).plain()


def summary_lines(told: dict[str, Any], out: Path) -> list[str]:
    """Say in a few lines what was trained."""
    mark = "SYNTHETIC market, " if told["synthetic"] else ""
    networks = len(told["refined"])
    lines = [
        f"{mark}{told['symbols']} symbols x {told['sessions']} sessions, {told['epochs']} epochs "
        f"in both stages of {networks} {'network' if networks == 1 else 'networks'}, stage two "
        f"kept in {sum(told['refined'])}",
        *(f"a training ended early: {fault}" for fault in told["faults"] if fault),
        "today's heaviest set: " + json.dumps(told["parameters"]),
        "confidence: " + ", ".join(f"{n} {v:.2f}" for n, v in told["confidence"].items()),
        "annual Sharpe ratio on the sessions that chose the epoch (not out of sample): "
        + ", ".join(
            f"{name} {value:+.2f}"
            for name, value in told["comparison_on_sessions_kept_back"].items()
        ),
    ]
    if "tracked" in told:
        tracked = told["tracked"]
        lines.append(f"model {tracked['model']} version {tracked['version']} ({tracked['alias']})")
    return [*lines, f"files: {out}"]
