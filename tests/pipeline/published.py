"""For: a short chain of exported documents. Not for: real research."""

from datetime import date

from pipeline import exports
from pipeline.config import Home
from tests.ml.documents import document, held_entry, promoted_entry

DAYS = [date(2016, 2, day) for day in (4, 5, 8, 9)]


def chain(home: Home, count: int = 3) -> list[exports.Exported]:
    """Publish some sessions, each naming the one before; the last is a promotion."""
    done = []
    for i, day in enumerate(DAYS[:count]):
        before = exports.preceding(home, day)
        previous = before.strategies["rsi_swing"] if before else None
        last = i == count - 1
        entry = (promoted_entry if last else held_entry)(previous=previous)
        done.append(
            exports.publish_document(
                home, document(day, entry=entry, previous=before), run_id=f"run-{i}"
            )
        )
    return done
