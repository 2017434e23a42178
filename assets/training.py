"""What was learned: the table of scores by regime and set that today's mix is read from.

For: ``parameter_model``. Not for: the learner (``ml.learners``); the table is the one that the
walk-forward used at its last selection.
"""

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, sample_of, table_schema
from pipeline.resources import SnapshotsResource

GROUP = "training"


@dg.asset(
    deps=["walk_forward"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "safetensors"},
    code_version="1",
    tags={"layer": "model"},
    metadata=table_schema(
        {
            "strategy": ("String", "name"),
            "state": ("Int32", "raw state"),
            "regime": ("String", "name of the state, or always"),
            "set": ("Int64", "candidate"),
            "parameters": ("String", "JSON"),
            "score": ("Float64", "Sharpe per session, shrunk and smoothed; null if ineligible"),
            "share": ("Float64", "softmax share of the set in the regime; the rest is cash"),
            "sessions": ("Float64", "effective sessions behind the row"),
        }
    ),
)
@at_boundary
def parameter_model(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Keep the scores of every set in every regime, as of the last selection."""
    files = snapshots.open()
    work = files.workbench(files.current())
    kept = work.keep_table(work.table())
    table = work.frame("parameter_model")
    best = table.sort("score", descending=True, nulls_last=True)
    best = best.group_by("strategy", "state", maintain_order=True).head(1)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{table.height:,} scores of {table['strategy'].n_unique()} strategies in "
            f"{table['regime'].n_unique()} regimes",
            "dagster/row_count": table.height,
            "best set by regime": sample_of(best, rows=20),
            "path": dg.MetadataValue.path(kept.path),
            "sha256": kept.sha256,
            "snapshot": work.snapshot.snapshot,
        }
    )
