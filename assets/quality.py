"""The quality of the bars as an asset: the page of what was found.

For: ``quality_report``. Not for: judging (``judged_bars``), or stopping what is bad (the checks).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, bar_of, picture, table_of, table_schema
from pipeline.partitions import session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

if TYPE_CHECKING:
    import polars as pl

GROUP = "ingest"
FINDING_COLUMNS = {
    "symbol": ("String", "whose bar"),
    "date": ("Date", "session"),
    "rule": ("String", "name of the rule"),
    "severity": ("String", "quarantine: taken out; flag: stays"),
    "detail": ("String", "what broke the rule"),
    "value": ("Float64", "size of the defect, in the unit of the rule"),
}


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"matplotlib", "markdown"},
    code_version="1",
    metadata=table_schema(FINDING_COLUMNS),
    tags={"layer": "clean"},
)
@at_boundary
def quality_report(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Write what was found in the bars as a page: totals, worst symbols, worst findings."""
    from backtest.pages import to_html, to_markdown
    from backtest.quality_page import (
        QualityStory,
        quality_blocks,
        quality_pictures,
        quality_summary,
    )
    from pipeline.publish import publish_bytes, publish_frame

    files = snapshots.open()
    snapshot = files.current()
    limits = {"until": session_of(snapshot.last), "as_of": settings.known_by()}
    findings = files.findings(snapshot)
    story = QualityStory(
        title=f"{snapshot.universe}, session {snapshot.last}",
        bars=files.bars(snapshot),
        findings=findings,
        quarantined=store.open(snapshot.calendar).quarantine(**limits),
        rows_in=snapshot.rows + snapshot.quarantined,
        config=files.settings.quality,
        notes=snapshot.notes,
        synthetic=snapshot.synthetic,
    )
    told, drawn = quality_summary(story), quality_pictures(story)
    blocks = quality_blocks(told, drawn)
    folder = files.home.reports / snapshot.universe / snapshot.last
    for one in drawn:
        publish_bytes(folder / one.name, one.png)
    publish_frame(folder / "findings.parquet", findings)
    text = json.dumps(told, indent=2, sort_keys=True, allow_nan=False) + "\n"
    publish_bytes(folder / "quality.json", text.encode())
    publish_bytes(folder / "quality.md", to_markdown(blocks).encode())
    title = f"Data quality: {story.title}"
    page = publish_bytes(folder / "quality.html", to_html(blocks, title=title).encode())
    return dg.MaterializeResult(
        metadata={
            "summary": f"{told['quarantined']:,} rows quarantined, {told['flags']:,} flagged, "
            f"{told['missing']:,} sessions without a bar",
            "dagster/row_count": findings.height,
            "page": dg.MetadataValue.path(page.path),
            "rows in": told["rows_in"],
            "rows out": told["rows_out"],
            "what was found": _found(told["rules"]),
            "quarantine": _held(findings),
            "worst symbols": _symbols(told["worst_symbols"]),
            "worst findings": _worst(told["worst_findings"]),
            **{f"{Path(one.name).stem} plot": picture(one.png, one.caption) for one in drawn},
            "snapshot": snapshot.snapshot,
            "synthetic": snapshot.synthetic,
        }
    )


def _found(rules: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """What each rule found, most first, and what the owner of the bars can do about it."""
    from backtest.market.quality import RULES

    said = [
        {**one, "verdict": one["severity"], "what to do": RULES[one["rule"]].fix} for one in rules
    ]
    said.sort(key=lambda one: (one["verdict"] != "quarantine", -one["findings"]))
    return table_of(("rule", "verdict", "findings", "what to do"), said)


def _held(findings: "pl.DataFrame") -> dg.TableMetadataValue:
    """Rows that were taken out: by rule how many, and the newest."""
    import polars as pl

    out = findings.filter(pl.col("severity") == "quarantine")
    newest = out.sort("date", "symbol", nulls_last=False).group_by("rule").last()
    counted = out.group_by("rule").len("rows").join(newest, on="rule")
    rows = counted.sort("rows", "rule", descending=[True, False]).rows(named=True)
    return table_of(
        ("rule", "rows", "newest", "detail"), [{**r, "newest": bar_of(r)} for r in rows]
    )


def _worst(findings: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """Single findings, largest first."""
    rows = [{**one, "bar": bar_of(one), "verdict": one["severity"]} for one in findings]
    return table_of(("bar", "rule", "verdict", "detail"), rows)


def _symbols(symbols: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """Symbols of which the largest share was found."""
    names = ("symbol", "mostly", "rows", "quarantined", "flags", "missing", "share found")
    return table_of(names, [{**one, "share found": f"{one['share']:.2%}"} for one in symbols])
