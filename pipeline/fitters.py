"""Neural fitters in the tracker: logged, registered by strategy, and loaded by our own class.

For: ``log_fit`` and the two ways back: by alias, and the last one before a session. Not for:
training (``fitting``), or the tracker's manners (``tracker``).
"""

import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backtest.errors import NotFittedError, StoreError
from pipeline.tracker import Scope, Signature, fingerprint, fitter_model

if TYPE_CHECKING:
    import polars as pl

    from ml.fitter.fitter import NeuralFitter
    from pipeline.fitting import Fitted, Lesson
    from pipeline.tracker import Loaded, Registered, Research, Tracker
    from pipeline.workbench import Workbench

logger = logging.getLogger(__name__)

CURVE_STEP = 5
"""Sessions between two points of a curve; the tables have all of them."""

_ROW = ("network", "stage", "epoch")


@dataclass(frozen=True)
class LoggedFit:
    """What the tracker now holds of one fit.

    Parameters
    ----------
    run_id, url : str
        Of the tracker's run.
    reused : bool
        Whether the run of an earlier, equal fit was found.
    model : Registered
    """

    run_id: str
    url: str
    reused: bool
    model: "Registered"

    def plain(self) -> dict[str, Any]:
        """Plain values that stay the same when the same fit is logged again."""
        model = self.model
        return {
            "run_id": self.run_id,
            "run_url": self.url,
            "model": model.name,
            "version": model.version,
            "alias": model.alias,
            "url": model.url,
        }


def log_fit(
    tracker: "Tracker",
    fit: "Fitted",
    *,
    universe: str,
    tags: Mapping[str, str] | None = None,
) -> LoggedFit:
    """Log a neural fit and register its weights; the same fit again changes nothing.

    Parameters
    ----------
    tracker : Tracker
    fit : Fitted
    universe : str
        Within it, an alias moves forward in sessions only.
    tags : mapping of str to str, optional
        More of them, for example ``dagster_url``.
    """
    told = fit.told
    given = {
        "kind": "fit",
        "strategy": told["strategy"],
        "universe": universe,
        "revision": fit.lesson.revision,
        "synthetic": str(told["synthetic"]).lower(),
        **(tags or {}),
    }
    name = f"fit {told['strategy']} {told['last']}"
    with tracker.research(fingerprint(fit=fit.lesson.key), name=name, tags=given) as run:
        _log(run, fit)
        model = tracker.register(
            fitter_model(told["strategy"]),
            run.run_id,
            arrays=fit.fitter.arrays(),
            config=fit.fitter.plain(),
            signature=Signature(
                dict.fromkeys(fit.fitter.inputs.columns, "double"),
                {"set": "long", "weight": "double"},
            ),
            tags=given,
            promoted=False,
            scope=Scope(universe, told["last"]),
        )
        return LoggedFit(run.run_id, run.url, run.reused, model)


def _log(run: "Research", fit: "Fitted") -> None:
    """Everything but the weights; in a run that was found, files that are gone come back."""
    tables, told = fit.tables(), fit.told
    run.figures(fit.pictures())
    run.files({f"{name}.parquet": _parquet(frame) for name, frame in tables.items()})
    if run.reused:
        return
    basis = ("strategy", "seed", "symbols", "sessions", "first", "last", "snapshot")
    run.params({**{name: told[name] for name in basis if name in told}, **told["config"]})
    run.metrics({f"sharpe_kept_back/{n}": v for n, v in fit.results.comparison.items()})
    run.metrics({f"confidence/{n}": v for n, v in fit.results.confidence.items()})
    run.epochs(training_curves(tables["training_history"]))
    for frame in (_grown(tables["backtest"]), _numbers(tables["parameter_history"])):
        thin = frame[::-1].gather_every(CURVE_STEP)[::-1]  # with the last session
        run.curves(thin["date"].to_list(), thin.drop("date").to_dict(as_series=False))
    made_up = "**Synthetic market.** " if told["synthetic"] else ""
    run.note(
        f"{made_up}The sessions kept back chose the epochs: what is earned there is not out of "
        "sample. Curves named `network_N/...` are by epoch, both stages one after the other "
        "(`stage` says which); `equity_kept_back/...` and `parameters/...` are by session."
    )


def _parquet(frame: "pl.DataFrame") -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


def training_curves(history: "pl.DataFrame") -> dict[str, list[float | None]]:
    """Curves of a training by network: stage, losses by part, gradient norm and learning rate.

    One value per epoch of both stages, in their order; None where a stage does not measure it.
    """
    out = {}
    for (number,), own in history.group_by("network", maintain_order=True):
        for column in ("stage", *(name for name in own.columns if name not in _ROW)):
            out[f"network_{number}/{column}"] = own[column].to_list()
    return out


def _grown(returns: "pl.DataFrame") -> "pl.DataFrame":
    """Equity of every variant by date."""
    import polars as pl

    grown = (pl.exclude("date") + 1.0).cum_prod().name.map(lambda n: f"equity_kept_back/{n}")
    return returns.select("date", grown)


def _numbers(parameters: "pl.DataFrame") -> "pl.DataFrame":
    """Parameters by date as numbers: of a category, 1 for each value while it is the heaviest."""
    import polars as pl
    import polars.selectors as cs

    told = parameters.drop("date")
    categories = told.select(cs.string()).columns
    frame = told.to_dummies(categories, separator=".") if categories else told
    named = frame.select(pl.all().cast(pl.Float64).name.map(lambda n: f"parameters/{n}"))
    return named.select(parameters["date"], pl.all())


def load_fitter(
    tracker: "Tracker", strategy: str, *, alias: str = "challenger"
) -> "tuple[NeuralFitter, Loaded]":
    """Load the registered fitter of a strategy by alias; hashes are checked and no code runs.

    Parameters
    ----------
    tracker : Tracker
    strategy : str
        Whose candidate sets it must have been trained on.
    alias : str
        ``champion`` or ``challenger``; nothing promotes a fitter yet.

    Returns
    -------
    fitter : NeuralFitter
    loaded : Loaded
        Its version and tags.

    Raises
    ------
    UnknownNameError
        No such strategy.
    StoreError
        ``E_MODEL``: no such model or alias. ``E_MODEL_UNSAFE``, ``E_CORRUPT``: its files are not
        what was registered.
    NotFittedError
        ``E_SCHEMA``: the strategy's candidate sets have changed since training.
    """
    from backtest.strategy import STRATEGIES
    from ml.fitter.fitter import NeuralFitter

    grid = STRATEGIES.get(strategy).candidates()
    loaded = tracker.load_model(fitter_model(strategy), alias)
    return NeuralFitter.restore(loaded.arrays, loaded.config, grid), loaded


def lessons_of(work: "Workbench", tracker: "Tracker") -> "Iterator[Lesson]":
    """Lesson of every strategy of a research, on from the fit before where there is one.

    Parameters
    ----------
    work : Workbench
        With swept corpora; its settings say how networks are trained.
    tracker : Tracker
        Where fits of earlier sessions are registered.
    """
    from backtest.market.calendar import periods_per_year
    from pipeline.exports import running_revision
    from pipeline.fitting import FitOptions, Lesson

    seen, told, history = work.snapshot, work.files.settings, work.history()
    asked = FitOptions(**told.learning.model_dump(), seed=told.seed)
    config = asked.config(book=told.book.kind, cost_bps=told.costs.cost_bps)
    year, revision = periods_per_year(seen.calendar), running_revision()
    for name in told.strategies.names:
        anew = Lesson(name, history.view(name), config, told.seed, year, revision)
        before = fitter_before(tracker, anew, Scope(seen.universe, seen.last))
        yield replace(anew, previous=before)


def fitter_before(tracker: "Tracker", lesson: "Lesson", scope: Scope) -> "NeuralFitter | None":
    """The last fitter that was registered for a session before that of ``scope``.

    None where there is none, and where it cannot be gone on from, which is logged: its files are
    damaged, or it is of other candidate sets, settings or columns than the lesson.
    """
    from ml.fitter.fitter import NeuralFitter

    name = fitter_model(lesson.strategy)
    try:
        loaded = tracker.load_before(name, scope)
        if loaded is None:
            return None
        found = NeuralFitter.restore(loaded.arrays, loaded.config, lesson.view.grid)
    except (StoreError, NotFittedError) as error:
        if error.code not in ("E_CORRUPT", "E_MODEL_UNSAFE", "E_SCHEMA"):
            raise
        logger.warning("%s: begun anew, not from the fit before (%s)", name, error)
        return None
    if not found.goes_on(lesson.view, lesson.config):
        logger.warning("%s: begun anew: version %d is of other settings", name, loaded.version)
        return None
    return found
