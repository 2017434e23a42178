"""The corpus of past results: every candidate set swept once over all history.

For: ``backtest_corpus``. Not for: choosing; the sweep is causal (a set's return on a day depends on
bars up to that day only), so every past decision may read its columns.
"""

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, table_schema
from pipeline.resources import SettingsResource, SnapshotsResource

GROUP = "search"


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "parquet"},
    code_version="1",
    tags={"layer": "research"},
    metadata=table_schema(
        {
            "date": ("Date", "session"),
            "p0": ("Float64", "net book return of set 0, decimal; p1.. follow"),
        }
    ),
)
@at_boundary
def backtest_corpus(
    context: dg.AssetExecutionContext, settings: SettingsResource, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Net book return of every candidate set of every strategy on every session."""
    from ml.corpus import corpus

    files = snapshots.open()
    snapshot = files.current()
    work, panel, sets = files.workbench(snapshot), files.panel(snapshot), {}
    told, spec = settings.read(), work.spec()
    for name in told.strategies.names:
        swept = corpus(panel, name, spec, progress=None)
        sets[name] = work.keep_corpus(name, panel.dates, swept)
        context.log.info(f"{name}: {sets[name]} sets on {panel.shape[0]} symbols")
    return dg.MaterializeResult(
        metadata={
            "summary": f"{sum(sets.values())} sets of {len(sets)} strategies, "
            f"{panel.shape[1]:,} sessions",
            "dagster/row_count": panel.shape[1] * len(sets),
            "sets": dg.MetadataValue.json(sets),
            "book": told.book.kind,
            "cost_bps": told.costs.cost_bps,
            "snapshot": snapshot.snapshot,
            "path": dg.MetadataValue.path(work.folder),
        }
    )
