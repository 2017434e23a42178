"""The quality of the bars as an asset: the page of what was found.

For: ``quality_report``. Not for: judging (``judged_bars``), or stopping what is bad (the checks).
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, picture, table_schema
from pipeline.partitions import session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

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
            "by rule": dg.MetadataValue.json(
                {f"{r['rule']} ({r['severity']})": r["findings"] for r in told["rules"]}
            ),
            "worst symbols": _table(told["worst_symbols"]),
            "worst findings": _table(told["worst_findings"]),
            **{Path(one.name).stem: picture(one.png, one.caption) for one in drawn},
            "snapshot": snapshot.snapshot,
            "synthetic": snapshot.synthetic,
        }
    )


def _table(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """Rows as a table of an asset's page."""
    names = list(rows[0]) if rows else ["symbol"]
    return dg.MetadataValue.table(
        [dg.TableRecord({n: _cell(row[n]) for n in names}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name) for name in names]),
    )


def _cell(value: Any) -> str | int:
    """Write a value as a person reads it."""
    return f"{value:.4g}" if isinstance(value, float) else value
