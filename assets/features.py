"""What is computed from bars alone: features per symbol and the market's state per session.

For: ``feature_panel`` and ``market_state``. Not for: formulas (``ml.features``,
``ml.market_state``) or anything that is fitted.
"""

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, sample_of, schema_of
from pipeline.resources import SnapshotsResource

GROUP = "features"


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    tags={"layer": "features"},
)
@at_boundary
def feature_panel(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Every registered feature of every symbol and session, known at the session's close."""
    from ml.feature import FEATURES, feature_plan

    files = snapshots.open()
    snapshot = files.current()
    panel = feature_plan(files.bars(snapshot).lazy()).collect()
    published = files.publish(files.folder(snapshot) / "feature_panel.parquet", panel)
    units = {name: FEATURES.get(name) for name in FEATURES.names()}
    meanings = {n: f"{f.unit}, looks back {f.lookback} sessions" for n, f in units.items()}
    return dg.MaterializeResult(
        metadata={
            "summary": f"{panel.width - 2} features on {panel.height:,} rows",
            "dagster/row_count": panel.height,
            "features": panel.width - 2,
            "path": dg.MetadataValue.path(published.path),
            "sha256": published.sha256,
            "snapshot": snapshot.snapshot,
            **schema_of(panel, meanings),
        }
    )


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    tags={"layer": "features"},
)
@at_boundary
def market_state(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Summarise the whole cross-section at each close; the regimes are fitted on it."""
    from ml.market_state import market_state as state_of

    files = snapshots.open()
    snapshot = files.current()
    state = state_of(files.bars(snapshot).lazy())
    published = files.publish(files.folder(snapshot) / "market_state.parquet", state)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{state.width - 1} columns over {state.height:,} sessions",
            "dagster/row_count": state.height,
            "path": dg.MetadataValue.path(published.path),
            "sha256": published.sha256,
            "snapshot": snapshot.snapshot,
            "latest": sample_of(state),
            **schema_of(state),
        }
    )
