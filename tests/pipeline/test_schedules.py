"""The schedules: which days they ask for, in the exchange's own time."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from backtest.errors import DataError
from backtest.market.calendar import close_at
from pipeline.hours import HOURS_TO_PUBLISH, SETTLED, SINCE_THE_CLOSE, ZONE
from pipeline.instance import open_instance
from pipeline.partitions import SESSIONS, add_sessions, partition_of, session_of
from pipeline.resources import SettingsResource
from pipeline.schedules import after_close, weekly_learning


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory):
    with open_instance(tmp_path_factory.mktemp("dagster")) as made:
        yield made


def tick(instance: dg.DagsterInstance, *when: int):
    """Evaluate the schedule as if its time had come, in New York."""
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime(*when, tzinfo=ZoneInfo(ZONE))
    )
    return after_close(context)


def test_a_session_is_asked_for_once_and_known_as_a_partition(instance: dg.DagsterInstance):
    request = tick(instance, 2024, 3, 4, 17, 30)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2024-03-04"
    assert request.run_key == "after_close/2024-03-04"
    assert request.run_config["resources"]["settings"]["config"] == {"session": "2024-03-04"}
    assert instance.has_dynamic_partition(SESSIONS.name, "2024-03-04")


@pytest.mark.parametrize("day", [(2024, 7, 4), (2024, 3, 29), (2024, 12, 25), (2025, 1, 9)])
def test_a_holiday_is_skipped_with_a_reason(instance: dg.DagsterInstance, day):
    skipped = tick(instance, *day, 17, 30)
    assert isinstance(skipped, dg.SkipReason)
    assert "is no session of XNYS" in skipped.skip_message
    assert not instance.has_dynamic_partition(SESSIONS.name, skipped.skip_message[:10])


def test_a_half_day_is_asked_for(instance: dg.DagsterInstance):
    assert isinstance(tick(instance, 2024, 11, 29, 17, 30), dg.RunRequest)


def test_before_the_close_nothing_is_asked_for(instance: dg.DagsterInstance):
    skipped = tick(instance, 2024, 3, 4, 15, 59)
    assert isinstance(skipped, dg.SkipReason)
    assert "has not closed" in skipped.skip_message


def test_the_day_is_new_york_s_also_when_it_is_another_one_in_utc(instance: dg.DagsterInstance):
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime(2024, 3, 5, 1, 30, tzinfo=UTC)
    )
    request = after_close(context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2024-03-04"


def test_it_is_shipped_stopped_and_says_how_to_start_it():
    assert after_close.default_status == dg.DefaultScheduleStatus.STOPPED
    assert after_close.execution_timezone == "America/New_York"
    assert "dagster schedule start after_close" in after_close.description
    assert after_close.job_name == "daily"


def test_learning_is_asked_for_once_a_week_after_the_day_s_document(instance: dg.DagsterInstance):
    assert weekly_learning.default_status == dg.DefaultScheduleStatus.STOPPED
    assert weekly_learning.job_name == "learn"
    assert "dagster schedule start weekly_learning" in weekly_learning.description
    assert weekly_learning.cron_schedule == "30 20 * * 5"
    assert weekly_learning.execution_timezone == "America/New_York"

    def asked(*when: int) -> dg.RunRequest:
        moment = datetime(*when, tzinfo=UTC)
        return weekly_learning(
            dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)
        )

    request = asked(2024, 3, 9, 1, 30)  # Friday evening in New York
    assert request.run_key == "weekly_learning/2024-03-08"
    assert request.partition_key is None
    assert asked(2024, 3, 16, 0, 30).run_key == "weekly_learning/2024-03-15"


def test_keys_are_added_once(instance: dg.DagsterInstance):
    days = [session_of("2019-03-05"), session_of("2019-03-04")]
    assert add_sessions(instance, days) == 2
    assert add_sessions(instance, days) == 0
    known = instance.get_dynamic_partitions(SESSIONS.name)
    assert [key for key in known if key < "2020"] == ["2019-03-04", "2019-03-05"]
    assert partition_of(days[0]) == "2019-03-05"


def test_a_key_that_is_no_date_ends_in_one_line():
    with pytest.raises(DataError, match="E_SESSION: '2024-13-01' is no session"):
        session_of("2024-13-01")


TELL = """
from assets.export import regime_parameters as asset
from pipeline.schedules import after_close, weekly_learning
policy = next(iter(asset.specs)).freshness_policy
print(after_close.execution_timezone, after_close.cron_schedule, sep=" | ")
print(policy.timezone, policy.deadline_cron, sep=" | ")
print(weekly_learning.execution_timezone, weekly_learning.cron_schedule, sep=" | ")
"""


def told_under(calendar: str) -> subprocess.CompletedProcess[str]:
    """Import schedule and asset in a fresh process with this calendar named."""
    return subprocess.run(
        [sys.executable, "-c", TELL],
        env={**os.environ, "WEATHERVANE_CALENDAR": calendar},
        capture_output=True,
        text=True,
        check=False,
    )


def test_schedule_and_deadline_are_in_the_exchange_s_own_time():
    assert told_under("XETR").stdout.splitlines() == [
        "Europe/Berlin | 0 19 * * 1-5",
        "Europe/Berlin | 0 22 * * 1-5",
        "Europe/Berlin | 0 22 * * 5",
    ]
    wrong = told_under("XETRA")
    assert wrong.returncode == 1
    assert "E_CALENDAR: no daily schedule for calendar 'XETRA'" in wrong.stderr
    assert "did you mean 'XETR'?" in wrong.stderr


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize("day", [date(2024, 1, 10), date(2024, 7, 10)])
def test_what_is_made_between_close_and_deadline_is_fresh(name: str, day: date):
    zone, hour, minute = SETTLED[name]
    run = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
    deadline = run + timedelta(hours=HOURS_TO_PUBLISH)
    assert deadline - SINCE_THE_CLOSE == close_at(name, day) < run
    assert deadline.date() == day


def test_unset_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("WEATHERVANE_PROFILE", "files")
    monkeypatch.setenv("WEATHERVANE_BARS", str(tmp_path / "mine.parquet"))
    read = SettingsResource(profile="", path="", overrides=[], document="", session="").read()
    assert (read.data.provider, read.data.path) == ("files", tmp_path / "mine.parquet")
