"""What must hold of regimes and of the walk-forward.

For: probabilities, causality, mixes. Not for: the document that leaves the house (``export``).
"""

import dagster as dg

from pipeline.boundary import at_boundary
from pipeline.resources import SnapshotsResource

ROUNDING = 1e-9


@dg.asset_check(
    asset="regime_labels", blocking=True, description="Bull, sideways and bear sum to 1."
)
@at_boundary
def probabilities_sum_to_one(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Look for published probabilities outside [0, 1], or whose sums are not 1."""
    import polars as pl

    files = snapshots.open()
    labels = files.workbench(files.current()).frame("regimes").drop_nulls("regime")
    raw = [n for n in labels.columns if n.removeprefix("state_").isdigit()]
    trend = pl.sum_horizontal("p_bull", "p_sideways", "p_bear")
    off = pl.max_horizontal((trend - 1.0).abs(), (pl.sum_horizontal(raw) - 1.0).abs())
    words = [n for n in labels.columns if n.startswith("p_")]
    shares = [pl.col(n).is_between(0.0, 1.0) for n in (*raw, *words)]
    bad = labels.filter((off > ROUNDING) | ~pl.all_horizontal(shares)).height
    return dg.AssetCheckResult(
        passed=bad == 0,
        description=f"{bad} of {labels.height} sessions are off by more than {ROUNDING}",
        metadata={"sessions": labels.height, "bad": bad},
    )


@dg.asset_check(
    asset="regime_labels", blocking=True, description="History cut short tells the same."
)
@at_boundary
def regimes_are_causal(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Fit anew on history that ends at a few cuts and compare what was published up to there."""
    import dataclasses

    files = snapshots.open()
    work = files.workbench(files.current())
    labels, whole = work.frame("regimes"), work.regimes()
    first = work.files.settings.policy.train
    later = first + whole.refit + whole.refit // 3
    cuts = [cut for cut in (first + 1, later) if cut <= whole.sessions]
    differ = []
    for cut in cuts:
        parts = {"state": whole.state[:cut], "dates": whole.dates[:cut], "fits": {}}
        alone = dataclasses.replace(whole, **parts).published()
        shared = [name for name in alone.columns if name in labels.columns]
        if not alone.select(shared).equals(labels.head(cut).select(shared)):
            differ.append(str(whole.dates[cut - 1]))
    return dg.AssetCheckResult(
        passed=not differ,
        description=f"{len(differ)} of {len(cuts)} cuts tell another story of the past",
        metadata={"cuts": len(cuts), "differ": dg.MetadataValue.json(differ)},
    )


@dg.asset_check(
    asset="walk_forward", blocking=True, description="No part of the running code sees the future."
)
@at_boundary
def nothing_sees_the_future(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Cut the future off and replace it by noise for every part, once for each version of it."""
    from pipeline.proven import leak_findings

    found = leak_findings(snapshots.open().home.proofs)
    guilty = [one for one in found if one["guilty"]]
    parts = {(one["kind"], one["name"]) for one in found}
    bad = sorted({f"{one['kind']} {one['name']} ({one['detector']})" for one in guilty})
    return dg.AssetCheckResult(
        passed=bool(parts) and not guilty,
        description=f"{len(bad)} of {len(parts)} parts say another past with another future"
        + "".join(f"; {name}" for name in bad[:5]),
        metadata={
            "parts": len(parts),
            "cuts": max((one["cuts"] for one in found), default=0),
            "guilty": dg.MetadataValue.json(bad),
        },
    )


@dg.asset_check(
    asset="walk_forward", blocking=True, description="Every mix has weights that can be run."
)
@at_boundary
def mixes_are_sound(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Look for a mix of more than 16 sets or more than the whole, and for a decision missing."""
    import polars as pl

    files = snapshots.open()
    work = files.workbench(files.current())
    decisions = work.frame("decisions")
    weights = pl.col("mix").str.json_decode(pl.List(pl.Struct({"weight": pl.Float64})))
    each = weights.list.eval(pl.element().struct.field("weight"))
    unsound = (each.list.len() > 16) | (each.list.sum() > 1.0 + ROUNDING) | (each.list.min() < 0)
    bad = decisions.filter(unsound).height
    twice = decisions.select("date", "strategy").is_duplicated().sum()
    lacking = decisions["date"].n_unique() * decisions["strategy"].n_unique() - decisions.height
    return dg.AssetCheckResult(
        passed=bad == 0 and twice == 0 and lacking == 0,
        description=f"{bad} unsound mixes, {twice} decisions twice, {lacking} missing",
        metadata={"decisions": decisions.height},
    )
