"""What learns decision by decision, gone on with from the last state that was kept.

For: ``online_state``. Not for: the model (``ml.online``); nothing that is exported reads it.
"""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, picture, table_of, table_schema
from pipeline.resources import SnapshotsResource

if TYPE_CHECKING:
    from typing import Any

GROUP = "learning"
SCORE_COLUMNS = {
    "strategy": ("String", "name"),
    "date": ("Date", "the decision"),
    "judged_on": ("Date", "close at which its outcome was over, and it was learned from"),
    "ranking": ("Float64", "share of its material pairs of sets told in order, 0.5 is chance"),
    "ranking_accuracy": ("Float64", "running mean of ranking, half-life 26 decisions"),
    "regime_right": ("Boolean", "whether the regime that came was the likeliest told"),
    "regime_accuracy": ("Float64", "running mean of it"),
    "squared_error": ("Float64", "mean over sets, Sharpe per session squared"),
    "alarm": ("Boolean", "whether the drift detector spoke, for the worse"),
}


@dg.asset(
    deps=["backtest_corpus", "market_state"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "safetensors"},
    code_version="1",
    tags={"layer": "model"},
    metadata=table_schema(SCORE_COLUMNS),
)
@at_boundary
def online_state(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Online model of every strategy, taught up to the snapshot's last session."""
    import polars as pl

    from backtest.online_plots import prequential_plot
    from ml.online_course import gone_on

    files = snapshots.open()
    snapshot = files.current()
    work, told = files.workbench(snapshot), files.settings
    history, learner = work.history(), told.policy.with_learner("online").build()
    tables: dict[str, pl.DataFrame] = {}
    today: dict[str, dict[str, Any]] = {}
    for name in history.strategies:
        about = {"strategy": name, "book": told.book.kind, "cost_bps": told.costs.cost_bps}
        kept = [folder / "online" / name for folder in (work.folder, *work.earlier())]
        found, notes = gone_on(history.view(name), learner, kept, about=about)
        found.model.save(kept[0])
        tables[name], today[name] = found.scores(), found.today()
        for note in notes:
            context.log.info(f"{name}: a kept state is left: {note}")
        context.log.info(f"{name}: {found.new} states and outcomes more than the kept state")
    scores = pl.concat([t.select(pl.lit(n).alias("strategy"), pl.all()) for n, t in tables.items()])
    kept_scores = work.keep("online_scores", scores)
    work.keep_values("online", today)
    rows = [
        {
            "strategy": name,
            **one["scores"],
            "last alarm": (one["alarms"] or [None])[-1],
            "confidence": one["confidence"],
            "who speaks": one["speaker"],
        }
        for name, one in today.items()
    ]
    alarms = sum(len(one["alarms"]) for one in today.values())
    drawn = prequential_plot(tables, synthetic=snapshot.synthetic)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(rows)} strategies, {scores.height:,} decisions learned from, "
            f"{alarms} alarms",
            "dagster/row_count": scores.height,
            "scores": table_of(list(rows[0]), rows),
            "today": dg.MetadataValue.json(today),
            "prequential": picture(drawn, "Share told right over time, alarms marked"),
            "path": dg.MetadataValue.path(kept_scores.path),
            "snapshot": snapshot.snapshot,
        }
    )
