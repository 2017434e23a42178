"""Market data: from a provider's raw bars to judged bars in the store.

For: ``raw_bars``, ``bars`` with its ``universe``, and ``sessions``. Not for: rules that judge
bars (``backtest.market``) or how rows are kept (``pipeline.store``).
"""

from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, every_quarter, sample_of, schema_of, table_schema
from pipeline.partitions import add_sessions, session_of
from pipeline.resources import (
    ProviderResource,
    SettingsResource,
    SnapshotsResource,
    StoreResource,
)

if TYPE_CHECKING:
    import polars as pl

    from pipeline.snapshots import Snapshot, Snapshots
    from pipeline.store import RowAccount, Store

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
PRICE_AS_GIVEN = ("Float64", "price as the source gave it")
RAW_COLUMNS = {
    **{name: BAR_COLUMNS[name] for name in ("symbol", "date")},
    **dict.fromkeys(("open", "high", "low", "close"), PRICE_AS_GIVEN),
    "volume": BAR_COLUMNS["volume"],
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
    metadata=table_schema(RAW_COLUMNS),
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

    told = settings.read()
    told.data.check_tables()
    kept = store.begin(context.run.run_id, tell=context.log.info)
    if settings.replays(kept):
        return dg.MaterializeResult(metadata={"summary": f"nothing asked: as of {settings.as_of}"})
    fetched = provider.fetch(
        settings.until(),
        store=kept,
        run_id=context.run.run_id,
        report=every_quarter(context.log.info),
    )
    symbols = fetched.raw["symbol"].drop_nulls().unique()
    kept.admit(symbols, place=fetched.place or fetched.source)
    keep_truth(settings.open_home(), fetched, universe=told.universe)
    published = snapshots.open().keep_raw(fetched)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{fetched.raw.height:,} rows from {fetched.source}",
            "dagster/row_count": fetched.raw.height,
            "synthetic": fetched.synthetic,
            "source": fetched.source,
            "path": dg.MetadataValue.path(published.path),
            "sha256": published.sha256,
            **({"collected": dg.MetadataValue.json(told)} if (told := fetched.collected) else {}),
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
    from backtest.market.calendar import missing_sessions

    files, kept = snapshots.open(), store.open()
    account, facts = None, {}
    if not settings.replays(kept):
        account, facts = _judge(files, kept, run_id=context.run.run_id, until=settings.until())
    limits = {"until": settings.until(), "as_of": settings.known_by()}
    asked = settings.read().data
    bars, quarantined = kept.read_bars(**limits, symbols=asked.symbols), kept.quarantine(**limits)
    if account is None:
        absent = missing_sessions(bars, asked.calendar)
        facts = {
            "findings": _known_findings(quarantined, absent),
            "missing": absent.height,
            "folded": 0,
            "notes": [f"as of {settings.as_of}, as this home kept it then; flags are not kept"],
        }
    snapshot = files.take(files.raw_facts(), bars=bars, quarantined=quarantined, **facts)
    about = {**_about_bars(snapshot, account), "snapshots removed": len(files.retire(snapshot))}
    return (
        dg.MaterializeResult(asset_key="bars", metadata=about),
        dg.MaterializeResult(asset_key="universe", metadata=_about_symbols(kept.symbols())),
    )


def _judge(
    files: "Snapshots", kept: "Store", *, run_id: str, until: date
) -> tuple["RowAccount", dict[str, Any]]:
    """Judge what the provider answered last, and write it; what became of its rows, and facts.

    Neither the raw nor the judged rows outlive this: a large market need not fit twice.
    """
    from backtest.market.bars import prepare
    from backtest.market.universe import labelled

    came, told = files.raw_facts(), files.settings
    raw, members = files.raw().raw, told.data.read_members()
    prepared = prepare(
        raw if members is None else labelled(raw, members),
        calendar=told.data.calendar,
        min_bars=told.data.min_bars,
        quality=told.quality,
    )
    account = kept.write_bars(
        prepared,
        run_id=run_id,
        source=came["source"],
        until=until,
        synthetic=came["synthetic"],
        place=came["place"],
    )
    facts = {"findings": prepared.findings, "missing": prepared.missing.height}
    return account, {**facts, "notes": prepared.notes, "folded": prepared.folded}


def _known_findings(quarantined: "pl.DataFrame", absent: "pl.DataFrame") -> "pl.DataFrame":
    """Findings that a home keeps: rows held back, and sessions without a bar."""
    import polars as pl

    from backtest.market.quality import findings_of

    return pl.concat(
        [
            findings_of(quarantined, verdict="quarantine"),
            findings_of(absent, rule="session_missing", verdict="flag"),
        ]
    )


def _about_bars(snapshot: "Snapshot", account: "RowAccount | None") -> dict[str, object]:
    """Metadata of the bars: what came in, what went out, and why the rest did not."""
    counts = ("new", "restated", "unchanged", "withdrawn")
    rows: dict[str, object] = {}
    if account is not None:
        rows = {"rows in": account.rows_in, **{n: getattr(account, n) for n in counts}}
    left = f"{snapshot.quarantined} quarantined" if snapshot.quarantined else "none quarantined"
    return {
        "summary": f"{snapshot.rows:,} bars of {snapshot.symbols} symbols, {snapshot.first} to "
        f"{snapshot.last}, {left}",
        "dagster/row_count": snapshot.rows,
        **rows,
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
    present = files.bars(snapshot, columns=("date",))["date"].unique().sort()
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
