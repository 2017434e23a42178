"""What a trained fitter says after the last close of some bars.

For: ``weathervane suggest``, with weights from a folder or from the home's registry. Not for:
training (``fits``), or today's exported parameters (``exports``), which no fitter makes yet.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import DataError, StoreError
from pipeline.commands.files import read_json
from pipeline.commands.fits import FACTS
from pipeline.commands.panels import PanelOptions, load_panel

if TYPE_CHECKING:
    from ml.fitter.fitter import NeuralFitter

ALIAS = "challenger"


@dataclass(frozen=True)
class Trained:
    """Where a fitter comes from.

    Parameters
    ----------
    strategy : str, optional
        May be left out where ``fit`` says it.
    fit : pathlib.Path, optional
        Folder that ``weathervane fit`` wrote; else the registry of the home is asked.
    home : pathlib.Path, optional
        As ``--home``.
    alias : str
        Of the registered model.
    """

    strategy: str | None = None
    fit: Path | None = None
    home: Path | None = None
    alias: str = ALIAS

    def load(self) -> "tuple[str, NeuralFitter, dict[str, Any]]":
        """The strategy, its fitter, and which one that is.

        Raises
        ------
        DataError
            ``E_JSON``: the folder does not say what was trained.
        StoreError
            ``E_MODEL``: none is registered. ``E_CORRUPT``, ``E_MODEL_UNSAFE``: it is not whole.
        NotFittedError
            ``E_WEIGHTS``, ``E_SCHEMA``: files that are not whole, or not of this strategy.
        """
        return self._kept(self.fit) if self.fit is not None else self._registered()

    def _kept(self, folder: Path) -> "tuple[str, NeuralFitter, dict[str, Any]]":
        from backtest.strategy import STRATEGIES
        from ml.fitter.fitter import NeuralFitter

        strategy = self.strategy or _strategy_of(folder / FACTS)
        grid = STRATEGIES.get(strategy).candidates()
        return strategy, NeuralFitter.load(folder, grid), {"folder": str(folder)}

    def _registered(self) -> "tuple[str, NeuralFitter, dict[str, Any]]":
        from pipeline.config import Home, TrackingConfig, home_of
        from pipeline.fitters import load_fitter
        from pipeline.tracker import open_tracker
        from pipeline.tracker.client import DATABASE

        home, strategy = Home(home_of(self.home)), str(self.strategy)
        if not (home.mlflow / DATABASE).exists():
            raise StoreError(
                "no model is registered",
                where=str(home.root),
                fix="`weathervane fit --home` registers one",
                code="E_MODEL",
            )
        fitter, loaded = load_fitter(
            open_tracker(home, TrackingConfig()), strategy, alias=self.alias
        )
        told = {"name": loaded.name, "version": loaded.version, "alias": self.alias}
        return strategy, fitter, {**told, "trained_until": loaded.tags["session"]}


def _strategy_of(facts: Path) -> str:
    """The strategy of a fit, as its folder says it."""
    told = read_json(facts)
    if not isinstance(told, dict) or not isinstance(told.get("strategy"), str):
        raise DataError(
            "the file does not say which strategy was trained",
            where=str(facts),
            fix="give --strategy, or the folder that `weathervane fit` wrote",
            code="E_JSON",
        )
    return str(told["strategy"])


def suggest(trained: Trained, source: Path, **options: Unpack[PanelOptions]) -> dict[str, Any]:
    """Ask a fitter for its mix after the last close of some bars.

    Parameters
    ----------
    trained : Trained
    source : pathlib.Path
        File or folder of bars, as the fitter was trained on: its market's state is read, and what
        every candidate set earned on it, in the book and at the cost of the training.
    **options
        As in ``panels.PanelOptions``.

    Returns
    -------
    dict
        ``strategy``, ``session``, ``synthetic``, ``model``, and what
        :func:`pipeline.fitting.plain_suggestion` tells.

    Raises
    ------
    WeathervaneError
        As of :meth:`Trained.load`; ``E_SCHEMA`` also where the market's state lacks a column.
    """
    from backtest.market.world_files import is_synthetic
    from pipeline.fitting import plain_suggestion, view_of

    strategy, fitter, model = trained.load()
    panel = load_panel(source, **options).panel
    said = fitter.suggest(view_of(panel, strategy, fitter.config))
    return {
        "strategy": strategy,
        "session": str(panel.dates[-1]),
        "synthetic": is_synthetic(Path(source)),
        "model": model,
        **plain_suggestion(said, fitter),
    }


def suggestion_lines(told: dict[str, Any]) -> list[str]:
    """Say what the fitter proposes."""
    mark, model = "SYNTHETIC market, " if told["synthetic"] else "", told["model"]
    named = model.get("folder") or f"{model['name']} version {model['version']} ({model['alias']})"
    regime = told["regime_five_sessions_later"]
    expected = told["expected_in_training_deviations"]
    return [
        f"{mark}{told['strategy']} after {told['session']}, by {named}",
        "heaviest set: " + json.dumps(told["parameters"]),
        "confidence: " + ", ".join(f"{n} {v:.2f}" for n, v in told["confidence"].items()),
        f"mix, {told['cash']:.0%} cash:",
        *(f"  {m['weight']:.3f}  {json.dumps(m['parameters'])}" for m in told["mix"][:5]),
        "expected, in training deviations: "
        + ", ".join(f"{n.replace('_', ' ')} {v:+.2f}" for n, v in expected.items()),
        "regime in five sessions: " + ", ".join(f"{n} {v:.0%}" for n, v in regime.items()),
    ]
