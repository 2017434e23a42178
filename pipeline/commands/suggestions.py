"""What a trained fitter says after the last close of some bars.

For: ``weathervane suggest``, with weights from a folder or from the home's registry. Not for:
training (``fits``), or today's exported parameters (``exports``), which no fitter makes yet.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import DataError, NotFittedError, StoreError
from pipeline.commands.files import model_in, read_json
from pipeline.commands.fits import FACTS
from pipeline.commands.panels import PanelOptions, load_panel

if TYPE_CHECKING:
    from ml.fitter.fitter import NeuralFitter

logger = logging.getLogger(__name__)

ALIAS = "challenger"

_LISTED = 5
"""Members of a mix that the terminal shows."""


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

        if (held := model_in(folder)) not in ("", "neural_fitter"):
            raise NotFittedError(
                f"the folder holds no neural fitter but a model of another kind, {held}",
                where=str(folder),
                fix="give a folder that `weathervane fit` wrote",
                code="E_SCHEMA",
            )
        strategy = _strategy_of(folder, self.strategy)
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


def _strategy_of(folder: Path, asked: str | None) -> str:
    """The strategy of a fit, as its folder says it; what was saved from Python may say none."""
    facts = folder / FACTS
    told = read_json(facts) if facts.is_file() else {}
    held = told.get("strategy") if isinstance(told, dict) else None
    if asked is None and not isinstance(held, str):
        raise DataError(
            "the folder does not say which strategy was trained",
            where=str(facts),
            fix="give --strategy, or a folder that `weathervane fit` wrote",
            code="E_JSON",
        )
    if asked is not None and isinstance(held, str) and held != asked:
        raise NotFittedError(
            f"the fitter was trained on {held}, not on {asked}",
            where=str(folder),
            fix=f"give --strategy {held}, or leave it out",
            code="E_SCHEMA",
        )
    return asked or str(held)


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
        ``strategy``, ``session``, ``synthetic``, ``model``, the span that it was ``trained`` on,
        whether the bars end before that (``hindsight``), what
        :func:`pipeline.fitting.plain_suggestion` tells, and of the bars.

    Raises
    ------
    WeathervaneError
        As of :meth:`Trained.load`; ``E_SCHEMA`` also where the market's state lacks a column.
    """
    from backtest.market.world_files import is_synthetic
    from pipeline.fitting import plain_suggestion, view_of

    strategy, fitter, model = trained.load()
    loaded = load_panel(source, **options)
    said = fitter.suggest(view_of(loaded.panel, strategy, fitter.config))
    loaded.warn()
    about, (first, last) = loaded.about(), fitter.span
    if hindsight := about["last"] < last:
        logger.warning(
            "hindsight: the fitter was trained until %s, these bars end on %s", last, about["last"]
        )
    return {
        "strategy": strategy,
        "session": about["last"],
        "synthetic": is_synthetic(Path(source)),
        "model": model,
        "trained": {"first": first, "last": last},
        "hindsight": hindsight,
        **plain_suggestion(said, fitter),
        **about,
    }


def suggestion_lines(told: dict[str, Any]) -> list[str]:
    """Say what the fitter proposes."""
    mark, model = "SYNTHETIC market, " if told["synthetic"] else "", told["model"]
    named = model.get("folder") or f"{model['name']} version {model['version']} ({model['alias']})"
    regime = dict(told["regime_five_sessions_later"])
    trend = [f"{name} {regime.pop(name):.0%}" for name in ("bull", "sideways", "bear")]
    trained, more = told["trained"], len(told["mix"]) - _LISTED
    expected = told["expected_in_training_deviations"]
    return [
        f"{mark}{told['strategy']} after {told['session']}, by {named}, trained on "
        f"{trained['first']} to {trained['last']}",
        "heaviest set: " + json.dumps(told["parameters"]),
        "confidence: " + ", ".join(f"{n} {v:.2f}" for n, v in told["confidence"].items()),
        f"mix, {told['cash']:.0%} cash:",
        *(f"  {m['weight']:.3f}  {json.dumps(m['parameters'])}" for m in told["mix"][:_LISTED]),
        *([f"  and {more} more, see --json"] if more > 0 else []),
        "expected over 30 sessions, in deviations of those trained on: "
        + ", ".join(f"{n.replace('_', ' ')} {v:+.2f}" for n, v in expected.items()),
        f"regime in five sessions: {', '.join(trend)}; apart from that "
        + ", ".join(f"{n} {v:.0%}" for n, v in regime.items()),
    ]
