"""From the fold's state at one session to its parameter document.

For: gathering what the document says, as of its session: the same document comes out whether it
is written on the day or by a later backfill. Not for: its shape (``ml.export.document``), its
files (``exports``) or deciding anything.
"""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pipeline.tracker import PARAMETERS_MODEL

if TYPE_CHECKING:
    from ml.export.document import CodeFacts, DataFacts, ParameterDocument
    from pipeline.store import Store
    from pipeline.workbench import Workbench

CHAMPION = "champion"
CHALLENGER = "challenger"


def draft(
    work: "Workbench",
    session: date,
    *,
    store: "Store",
    known_by: date | datetime | None,
    code: "CodeFacts",
) -> "ParameterDocument":
    """Write the document of a session from the fold of the walk-forward.

    Parameters
    ----------
    work : Workbench
        With the fold and what was registered.
    session : date
    store : Store
    known_by : date or datetime, optional
        As for the bars of the snapshot.
    code : CodeFacts

    Raises
    ------
    DataError
        ``E_SESSION``: the fold has no such session.
    ExportRefused
        The document would be out of bounds, not finite, or contradictory.
    """
    from ml.export.document import build_document
    from ml.export.entry import entry_of, regime_of
    from pipeline.exports import preceding

    steps, settings = work.steps(session), work.files.settings
    before = preceding(work.files.home, session)
    same = before is not None and before.universe == settings.universe
    earlier = before.strategies if before is not None and same else {}
    promoted = any(step.promoted_at is not None for _, step in steps.values())
    return build_document(
        {
            name: entry_of(
                step.decision,
                step.verdict,
                step.exported,
                grid=corpus.grid,
                previous=earlier.get(name),
                promoted_at=step.promoted_at,
            )
            for name, (corpus, step) in steps.items()
        },
        session=session,
        created_at=datetime.now(UTC),
        universe=settings.universe,
        profile=settings.profile,
        regime=regime_of(next(iter(steps.values()))[1].decision),
        model=_model(work, CHAMPION if promoted else CHALLENGER),
        data=_facts(work, session, store, known_by),
        code=code,
        previous_sha256=None if before is None else before.content_sha256,
    )


def _model(work: "Workbench", alias: str) -> dict[str, Any]:
    """Name the model, with the alias that the gate had given by that session."""
    found = work.values("registered")["parameters"]
    return {
        "name": PARAMETERS_MODEL,
        "version": found["version"],
        "alias": alias,
        "run_id": found["run_id"],
    }


def _facts(
    work: "Workbench", session: date, store: "Store", known_by: date | datetime | None
) -> "DataFacts":
    """Say what the decision of the session could see."""
    import polars as pl

    from ml.export.document import DataFacts
    from pipeline.store import content_hash

    bars = work.files.bars(work.snapshot).filter(pl.col("date") <= session)
    held = store.quarantine(until=session, as_of=known_by)
    return DataFacts(
        snapshot=content_hash(bars),
        first=bars["date"].min(),
        last=bars["date"].max(),
        symbols=bars["symbol"].n_unique(),
        quarantined=held.height,
        synthetic=work.snapshot.synthetic,
    )
