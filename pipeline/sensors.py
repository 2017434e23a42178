"""What notices that a session was missed, and has it made up.

For: ``catch_up``, oldest session first, each exactly once, after any outage. Not for: the daily run
(``schedules``) or what a run does (``jobs``). Like the schedule it is shipped stopped.

After an outage the scheduler runs its latest tick only. What a session lacks is told by its
partition: one that the calendar names and that was never materialised is missing, whatever the
reason.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from pipeline.hours import CALENDAR, SETTLED, ZONE
from pipeline.jobs import daily
from pipeline.partitions import add_sessions, partition_of, session_of

GRACE = timedelta(minutes=20)
"""After the schedule's own time, before its session counts as missed."""
IN_TIME = timedelta(days=30)
"""After its close, until when an export counts as made in its session's own time."""
PAGE = 500
ATTEMPTS = 3
"""Runs of one session that may fail before a person must look."""
SESSION_TAG = "weathervane/session"
ATTEMPT_TAG = "weathervane/attempt"
EXPORT = dg.AssetKey("regime_parameters")

HOW_TO_START = (
    "Shipped stopped. Start it with its switch on the Automation page of `make ui`, or with "
    "`dagster sensor start catch_up -m pipeline.definitions`."
)


def missing_sessions(instance: dg.DagsterInstance, now: datetime) -> list[date]:
    """Sessions that should have been exported by now and were not, oldest first.

    Parameters
    ----------
    instance : dagster.DagsterInstance
    now : datetime
        With a time zone.

    Returns
    -------
    list of date
        From :func:`started_at` on; none before the first export.
    """
    from backtest.market.calendar import sessions

    first = started_at(instance)
    if first is None:
        return []
    done = {session_of(key) for key in instance.get_materialized_partitions(EXPORT)}
    today = now.astimezone(ZoneInfo(ZONE)).date()
    due = [day for day in sessions(CALENDAR, first, today) if _settled(day) + GRACE <= now]
    return [day for day in due if day not in done]


def started_at(instance: dg.DagsterInstance) -> date | None:
    """First session that was exported in its own time, since when none may be missing.

    A session of long ago that somebody exports to look at it starts nothing.
    """
    found = instance.fetch_materializations(EXPORT, limit=PAGE, ascending=True)
    while True:
        for record in found.records:
            day = session_of(str(record.partition_key))
            made = datetime.fromtimestamp(record.timestamp, UTC)
            if made - _settled(day) <= IN_TIME:
                return day
        if not found.has_more:
            return None
        found = instance.fetch_materializations(
            EXPORT, limit=PAGE, cursor=found.cursor, ascending=True
        )


def _settled(day: date) -> datetime:
    """When the schedule would have run for a session."""
    zone, hour, minute = SETTLED[CALENDAR]
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))


def runs_of(instance: dg.DagsterInstance, day: date) -> Sequence[dg.DagsterRun]:
    """Runs of the daily job for a session, latest first."""
    tags = {"dagster/partition": partition_of(day)}
    return instance.get_runs(dg.RunsFilter(job_name=daily.name, tags=tags))


def next_request(instance: dg.DagsterInstance, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """Ask for the oldest missing session, unless it is under way or needs a person."""
    missing = missing_sessions(instance, now)
    if not missing:
        return dg.SkipReason(f"no session of {CALENDAR} is missing since the first export")
    day, rest = missing[0], len(missing) - 1
    key, runs = partition_of(day), runs_of(instance, day)
    if any(not run.is_finished for run in runs):
        return dg.SkipReason(f"session {key} is under way; {rest} more are missing")
    failed = sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs)
    if failed >= ATTEMPTS:
        return dg.SkipReason(
            f"session {key} failed {failed} times; {rest} more wait for it. Read its last run, "
            f"mend the cause, and run `weathervane run --session {key}`, or materialise it"
        )
    add_sessions(instance, [day])
    return dg.RunRequest(
        run_key=f"catch_up/{key}/{len(runs)}",
        partition_key=key,
        run_config=config_of(key),
        tags={SESSION_TAG: key, ATTEMPT_TAG: str(failed + 1)},
    )


def config_of(key: str) -> dict[str, Any]:
    """Run configuration of a session."""
    return {"resources": {"settings": {"config": {"session": key}}}}


@dg.sensor(
    name="catch_up",
    job=daily,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description=f"Makes up missed sessions of {CALENDAR}, oldest first. {HOW_TO_START}",
    metadata={"how to start": HOW_TO_START, "calendar": CALENDAR},
)
def catch_up(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Compare the sessions that must exist with those that were exported."""
    return next_request(context.instance, datetime.now(UTC))


def catches_up(instance: dg.DagsterInstance) -> bool:
    """Say whether the sensor is switched on."""
    states = instance.all_instigator_state()
    return any(state.instigator_name == catch_up.name and state.is_running for state in states)


SENSORS = (catch_up,)
