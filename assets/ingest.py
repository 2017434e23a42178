"""Market data: from a provider's raw bars to judged bars in the store.

For: ``raw_bars``, ``bars`` with its ``universe``, and ``sessions``. Not for: rules that judge
bars (``backtest.market``) or how rows are kept (``pipeline.store``).
"""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, sample_of, schema_of, table_schema
from pipeline.partitions import add_sessions, session_of
from pipeline.resources import (
    ProviderResource,
    SettingsResource,
    SnapshotsResource,
    StoreResource,
)

if TYPE_CHECKING:
    import polars as pl

    from pipeline.snapshots import Snapshot
    from pipeline.store import RowAccount

GROUP = "ingest"
BAR_COLUMNS = {
    "symbol": ("String", "with date the key"),
    "date": ("Date", "session; the bar is known at its close"),
    "open": ("Float64", "adjusted price"),
    "high": ("Float64", "adjusted price"),
    "low": ("Float64", "adjusted price"),
    "close": ("Float64", "adjusted price"),
    "volume": ("Float64", "shares; missing where unknown"),
    "close_raw": ("Float64", "close as traded"),
    "currency": ("String", "of the prices"),
}
SYMBOL_COLUMNS = {
    "symbol": ("String", "key"),
    "first": ("Date", "first session"),
    "sector": ("String", "label of the source"),
    "region": ("String", "label of the source"),
    "asset_class": ("String", "label of the source"),
    "exchange": ("String", "names the calendar"),
    "source": ("String", "where the bars came from"),
    "synthetic": ("Boolean", "whether the market is made up"),
}
SESSION_COLUMNS = {
    "calendar": ("String", "exchange"),
    "date": ("Date", "session that must exist"),
    "close_at": ("Datetime(UTC)", "its close; early on half days"),
}


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    metadata=table_schema({n: BAR_COLUMNS[n] for n in list(BAR_COLUMNS)[:7]}),
    tags={"layer": "raw"},
)
@at_boundary
def raw_bars(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    provider: ProviderResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Bars as the provider gave them, neither sorted nor judged."""
    from pipeline.provider import keep_truth

    universe = settings.read().universe
    fetched = provider.fetch(settings.until())
    symbols = fetched.raw["symbol"].drop_nulls().unique()
    store.open().admit(symbols, place=fetched.place or fetched.source)
    keep_truth(settings.open_home(), fetched, universe=universe)
    published = snapshots.open().keep_raw(fetched)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{fetched.raw.height:,} rows from {fetched.source}",
            "dagster/row_count": fetched.raw.height,
            "synthetic": fetched.synthetic,
            "source": fetched.source,
            "path": dg.MetadataValue.path(published.path),
            "sha256": published.sha256,
            **schema_of(fetched.raw),
        }
    )


@dg.multi_asset(
    name="judged_bars",
    specs=[
        dg.AssetSpec(
            "bars",
            deps=["raw_bars"],
            group_name=GROUP,
            owners=OWNERS,
            kinds={"duckdb", "parquet"},
            code_version="1",
            description="Bars that keep every rule, adjusted, in the store and in a snapshot.",
            metadata={**table_schema(BAR_COLUMNS), "dagster/table_name": "bars"},
            tags={"layer": "clean"},
        ),
        dg.AssetSpec(
            "universe",
            deps=["raw_bars"],
            group_name=GROUP,
            owners=OWNERS,
            kinds={"duckdb"},
            code_version="1",
            description="Symbols with their labels and first sessions.",
            metadata={
                **table_schema(SYMBOL_COLUMNS, unique=True),
                "dagster/table_name": "universe",
            },
            tags={"layer": "clean"},
        ),
    ],
)
@at_boundary
def judged_bars(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> tuple[dg.MaterializeResult, dg.MaterializeResult]:
    """Judge the raw bars, keep the good ones, quarantine the others by the rule they broke."""
    from backtest.market.bars import prepare

    asked, until, files = settings.read().data, settings.until(), snapshots.open()
    fetched = files.raw()
    prepared = prepare(
        fetched.raw,
        calendar=asked.calendar,
        min_bars=asked.min_bars,
        quality=settings.read().quality,
    )
    kept = store.open()
    account = kept.write_bars(
        prepared,
        run_id=context.run.run_id,
        source=fetched.source,
        until=until,
        synthetic=fetched.synthetic,
        place=fetched.place,
    )
    limits = {"until": until, "as_of": settings.known_by()}
    snapshot = files.take(
        fetched,
        bars=kept.read_bars(**limits, symbols=asked.symbols),
        quarantined=kept.quarantine(**limits),
        findings=prepared.findings,
        missing=prepared.missing.height,
        notes=prepared.notes,
    )
    about = {**_about_bars(snapshot, account), "snapshots removed": len(files.retire(snapshot))}
    return (
        dg.MaterializeResult(asset_key="bars", metadata=about),
        dg.MaterializeResult(asset_key="universe", metadata=_about_symbols(kept.symbols())),
    )


def _about_bars(snapshot: "Snapshot", account: "RowAccount") -> dict[str, object]:
    """Metadata of the bars: what came in, what went out, and why the rest did not."""
    left = f"{snapshot.quarantined} quarantined" if snapshot.quarantined else "none quarantined"
    return {
        "summary": f"{snapshot.rows:,} bars of {snapshot.symbols} symbols, {snapshot.first} to "
        f"{snapshot.last}, {left}",
        "dagster/row_count": snapshot.rows,
        "rows in": account.rows_in,
        "new": account.new,
        "restated": account.restated,
        "unchanged": account.unchanged,
        "withdrawn": account.withdrawn,
        "quarantined by rule": dg.MetadataValue.json(snapshot.reasons or {}),
        "missing sessions": snapshot.missing,
        "notes": dg.MetadataValue.json(list(snapshot.notes)),
        "snapshot": snapshot.snapshot,
        "synthetic": snapshot.synthetic,
        "calendar": snapshot.calendar,
    }


def _about_symbols(symbols: "pl.DataFrame") -> dict[str, object]:
    """Metadata of the universe."""
    sectors = symbols["sector"].drop_nulls().n_unique()
    return {
        "summary": f"{symbols.height} symbols in {sectors} sectors",
        "dagster/row_count": symbols.height,
        "sample": sample_of(symbols),
    }


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    code_version="1",
    metadata={**table_schema(SESSION_COLUMNS), "dagster/table_name": "sessions"},
    tags={"layer": "clean"},
)
@at_boundary
def sessions(
    context: dg.AssetExecutionContext, store: StoreResource, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Sessions that must exist, by the exchange's calendar; decided ones are the partitions."""
    from backtest.market.calendar import DATA

    files = snapshots.open()
    snapshot = files.current()
    kept = store.open(snapshot.calendar)
    span = session_of(snapshot.first), session_of(snapshot.last)
    present = files.bars(snapshot)["date"].unique().sort()
    days = present if snapshot.calendar == DATA else None
    kept.write_sessions(*span, days=days, run_id=context.run.run_id)
    expected = kept.sessions()
    decided = set(present[files.settings.policy.train :])
    added = add_sessions(context.instance, [day for day in expected["date"] if day in decided])
    return dg.MaterializeResult(
        metadata={
            "summary": f"{expected.height:,} sessions of {snapshot.calendar} must exist",
            "dagster/row_count": expected.height,
            "first": snapshot.first,
            "last": snapshot.last,
            "new partitions": added,
        }
    )
