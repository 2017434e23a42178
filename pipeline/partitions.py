"""The one partition of the asset graph: a session of the exchange.

For: ``SESSIONS`` and the few lines that add keys to it. Not for: which sessions exist; exchange
calendars know that (``backtest.market.calendar``). Keys are added as sessions become known
(docs/decisions/0002-session-partitions.md), so importing this needs no calendar.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import dagster as dg

from backtest.errors import DataError

SESSIONS = dg.DynamicPartitionsDefinition(name="sessions")


def partition_of(day: date) -> str:
    """Key of a session.

    Examples
    --------
    >>> partition_of(date(2024, 1, 2))
    '2024-01-02'
    """
    return day.isoformat()


def session_of(key: str) -> date:
    """Session of a key.

    Raises
    ------
    DataError
        ``E_SESSION``: the key is no date.
    """
    try:
        return date.fromisoformat(key)
    except ValueError:
        raise DataError(
            f"{key!r} is no session", fix="write it as YYYY-MM-DD", code="E_SESSION"
        ) from None


def moment_of(text: str) -> date | datetime:
    """Session or moment that a text names; a moment without a time zone is in UTC.

    Raises
    ------
    DataError
        ``E_SESSION``: the text is neither.

    Examples
    --------
    >>> moment_of("2024-01-02T21:30").isoformat()
    '2024-01-02T21:30:00+00:00'
    """
    try:
        if "T" not in text:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{text!r} is neither a session nor a moment",
            fix="write it as YYYY-MM-DD or YYYY-MM-DDThh:mm:ss",
            code="E_SESSION",
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def add_sessions(instance: dg.DagsterInstance, days: Iterable[date]) -> int:
    """Add the sessions that ``instance`` does not know yet; the number of new ones."""
    known = set(instance.get_dynamic_partitions(SESSIONS.name or ""))
    new = [key for key in sorted(map(partition_of, days)) if key not in known]
    if new:
        instance.add_dynamic_partitions(SESSIONS.name or "", new)
    return len(new)
