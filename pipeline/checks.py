"""The promises: every asset check on one page.

For: what must hold before an asset's content may flow on. Not for: the rules that judge single
bars (``backtest.market.quality``).
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import at_boundary
from pipeline.partitions import SESSIONS, session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

if TYPE_CHECKING:
    from ml.corpus import Corpus
    from ml.export.document import ParameterDocument
    from ml.export.packing import Step

ROUNDING = 1e-9
FEW = 0.01
"""Share of rows or sessions up to which a defect is a warning, not an error."""
MANY = 0.50


def grade(share: float, *, most: float = MANY) -> dg.AssetCheckSeverity:
    """Warn of few, refuse many."""
    return dg.AssetCheckSeverity.ERROR if share > most else dg.AssetCheckSeverity.WARN


@dg.asset_check(asset="bars", blocking=True, description="Rows in = rows out + rows with a reason.")
@at_boundary
def rows_are_accounted_for(
    context: dg.AssetCheckExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.AssetCheckResult:
    """Count again in the store itself what the provider gave."""
    until, kept = settings.until(), store.open()
    if settings.replays(kept):
        return dg.AssetCheckResult(passed=True, description="a replay: no rows came in")
    came = snapshots.open().raw().raw.height
    good, bad = kept.read_bars(until=until).height, kept.quarantine(until=until).height
    return dg.AssetCheckResult(
        passed=came == good + bad,
        description=f"{came:,} in, {good:,} out, {bad:,} quarantined",
        metadata={"rows in": came, "rows out": good, "quarantined": bad},
    )


@dg.asset_check(asset="bars", blocking=True, description="One bar per symbol and session.")
@at_boundary
def keys_are_unique(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Look for a symbol and session that stand twice in the snapshot."""
    files = snapshots.open()
    bars = files.bars(files.current())
    twice = int(bars.select("symbol", "date").is_duplicated().sum())
    return dg.AssetCheckResult(
        passed=twice == 0,
        description=f"{twice} rows share their symbol and session",
        metadata={"rows": twice},
    )


@dg.asset_check(asset="bars", blocking=True, description="Few rows break a rule.")
@at_boundary
def quarantine_is_small(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Warn when more than 1 % of the rows are quarantined, refuse more than half."""
    snapshot = snapshots.open().current()
    share = snapshot.quarantined / max(snapshot.rows + snapshot.quarantined, 1)
    return dg.AssetCheckResult(
        passed=share <= FEW,
        severity=grade(share),
        description=f"{share:.2%} of the rows are quarantined",
        metadata={"share": share, "by rule": dg.MetadataValue.json(snapshot.reasons or {})},
    )


@dg.asset_check(
    asset="sessions", blocking=True, description="Every session of the calendar has bars."
)
@at_boundary
def every_session_has_bars(
    context: dg.AssetCheckExecutionContext, store: StoreResource, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Warn of a session without any bar; refuse when more than 5 % of them are empty."""
    files = snapshots.open()
    snapshot = files.current()
    present = set(files.bars(snapshot)["date"].unique())
    expected = store.open(snapshot.calendar).sessions()["date"].to_list()
    span = [day for day in expected if snapshot.first <= str(day) <= snapshot.last]
    absent = [day for day in span if day not in present]
    share = len(absent) / max(len(span), 1)
    return dg.AssetCheckResult(
        passed=not absent,
        severity=grade(share, most=0.05),
        description=f"{len(absent)} of {len(span)} sessions of {snapshot.calendar} have no bar "
        "(data.calendar names another exchange, or data = the days that are there)",
        metadata={"absent": dg.MetadataValue.json([str(day) for day in absent[:20]])},
    )


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
    shares = [pl.col(n).is_between(0.0, 1.0) for n in (*raw, "p_volatile", "p_heavy")]
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


@dg.asset_check(
    asset="regime_parameters",
    blocking=True,
    description="The document is whole, fits its schema, and says what the fold decided.",
)
@at_boundary
def document_is_valid(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Read the document back: bytes, hash, JSON Schema, and the walk-forward's own mixes."""
    from pipeline.exports import read_document

    files, wrong = snapshots.open(), []
    work = files.workbench(files.current())
    days = sessions_of_run(context)
    for day in days:
        document = read_document(files.home, day)
        wrong += schema_errors(document)
        wrong += disagreements(document, work.steps(document.session))
    return dg.AssetCheckResult(
        passed=not wrong,
        description=wrong[0] if wrong else f"{len(days)} documents say what the fold decided",
        metadata={"documents": len(days), "wrong": dg.MetadataValue.json(wrong[:20])},
    )


def sessions_of_run(context: dg.AssetCheckExecutionContext) -> list[date | None]:
    """Sessions that the run exports; the latest document, if the check runs on its own."""
    told = context.run.tags
    if "dagster/partition" in told:
        return [session_of(told["dagster/partition"])]
    ends = [told.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")]
    if None in ends:
        return [None]
    known = context.instance.get_dynamic_partitions(SESSIONS.name or "")
    return [session_of(key) for key in known[known.index(ends[0]) : known.index(ends[1]) + 1]]


def schema_errors(document: "ParameterDocument") -> list[str]:
    """Say where a document does not fit its JSON Schema."""
    import jsonschema

    from ml.export.document import document_schema, plain

    found = jsonschema.Draft202012Validator(document_schema()).iter_errors(plain(document))
    return [f"{document.session} {error.json_path}: {error.message}" for error in found]


def disagreements(
    document: "ParameterDocument", steps: "Mapping[str, tuple[Corpus, Step]]"
) -> list[str]:
    """Say where a document does not say what the fold decided at its session."""
    from ml.export.records import members_of

    wrong = []
    for name, (corpus, step) in steps.items():
        entry = document.strategies[name]
        told = {
            "mix": (entry.mix, members_of(step.exported.weights, corpus.grid)),
            "target": (entry.target.mix, step.decision.mix),
        }
        for part, (said, meant) in told.items():
            pairs = [(m.weight, m.parameters) for m in said]
            if pairs != [(m.weight, m.parameters) for m in meant]:
                wrong.append(f"{document.session} {name}: {part} is not the walk-forward's")
        moved = entry.previous is not None and entry.previous.mix != entry.mix
        action = "update" if moved else step.exported.action
        if entry.action != action:
            wrong.append(f"{document.session} {name}: {entry.action} for {action}")
    return wrong


CHECKS = (
    rows_are_accounted_for,
    keys_are_unique,
    quarantine_is_small,
    every_session_has_bars,
    probabilities_sum_to_one,
    regimes_are_causal,
    nothing_sees_the_future,
    mixes_are_sound,
    document_is_valid,
)
