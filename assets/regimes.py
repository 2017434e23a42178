"""Regimes: every fit of the schedule, and what each close was told.

For: ``regime_model`` and ``regime_labels``. Not for: the models (``ml.regimes``) or the schedule
(``ml.regime_track``), which walk-forward and export share.
"""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, picture, schema_of, table_of
from pipeline.partitions import session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

if TYPE_CHECKING:
    import polars as pl

    from pipeline.snapshots import Snapshot

GROUP = "regimes"
MEANINGS = {
    "date": "session",
    "regime": "name of the likeliest state",
    "p_bull": "probability; p_bull + p_sideways + p_bear = 1",
    "p_sideways": "probability",
    "p_bear": "probability",
    "p_volatile": "probability",
    "p_heavy": "probability of heavy volume",
    "state": "the likeliest raw state",
    "p_correlated": "probability that symbols move together",
}


@dg.asset(
    deps=["market_state"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "safetensors"},
    code_version="1",
    tags={"layer": "model"},
)
@at_boundary
def regime_model(
    context: dg.AssetExecutionContext, settings: SettingsResource, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Fit the regime model at every refit of the schedule, each on the past alone."""
    files, policy = snapshots.open(), settings.read().policy
    snapshot = files.current()
    work = files.workbench(snapshot)
    lane = work.regimes(fits={})
    lane.fit_at(lane.sessions - 1)
    published = work.keep_fits(lane)
    last = lane.fits[max(lane.fits)]
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(lane.fits)} fits of {policy.regime_model}, "
            f"now {len(last.names)} states: {', '.join(last.names)}",
            "model": policy.regime_model,
            "fits": len(lane.fits),
            "states": dg.MetadataValue.json(list(last.names)),
            "path": dg.MetadataValue.path(published.path),
            "sha256": published.sha256,
            "snapshot": snapshot.snapshot,
        }
    )


@dg.asset(
    deps=["regime_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    code_version="1",
    tags={"layer": "model"},
    metadata={"dagster/table_name": "regimes"},
)
@at_boundary
def regime_labels(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Publish what each close was told: filtered probabilities of the fit in force."""
    from ml.regime_report import REPORT_COLUMNS, regime_summary, regime_table

    files, policy = snapshots.open(), settings.read().policy
    snapshot = files.current()
    work = files.workbench(snapshot)
    labels = work.regimes().published()
    kept = work.keep("regimes", labels)
    store.open(snapshot.calendar).write_regimes(
        labels.drop_nulls("regime"),
        model=policy.regime_model,
        run_id=context.run.run_id,
        until=session_of(snapshot.last),
    )
    latest, told = labels.row(-1, named=True), regime_summary(labels)
    return dg.MaterializeResult(
        metadata={
            "summary": f"today {latest['regime']}, over {labels.height:,} sessions",
            "dagster/row_count": labels.height,
            "today": str(latest["regime"]),
            "per regime": table_of(tuple(REPORT_COLUMNS), regime_table(labels).to_dicts()),
            "switches": told["switches"],
            "mean spell, sessions": told["mean_spell"],
            "entropy, of 1": told["entropy"],
            "path": dg.MetadataValue.path(kept.path),
            "snapshot": snapshot.snapshot,
            "regimes over price": _picture(files.bars(snapshot), snapshot, labels),
            **schema_of(labels, MEANINGS),
        }
    )


def _picture(
    bars: "pl.DataFrame", snapshot: "Snapshot", labels: "pl.DataFrame"
) -> dg.MarkdownMetadataValue:
    """Regimes over the equal-weight market."""
    from backtest.plots import regime_plot
    from backtest.report import price_index

    prices = price_index(bars)
    return picture(regime_plot(prices, labels, synthetic=snapshot.synthetic), "regimes over price")
