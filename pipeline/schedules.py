"""When the chain runs by itself.

For: the daily export after the close of the exchange of ``hours``, with the profile and the bars
of ``$WEATHERVANE_PROFILE`` and ``$WEATHERVANE_BARS``. Not for: what it runs (``jobs``). The
schedule is shipped stopped. To start it: ``dg dev``, then the switch on the Automation page, or
``dagster schedule start after_close -m pipeline.definitions`` with ``DAGSTER_HOME`` set; the
daemon (part of ``dg dev``) must run.
"""

from datetime import UTC
from zoneinfo import ZoneInfo

import dagster as dg

from pipeline.hours import CALENDAR, RUN_AT, ZONE
from pipeline.jobs import daily
from pipeline.partitions import add_sessions, partition_of
from pipeline.sensors import SESSION_TAG, catches_up, config_of, missing_sessions

HOW_TO_START = (
    "Shipped stopped. Start it with the switch on the Automation page of `make ui`, or with "
    "`dagster schedule start after_close -m pipeline.definitions`."
)


@dg.schedule(
    name="after_close",
    cron_schedule=RUN_AT,
    job=daily,
    execution_timezone=ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=f"The daily chain after each close of {CALENDAR}. {HOW_TO_START}",
    metadata={"how to start": HOW_TO_START, "calendar": CALENDAR},
)
def after_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the day's session once its exchange has closed; skip days that are none."""
    from backtest.market.calendar import close_at, sessions

    now = context.scheduled_execution_time
    day = now.astimezone(ZoneInfo(ZONE)).date()
    if not sessions(CALENDAR, day, day):
        return dg.SkipReason(f"{day} is no session of {CALENDAR}")
    if now.astimezone(UTC) < close_at(CALENDAR, day):
        return dg.SkipReason(f"{CALENDAR} has not closed on {day} yet")
    earlier = [one for one in missing_sessions(context.instance, now) if one < day]
    if earlier and catches_up(context.instance):
        # A session that is exported before an older one would have to be exported again.
        return dg.SkipReason(f"{day} waits: catch_up makes up {earlier[0]} and what follows first")
    add_sessions(context.instance, [day])
    key = partition_of(day)
    return dg.RunRequest(
        run_key=f"after_close/{key}",
        partition_key=key,
        run_config=config_of(key),
        tags={SESSION_TAG: key},
    )


SCHEDULES = (after_close,)
