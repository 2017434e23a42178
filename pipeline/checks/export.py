"""What must hold of a document before it counts as exported.

For: reading documents back and comparing them with the fold. Not for: publishing (``exports``).
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import at_boundary
from pipeline.partitions import SESSIONS, session_of
from pipeline.resources import SnapshotsResource

if TYPE_CHECKING:
    from ml.corpus import Corpus
    from ml.export.document import ParameterDocument
    from ml.export.packing import Step


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
