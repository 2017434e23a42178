"""The online model of a strategy, gone on with the sessions since the last time.

For: ``weathervane online``. Not for: judging it: that is the walk-forward's and the board's, where
it is the learner ``online``.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pipeline.commands.files import (
    model_folder,
    results_folder,
    write_bytes,
    write_json,
    write_parquet,
)
from pipeline.commands.panels import Loaded, PanelOptions, load_panel

if TYPE_CHECKING:
    import polars as pl

    from ml.history import History
    from ml.learners.online import Alarm


def run_online(
    strategy: str,
    source: Path,
    *,
    state: Path,
    out: Path,
    detector: str = "adwin",
    alarm: "Alarm" = "demote",
    book: str = "dollar-neutral",
    cost_bps: float = 5.0,
    **options: Unpack[PanelOptions],
) -> dict[str, Any]:
    """Go on from a kept state to the last bar, keep it, and write what it says.

    Parameters
    ----------
    state : pathlib.Path
        Folder of the kept state; it is begun where none lies there.
    out : pathlib.Path
        Folder of ``online.json``, ``scores.parquet`` and ``prequential.png``.
    detector, alarm : str
        As of ``ml.learners.online.Online``.
    cost_bps : float
        Per side.
    **options
        As in ``panels.PanelOptions``.

    Returns
    -------
    dict
        Content of ``online.json``.

    Raises
    ------
    WeathervaneError
        Anything wrong in what was handed in; as of ``ml.online_course.course``.
    """
    from backtest.market.world_files import is_synthetic
    from backtest.strategy import STRATEGIES
    from ml.learners.online import Online
    from ml.online.drift import DETECTORS
    from ml.online_course import course

    STRATEGIES.get(strategy)
    DETECTORS.get(detector)
    folder, kept = results_folder(out), model_folder(state, "online")
    learner = Online(detector=detector, alarm=alarm)
    loaded = load_panel(source, **options)
    history = _history(loaded, strategy, book=book, cost_bps=cost_bps)
    about = {"strategy": strategy, "book": book, "cost_bps": float(cost_bps)}
    found = course(history.view(strategy), learner, folder=kept, about=about)
    synthetic = is_synthetic(Path(source))
    told = {"strategy": strategy, "synthetic": synthetic, **found.today(), **loaded.about()}
    if found.new:
        found.model.save(kept)
    _write(folder, found.scores(), told)
    loaded.write_quarantine(folder)
    return told


def _write(folder: Path, scores: "pl.DataFrame", told: dict[str, Any]) -> None:
    """Table, picture, and what the model says."""
    from backtest.online_plots import prequential_plot

    drawn = prequential_plot({told["strategy"]: scores}, synthetic=told["synthetic"])
    write_parquet(folder / "scores.parquet", scores)
    write_bytes(folder / "prequential.png", drawn)
    write_json(folder / "online.json", told)


def _history(loaded: Loaded, strategy: str, *, book: str, cost_bps: float) -> "History":
    """Every candidate swept over all bars, and the market's state."""
    from backtest.engine.costs import cost_per_side
    from backtest.portfolio.book import checked_kind
    from ml.corpus import WalkSpec, corpus, history_of

    spec = WalkSpec(book=checked_kind(book), cost=cost_per_side(cost_bps))
    return history_of(loaded.panel, {strategy: corpus(loaded.panel, strategy, spec, progress=None)})


_SPEAKERS = {
    "model": "the model's own mix",
    "table": "the static table's mix: the model is demoted, or knows too little",
    "frozen": "the mix of the alarm's beginning",
}


def summary_lines(told: dict[str, Any], state: Path, out: Path) -> list[str]:
    """Say in a few lines how the model does and what it says."""
    mark, scores = "SYNTHETIC market, " if told["synthetic"] else "", told["scores"]
    alarms, drift = told["alarms"], told["drift"]
    last = f", the last judged on {alarms[-1]}" if alarms else ""
    return [
        f"{mark}{told['symbols']} symbols x {told['sessions']} sessions, "
        f"{scores['decisions']} decisions learned from",
        f"ranking accuracy {scores['ranking_accuracy']:.2f} (0.5 is chance), "
        f"regime accuracy {scores['regime_accuracy']:.2f}, confidence {told['confidence']:.2f}",
        f"alarms of {drift['detector']}: {len(alarms)}{last}",
        "set predicted to earn most, by itself: " + json.dumps(told["best_set"]),
        f"in force: {_SPEAKERS[told['speaker']]}; heaviest "
        + (json.dumps(told["mix"][0]["parameters"]) if told["mix"] else "cash"),
        f"state: {state}",
        f"files: {out}",
    ]
