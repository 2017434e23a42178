"""What leaves the house: registered models, and one parameter document for each session.

For: ``promoted_model`` and ``regime_parameters``, the daily product, and ``store_backup`` when all
is done. Not for: the verdict, which the gate reached inside the walk-forward.
"""

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, table_schema
from pipeline.hours import PUBLISHED_BY, SINCE_THE_CLOSE, ZONE
from pipeline.partitions import SESSIONS, session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource, TrackerResource

GROUP = "export"


@dg.asset(
    deps=["evidence_report", "parameter_model", "regime_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"mlflow", "safetensors"},
    code_version="1",
    tags={"layer": "product"},
)
@at_boundary
def promoted_model(
    context: dg.AssetExecutionContext, tracker: TrackerResource, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Log the research and register its models; the gate's verdict sets their aliases."""
    from pipeline.exports import code_facts
    from pipeline.logbook import log_research

    files = snapshots.open()
    work = files.workbench(files.current())
    logged = log_research(tracker.open(), work, code=code_facts(), dagster_run=context.run.run_id)
    work.keep_values("registered", logged.plain())
    models = (logged.regime, logged.parameters)
    names = ", ".join(f"{m.name} version {m.version} ({m.note or m.alias})" for m in models)
    return dg.MaterializeResult(
        metadata={
            "summary": names + (", known already" if logged.reused else ""),
            "mlflow run": dg.MetadataValue.url(logged.url),
            "mlflow run id": logged.run_id,
            **{model.name: dg.MetadataValue.url(model.url) for model in models},
            "alias": logged.parameters.alias or "none",
            "snapshot": work.snapshot.snapshot,
        }
    )


@dg.asset(
    deps=["promoted_model", "sessions", "walk_forward"],
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"json"},
    code_version="1",
    tags={"layer": "product"},
    freshness_policy=dg.FreshnessPolicy.cron(
        deadline_cron=PUBLISHED_BY,
        lower_bound_delta=SINCE_THE_CLOSE,
        timezone=ZONE,
    ),
    metadata=table_schema(
        {
            "session": ("date", "the document speaks of the open after its close"),
            "regime": ("object", "name, probabilities, since"),
            "strategies": ("object", "by name: action, parameters, mix, by_regime, evidence, ..."),
            "model": ("object", "registered model behind it"),
            "data": ("object", "what the research saw"),
            "previous_sha256": ("string", "content hash of the preceding session's document"),
            "content_sha256": ("string", "of the canonical content"),
        }
    ),
)
@at_boundary
def regime_parameters(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Export the fold's state at each session as its parameter document."""
    from pipeline.drafting import draft
    from pipeline.exports import code_facts, publish_document

    files = snapshots.open()
    work, kept = files.workbench(files.current()), store.open(files.current().calendar)
    terms = {"store": kept, "known_by": settings.known_by(), "code": code_facts()}
    for key in sorted(context.partition_keys):
        document = draft(work, session_of(key), **terms)
        exported = publish_document(files.home, document, run_id=context.run.run_id)
    actions = {name: entry.action for name, entry in document.strategies.items()}
    return dg.MaterializeResult(
        metadata={
            "summary": f"{document.session} {document.regime.name}: "
            + ", ".join(f"{name} {action}" for name, action in actions.items())
            + ("" if exported.written else ", unchanged"),
            "actions": dg.MetadataValue.json(actions),
            "document": dg.MetadataValue.path(exported.path),
            "content_sha256": document.content_sha256,
            "ledger entry": exported.entry.entry,
            "dagster/partition_row_count": len(actions),
            "synthetic": document.data.synthetic,
        }
    )


@dg.asset(
    deps=["regime_parameters"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    code_version="1",
    tags={"layer": "product"},
)
@at_boundary
def store_backup(
    context: dg.AssetExecutionContext, settings: SettingsResource
) -> dg.MaterializeResult:
    """Copy the database with every version of every row, for `weathervane restore`."""
    from pipeline.store.backup import keep_backup

    made = keep_backup(settings.open_home())
    if made is None:
        return dg.MaterializeResult(metadata={"summary": "nothing to copy yet"})
    return dg.MaterializeResult(
        metadata={
            "summary": f"commit {made.number}" + ("" if made.written else ", copied already"),
            "path": dg.MetadataValue.path(made.path),
            "commit": made.number,
            "bytes": made.path.stat().st_size,
        }
    )
