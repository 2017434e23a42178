"""The neural fitter of every strategy, trained on all sessions that a snapshot has.

For: ``neural_fitter``. Not for: training or tracking (``pipeline.fitting``, ``pipeline.fitters``);
nothing that is exported reads it.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, picture, table_of, table_schema
from pipeline.resources import SettingsResource, SnapshotsResource, TrackerResource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.fitters import LoggedFit
    from pipeline.fitting import Fitted
    from pipeline.tracker import Tracker
    from pipeline.workbench import Workbench

GROUP = "learning"
EPOCH_COLUMNS = {
    "strategy": ("String", "name"),
    "network": ("Int64", "of the ensemble"),
    "stage": ("Int64", "1: taught by the table's mix; 2: by what its own mixes earn"),
    "epoch": ("Int64", "within the stage"),
    "train_loss": ("Float64", "what the stage made smaller, on the sessions learned from"),
    "train_mix": ("Float64", "divergence from the table's mix, nats; stage 1"),
    "train_outcome": ("Float64", "squared error of the expected outcome; stage 1"),
    "train_earned": ("Float64", "what mixes earned, as a loss; stage 2"),
    "train_regime": ("Float64", "cross-entropy of the regime in five sessions"),
    "valid_loss": ("Float64", "what chose the epoch, on the sessions kept back"),
    "valid_mix": ("Float64", "as train_mix, on the sessions kept back"),
    "valid_outcome": ("Float64", "as train_outcome"),
    "valid_earned": ("Float64", "as train_earned, of both stages"),
    "gradient_norm": ("Float64", "mean of the epoch's steps, before clipping"),
    "learning_rate": ("Float64", "of the epoch"),
}
LAST = ("strategy", "network", "stage", "epoch", "valid_mix", "valid_earned", "learning_rate")


@dg.asset(
    deps=["backtest_corpus", "market_state"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"torch", "mlflow", "safetensors"},
    code_version="1",
    tags={"layer": "model"},
    metadata=table_schema(EPOCH_COLUMNS),
)
@at_boundary
def neural_fitter(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    snapshots: SnapshotsResource,
    tracker: TrackerResource,
) -> dg.MaterializeResult:
    """Train every strategy's neural fitter, on from the last one, and register it.

    A fit takes minutes; one that was cut short goes on. Where a fitter of an earlier session is
    registered, it is gone on from for at most ten epochs. In a home with too little history the
    job `learn` says so here and goes on, since that mends itself as sessions come; materialised by
    itself, the asset fails with the one line that says how many sessions are needed.
    """
    from backtest.errors import NotFittedError

    files = snapshots.open()
    work = files.workbench(files.current())
    try:
        fits = list(_fits(context, work, tracker.open()))
    except NotFittedError as error:
        if error.code != "E_TOO_SHORT" or context.run.job_name.startswith("__"):
            raise
        return dg.MaterializeResult(metadata={"summary": f"none: {error}"})
    return dg.MaterializeResult(metadata=_shown(work, fits))


def _fits(
    context: dg.AssetExecutionContext, work: "Workbench", tracker: "Tracker"
) -> "Iterator[tuple[Fitted, LoggedFit]]":
    """Each strategy's fit, kept in the work folder and logged."""
    from pipeline.fitters import lessons_of, log_fit
    from pipeline.fitting import fitted, kept_fitter
    from pipeline.logbook import DAGSTER_PAGES

    seen = work.snapshot
    about = {n: getattr(seen, n) for n in ("synthetic", "symbols", "first", "last", "snapshot")}
    run = context.run.run_id
    tags = {"dagster_run_id": run, "dagster_url": f"{DAGSTER_PAGES}/runs/{run}"}
    for lesson in lessons_of(work, tracker):
        name = lesson.strategy

        def tell(stage: str, done: int, most: int, name: str = name) -> None:
            if done % 10 == 0 or done == most:
                context.log.info(f"{name}, {stage}: epoch {done} of at most {most}")

        fitter = kept_fitter(lesson, work.folder / "fitter" / name, progress=tell)
        done = fitted(fitter, lesson, about={**about, "sessions": lesson.view.sessions})
        yield done, log_fit(tracker, done, universe=seen.universe, tags=tags)


def _shown(work: "Workbench", fits: "list[tuple[Fitted, LoggedFit]]") -> dict[str, Any]:
    """What the asset's page tells of all fits."""
    import polars as pl

    tables = [
        fit.results.training_history.select(
            pl.lit(fit.told["strategy"]).alias("strategy"), pl.all()
        )
        for fit, _ in fits
    ]
    table = pl.concat(tables, how="diagonal_relaxed")
    kept = work.keep("neural_fitter", table)
    last = table.group_by("strategy", "network", "stage", maintain_order=True).last()
    models = {fit.told["strategy"]: logged for fit, logged in fits}
    today = [_today(fit) for fit, _ in fits]
    pictures = {
        f"{fit.told['strategy']}: {name}": picture(png, f"{fit.told['strategy']}, {name}")
        for fit, _ in fits
        for name, png in fit.pictures().items()
    }
    return {
        "summary": ", ".join(
            f"{name} version {one.model.version} ({one.model.note or one.model.alias})"
            for name, one in models.items()
        ),
        "dagster/row_count": table.height,
        "today": table_of(list(today[0]), today),
        "last epochs": table_of(LAST, last.to_dicts()),
        **pictures,
        **{f"{name}: mlflow run": dg.MetadataValue.url(one.url) for name, one in models.items()},
        **{f"{name}: model": dg.MetadataValue.url(one.model.url) for name, one in models.items()},
        "path": dg.MetadataValue.path(kept.path),
        "snapshot": work.snapshot.snapshot,
    }


def _today(fit: "Fitted") -> dict[str, str]:
    """What a fit came to, as a row for people."""
    told = fit.told

    def listed(values: dict[str, Any]) -> str:
        return ", ".join(
            f"{name} {one:.2f}" if isinstance(one, float) else f"{name} {one}"
            for name, one in values.items()
        )

    return {
        "strategy": told["strategy"],
        "heaviest set": listed(told["parameters"]),
        "confidence": listed(told["confidence"]),
        "gone on from": "the fit before" if fit.lesson.previous else "nothing",
        "Sharpe ratio, not out of sample": listed(told["comparison_on_sessions_kept_back"]),
    }
