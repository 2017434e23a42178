"""The proof: the decision path folded over every session, and the evidence it leaves.

For: ``walk_forward``, ``robustness`` and ``evidence_report``. Not for: the fold
(``ml.walkforward``), the numbers (``ml.walk_tables``, ``ml.robustness``) or the page
(``backtest.report``).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import (
    OWNERS,
    at_boundary,
    every_quarter,
    picture,
    sample_of,
    table_of,
    table_schema,
)
from pipeline.partitions import session_of
from pipeline.resources import SettingsResource, SnapshotsResource, StoreResource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ml.robustness.summary import Robustness
    from ml.robustness.tables import Findings

GROUP = "validation"
CRITERIA_COLUMNS = ("strategy", "criterion", "passed", "value", "limit", "reason")
CONFIDENCE_COLUMNS = (
    *("strategy", "event", "sessions", "said", "happened"),
    *("brier", "brier_half", "calibration_error"),
)
RETURN_COLUMNS = {
    "date": ("Date", "session"),
    "strategy": ("String", "name, or all = equal weight of the strategies"),
    "variant": ("String", "whose decisions were followed"),
    "net_return": ("Float64", "out of sample, after costs, decimal per session"),
    "turnover": ("Float64", "sum of absolute weight changes at the open"),
}
FOLD_COLUMNS = {
    "strategy": ("String", "name"),
    "variant": ("String", "whose decisions were followed"),
    "fold": ("Int64", "from 0; between two refits of the regime model"),
    "first": ("Date", "first session out of sample"),
    "last": ("Date", "last session"),
    "sessions": ("Int64", "between them"),
    "sharpe": ("Float64", "annual, after costs; null with a reason"),
    "net_return": ("Float64", "compounded, decimal"),
    "turnover": ("Float64", "per year"),
    "max_drawdown": ("Float64", "inside the fold, decimal, positive"),
    "in_sample_sharpe": ("Float64", "of each regime's best set; regime_aware only"),
    "parameters": ("String", "heaviest set at the refit, JSON; regime_aware only"),
    "reason": ("String", "why there is no ratio"),
}


@dg.asset(
    deps=["backtest_corpus", "market_state", "regime_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "duckdb"},
    code_version="3",
    tags={"layer": "research"},
    metadata={**table_schema(RETURN_COLUMNS), "dagster/table_name": "returns"},
)
@at_boundary
def walk_forward(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Decide, gate and step at every session, as if it were the last one known."""
    from ml.walk_tables import decisions_frame, evidence_of, returns_frame, trials_frame
    from ml.walkforward import breadth_note

    files = snapshots.open()
    snapshot = files.current()
    panel = files.panel(snapshot)
    if narrow := breadth_note(panel):
        context.log.warning(narrow)
    work, kept = files.workbench(snapshot), store.open(snapshot.calendar)
    ledger = kept.read_trials(as_of=settings.known_by())
    walk = work.walk(panel, ledger=ledger, progress=every_quarter(context.log.info))
    decisions, returns, evidence = decisions_frame(walk), returns_frame(walk), evidence_of(walk)
    work.keep_fold(walk)
    work.keep("decisions", decisions)
    work.keep("returns", returns)
    trials = trials_frame(walk)
    work.keep("trials", trials)
    work.keep_values("evidence", evidence.model_dump(mode="json"))
    written = {"run_id": context.run.run_id, "until": session_of(snapshot.last)}
    kept.write_decisions(decisions, **written)
    kept.write_returns(returns, **written)
    kept.write_trials(trials, run_id=context.run.run_id)
    sharpes = {name: one.sharpe for name, one in evidence.variants.items()}
    return dg.MaterializeResult(
        metadata={
            "summary": f"{decisions.height:,} decisions; Sharpe {_told(sharpes)}",
            "dagster/row_count": returns.height,
            "sharpe by variant": dg.MetadataValue.json(sharpes),
            "promoted": evidence.promoted,
            "latest decisions": sample_of(decisions.select("date", "strategy", "parameters")),
            "snapshot": snapshot.snapshot,
            "path": dg.MetadataValue.path(work.folder),
        }
    )


def _told(sharpes: dict[str, float | None]) -> str:
    """Sharpe ratios of the variants that matter most, in words."""
    names = ("regime_aware", "static", "buy_and_hold")
    told = [f"{n} {sharpes[n]:+.2f}" for n in names if sharpes.get(n) is not None]
    return ", ".join(told) or "undefined"


@dg.asset(
    deps=["walk_forward", "backtest_corpus"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"matplotlib", "duckdb"},
    code_version="2",
    tags={"layer": "research"},
    metadata={**table_schema(FOLD_COLUMNS), "dagster/table_name": "folds"},
)
@at_boundary
def robustness(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Say how far the walk-forward can be trusted: folds, stability, sensitivity, paths, costs."""
    from backtest.robustness_page import robustness_pictures
    from ml.robustness.tables import findings_of, joined

    files = snapshots.open()
    snapshot = files.current()
    work = files.workbench(snapshot)
    findings = findings_of(work.records())
    tables = joined(findings)
    work.keep_robustness(tables)
    kept, run = store.open(snapshot.calendar), context.run.run_id
    kept.write_robustness(tables, session_of(snapshot.last), run_id=run)
    drawn = robustness_pictures(tables, work.values("evidence"))
    edges = {name: found.summary.edges for name, found in findings.items()}
    return dg.MaterializeResult(
        metadata={
            "summary": "; ".join(_trusted(name, one.summary) for name, one in findings.items()),
            "dagster/row_count": tables["folds"].height,
            "edges of the grids": dg.MetadataValue.json(edges),
            "confidence": table_of(CONFIDENCE_COLUMNS, list(_kept_words(findings))),
            **{Path(one.name).stem: picture(one.png, one.caption) for one in drawn},
            "latest folds": sample_of(tables["folds"].drop("parameters", "reason")),
            "snapshot": snapshot.snapshot,
            "path": dg.MetadataValue.path(work.folder / "robustness"),
        }
    )


def _kept_words(findings: "Mapping[str, Findings]") -> "Iterator[dict[str, Any]]":
    """How well confidence kept its word, by strategy and event."""
    for name, found in findings.items():
        for event, one in found.summary.confidence.items():
            yield {"strategy": name, "event": event, **one.model_dump(exclude={"regimes"})}


def _trusted(name: str, found: "Robustness") -> str:
    """Say the most telling numbers of a strategy."""
    shares = (("folds above 0", found.folds_positive), ("stability", found.stability))
    said = [f"{label} {share:.0%}" for label, share in shares if share is not None]
    if found.path_sharpe_mean is not None:
        said.append(f"static paths {found.path_sharpe_mean:+.2f}")
    return f"{name}: {', '.join(said) or 'nothing to say'}"


@dg.asset(
    deps=["walk_forward", "robustness", "regime_labels"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"matplotlib", "markdown"},
    code_version="2",
    tags={"layer": "research"},
)
@at_boundary
def evidence_report(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    store: StoreResource,
    snapshots: SnapshotsResource,
) -> dg.MaterializeResult:
    """Write the evidence as a page with plots: Markdown, and HTML that holds them inside."""
    files = snapshots.open()
    snapshot = files.current()
    work, kept = files.workbench(snapshot), store.open(snapshot.calendar)
    limits = {"until": session_of(snapshot.last), "as_of": settings.known_by()}
    page, drawn = work.keep_report(quarantined=kept.quarantine(**limits))
    evidence = work.values("evidence")
    kept.write_evidence(
        session_of(snapshot.last),
        document=work.text("evidence"),
        snapshot=snapshot.snapshot,
        settings=files.settings.hash(),
        run_id=context.run.run_id,
    )
    return dg.MaterializeResult(
        metadata={
            "summary": evidence["claim"]["reason"],
            "report": dg.MetadataValue.path(page),
            "promoted": evidence["promoted"],
            "synthetic": snapshot.synthetic,
            **{Path(one.name).stem: picture(one.png, one.caption) for one in drawn},
            "criteria": table_of(CRITERIA_COLUMNS, evidence["criteria"]),
        }
    )
