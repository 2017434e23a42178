"""What must hold of bars and sessions before they flow on.

For: rows accounted for, keys, the quarantine as a whole, empty sessions, history. Not for: the
rules of quality, family by family (``quality``).
"""

import dagster as dg

from pipeline.boundary import at_boundary, table_of
from pipeline.checks.severity import FEW, MANY, grade
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

DAYS_A_YEAR = 365.25


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
    files = snapshots.open()
    came, folded = files.raw().raw.height, files.current().folded
    good, bad = kept.count_bars(until=until), kept.quarantine(until=until).height
    said = f", {folded:,} finer than a session folded into them" if folded else ""
    return dg.AssetCheckResult(
        passed=came == good + bad + folded,
        description=f"{came:,} in, {good:,} out, {bad:,} quarantined{said}",
        metadata={"rows in": came, "rows out": good, "quarantined": bad, "folded": folded},
    )


@dg.asset_check(
    asset="raw_bars", blocking=True, description="The source answered for nearly every symbol."
)
@at_boundary
def symbols_were_answered(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Warn of symbols without an answer, forgotten, or not comparable; refuse too many lacking."""
    files = snapshots.open()
    told = files.raw_facts().get("collected")
    if told is None:
        return dg.AssetCheckResult(passed=True, description="the source hands over everything")
    told = {"apart": [], **told}  # an answer kept by an earlier version says nothing of it
    most = files.settings.feed.most_failed
    lacking = {**told["failed"], **dict.fromkeys(told["delisted"], "no longer known")}
    share = len(lacking) / max(told["symbols"], 1)
    verdict = f"refuses above {most:.1%}, feed.most_failed"
    if share > most:
        verdict += ": run again to ask for them alone"
    example = f"; first {min(lacking)}: {lacking[min(lacking)]}" if lacking else ""
    apart = told["apart"]
    # Members of a table may be long gone, which a note counts; who is named is wanted.
    unknown = [] if files.settings.data.members else told["unknown"]
    strange = f"; {len(unknown)} unknown to the source, first {unknown[0]}" if unknown else ""
    unseen = (
        f"; {len(apart)} have no session in common with what was known, first {apart[0]}: a"
        " restatement in between is not seen"
        if apart
        else ""
    )
    return dg.AssetCheckResult(
        passed=not lacking and not apart and not unknown,
        severity=grade(share, most=most),
        description=f"{len(lacking)} of {told['symbols']} symbols without an answer, {share:.1%} "
        f"({verdict}){example}{strange}{unseen}",
        metadata={
            "no answer": table_of(
                ("symbol", "why"), [{"symbol": s, "why": lacking[s]} for s in sorted(lacking)]
            ),
            "pending": dg.MetadataValue.json(told["pending"]),
            "apart": dg.MetadataValue.json(apart),
            "share": share,
        },
    )


@dg.asset_check(asset="bars", blocking=True, description="One bar per symbol and session.")
@at_boundary
def keys_are_unique(
    context: dg.AssetCheckExecutionContext, snapshots: SnapshotsResource
) -> dg.AssetCheckResult:
    """Look for a symbol and session that stand twice in the snapshot."""
    files = snapshots.open()
    keys = files.bars(files.current(), columns=("symbol", "date"))
    twice = int(keys.is_duplicated().sum())
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
    rows, reasons = snapshot.rows + snapshot.quarantined, snapshot.reasons or {}
    share = snapshot.quarantined / max(rows, 1)
    worst = sorted(reasons, key=lambda rule: (-reasons[rule], rule))
    mostly = f"; mostly {worst[0]} ({reasons[worst[0]]:,})" if worst else ""
    return dg.AssetCheckResult(
        passed=share <= FEW,
        severity=grade(share),
        description=f"{snapshot.quarantined:,} of {rows:,} rows are quarantined, {share:.3%} "
        f"(warns above {FEW:.0%}, refuses above {MANY:.0%}){mostly}",
        metadata={
            "share": share,
            "by rule": table_of(
                ("rule", "rows"), [{"rule": rule, "rows": reasons[rule]} for rule in worst]
            ),
        },
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
    present = set(files.bars(snapshot, columns=("date",))["date"].unique())
    expected = store.open(snapshot.calendar).sessions()["date"].to_list()
    span = [day for day in expected if snapshot.first <= str(day) <= snapshot.last]
    absent = [day for day in span if day not in present]
    share = len(absent) / max(len(span), 1)
    return dg.AssetCheckResult(
        passed=not absent,
        severity=grade(share, most=0.05),
        description=f"{len(absent)} of {len(span)} sessions of {snapshot.calendar} have no bar"
        + (f", first {absent[0]}" if absent else "")
        + " (data.calendar names another exchange, or data = the days that are there)",
        metadata={"absent": dg.MetadataValue.json([str(day) for day in absent[:20]])},
    )


@dg.asset_check(asset="bars", description="The panel reaches far enough back.")
@at_boundary
def history_is_long(
    context: dg.AssetCheckExecutionContext,
    settings: SettingsResource,
    snapshots: SnapshotsResource,
) -> dg.AssetCheckResult:
    """Warn of a panel shorter than the profile wants; name the symbols that alone are shorter."""
    import polars as pl

    files, wanted = snapshots.open(), settings.read().checks.years
    bars = files.bars(files.current(), columns=("symbol", "date"))
    spans = (
        bars.group_by("symbol").agg(pl.col("date").min()).sort("date", "symbol", descending=True)
    )
    years = (bars["date"].max() - spans["date"]).dt.total_days() / DAYS_A_YEAR
    shorter = spans.with_columns(years=years).filter(pl.col("years") < wanted)
    reached = float(years.max())
    return dg.AssetCheckResult(
        passed=reached >= wanted,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{reached:.1f} years back from the last session; {shorter.height} of "
        f"{spans.height} symbols have less than checks.years = {wanted:g}",
        metadata={
            "years": reached,
            "shorter": dg.MetadataValue.json(
                {symbol: round(back, 2) for symbol, _, back in shorter.head(20).iter_rows()}
            ),
        },
    )
