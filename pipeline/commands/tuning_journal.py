"""The journal of a search: every batch that was evaluated, flushed before the searcher is told.

For: going on after a kill as if nothing had happened, and refusing to go on with another search.
Not for: what the lines rest on (``pipeline.journal``: each is chained to the one before).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError
from pipeline.journal import Journal, append_lines, read_journal

if TYPE_CHECKING:
    from ml.evaluation import Batch

JOURNAL = "journal.jsonl"
_NAME = "journal of the search"
_HEAL = "delete it to search anew, or search into another folder"


@dataclass
class TuneJournal:
    """The open journal of one search.

    Parameters
    ----------
    path : pathlib.Path
    journal : Journal
        What it held, the terms first.
    """

    path: Path
    journal: Journal

    def __post_init__(self) -> None:
        """Count what an earlier run left."""
        self.held = sum(len(line["rows"]) for line in self.journal.lines[1:])

    def batches(self) -> "list[Batch]":
        """Batches that an earlier run was told."""
        return [_batch(line) for line in self.journal.lines[1:]]

    def keep(self, batch: "Batch") -> None:
        """Write one batch down."""
        self.journal = append_lines(self.path, self.journal, _line(batch), name=_NAME)


def open_journal(folder: Path, terms: dict[str, Any], *, trials: int) -> TuneJournal:
    """Open the journal of a search, or begin it; a search may go on to more trials.

    Raises
    ------
    StoreError
        ``E_JOURNAL``: it belongs to another search, or holds more sets than ``trials``, of which
        none may be forgotten; ``E_CORRUPT``: a line was changed.
    """
    path = folder / JOURNAL
    known = read_journal(path, name=_NAME, heal=_HEAL)
    if not known.lines:
        return TuneJournal(path, append_lines(path, known, terms, name=_NAME))
    before = known.lines[0]
    if before != terms:
        names = sorted(n for n in {*before, *terms} if before.get(n) != terms.get(n))
        raise StoreError(
            f"the journal belongs to another search: {', '.join(names)} differ",
            where=str(path),
            fix="give what it was begun with, or search into another folder",
            code="E_JOURNAL",
        )
    opened = TuneJournal(path, known)
    if opened.held > trials:
        raise StoreError(
            f"the journal holds {opened.held} sets, and every one that was tried counts",
            where=str(path),
            fix=f"give --trials {opened.held} or more, or search into another folder",
            code="E_JOURNAL",
        )
    return opened


def _line(batch: "Batch") -> dict[str, Any]:
    """Plain values of a batch; what is undefined is null."""
    return {
        "rows": list(batch.rows),
        "metrics": {name: _plain(column.tolist()) for name, column in batch.metrics.items()},
        "values": [_plain(row) for row in batch.values.tolist()],
        "feasible": batch.feasible.tolist(),
    }


def _batch(line: dict[str, Any]) -> "Batch":
    """The batch that a line holds."""
    import numpy as np

    from ml.evaluation import Batch

    return Batch(
        rows=tuple(line["rows"]),
        metrics={name: np.array(column, dtype=float) for name, column in line["metrics"].items()},
        values=np.array(line["values"], dtype=float),
        feasible=np.array(line["feasible"], dtype=bool),
    )


def _plain(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
