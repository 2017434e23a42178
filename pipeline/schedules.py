"""When the chain and what learns beside it run by themselves.

For: the daily export after the close of the exchange of ``hours``, and the weekly learning, with
the profile and the bars of ``$WEATHERVANE_PROFILE`` and ``$WEATHERVANE_BARS``. Not for: what they
run (``jobs``). Schedules are shipped stopped. To start one: ``dg dev``, then the switch on the
Automation page, or ``dagster schedule start NAME -m pipeline.definitions`` with ``DAGSTER_HOME``
set; the daemon (part of ``dg dev``) must run.
"""

from datetime import UTC
from zoneinfo import ZoneInfo

import dagster as dg

from pipeline.hours import CALENDAR, LEARNED_AT, RUN_AT, ZONE
from pipeline.jobs import daily, learn
from pipeline.partitions import add_sessions, partition_of
from pipeline.sensors import SESSION_TAG, catches_up, config_of, missing_sessions


def how_to_start(name: str) -> str:
    """Say how a schedule is started."""
    return (
        "Shipped stopped. Start it with the switch on the Automation page of `make ui`, or with "
        f"`dagster schedule start {name} -m pipeline.definitions`."
    )


@dg.schedule(
    name="after_close",
    cron_schedule=RUN_AT,
    job=daily,
    execution_timezone=ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=f"The daily chain after each close of {CALENDAR}. {how_to_start('after_close')}",
    metadata={"how to start": how_to_start("after_close"), "calendar": CALENDAR},
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


@dg.schedule(
    name="weekly_learning",
    cron_schedule=LEARNED_AT,
    job=learn,
    execution_timezone=ZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=f"What learns by itself, once a week on the snapshot of {CALENDAR}'s last daily "
    f"run. {how_to_start('weekly_learning')}",
    metadata={"how to start": how_to_start("weekly_learning"), "calendar": CALENDAR},
)
def weekly_learning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request the week's learning; on a holiday's Friday it reads the session before."""
    day = context.scheduled_execution_time.astimezone(ZoneInfo(ZONE)).date()
    return dg.RunRequest(run_key=f"weekly_learning/{partition_of(day)}")


SCHEDULES = (after_close, weekly_learning)
