"""Missed sessions: found by the calendar, made up oldest first, each once."""

import json
import logging
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring import execute_run_monitoring_iteration

from backtest.errors import StoreError
from backtest.market.calendar import sessions
from pipeline import chain, sensors, turns
from pipeline.config import open_home
from pipeline.hours import ZONE
from pipeline.instance import open_instance
from pipeline.partitions import add_sessions, partition_of
from pipeline.schedules import after_close
from pipeline.sensors import ATTEMPTS, EXPORT, missing_sessions, next_request, started_at
from pipeline.store.commits import this_process
from pipeline.turns import end_turn, take_turn

MONDAY = date(2024, 3, 4)
WEEK = sessions("XNYS", MONDAY, date(2024, 3, 8))


@pytest.fixture
def instance(tmp_path: Path):
    with open_instance(tmp_path / "dagster") as made:
        yield made


def export(instance: dg.DagsterInstance, day: date, monkeypatch, at: datetime | None = None):
    """Record a session as exported, by default an hour after its schedule's time."""
    moment = at or evening(day)
    add_sessions(instance, [day])
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", moment.timestamp)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(EXPORT, partition=partition_of(day))
        )


def evening(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 18, 30, tzinfo=ZoneInfo(ZONE))


def record(instance: dg.DagsterInstance, day: date, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    tags = {"dagster/partition": partition_of(day)}
    return create_run_for_test(instance, job_name="daily", status=status, tags=tags)


def test_nothing_is_missing_before_the_first_export(instance):
    assert missing_sessions(instance, evening(WEEK[4])) == []
    assert started_at(instance) is None
    skipped = next_request(instance, evening(WEEK[4]))
    assert isinstance(skipped, dg.SkipReason)


def test_five_missed_sessions_are_asked_for_one_by_one_oldest_first(instance, monkeypatch):
    """The daemon was down for a week: whatever was missed is made up, and only that."""
    friday = date(2024, 3, 1)
    export(instance, friday, monkeypatch)
    now, asked = evening(WEEK[4]), []
    while isinstance(request := next_request(instance, now), dg.RunRequest):
        asked.append((request.partition_key, request.run_key, request.tags["weathervane/session"]))
        assert instance.has_dynamic_partition("sessions", request.partition_key)
        assert request.run_config["resources"]["settings"]["config"] == {
            "session": request.partition_key
        }
        export(instance, date.fromisoformat(request.partition_key), monkeypatch)
    keys = [partition_of(day) for day in WEEK]
    assert asked == [(key, f"catch_up/{key}/0", key) for key in keys]
    assert "no session of XNYS is missing" in request.skip_message


def test_a_hole_in_the_middle_is_found(instance, monkeypatch):
    for day in (WEEK[0], WEEK[1], WEEK[3]):
        export(instance, day, monkeypatch)
    assert missing_sessions(instance, evening(WEEK[3])) == [WEEK[2]]


def test_a_session_counts_as_missed_only_some_time_after_its_own_schedule(instance, monkeypatch):
    export(instance, WEEK[0], monkeypatch)
    settled = datetime(2024, 3, 5, 17, 30, tzinfo=ZoneInfo(ZONE))
    assert missing_sessions(instance, settled + timedelta(minutes=19)) == []
    assert missing_sessions(instance, settled + timedelta(minutes=20)) == [WEEK[1]]


def test_an_old_session_that_somebody_looked_at_starts_nothing(instance, monkeypatch):
    export(instance, date(2019, 6, 3), monkeypatch, at=evening(WEEK[0]))
    assert started_at(instance) is None
    assert missing_sessions(instance, evening(WEEK[1])) == []
    export(instance, WEEK[0], monkeypatch)
    assert started_at(instance) == WEEK[0]
    assert missing_sessions(instance, evening(WEEK[1])) == [WEEK[1]]


def test_a_session_under_way_is_waited_for(instance, monkeypatch):
    export(instance, WEEK[0], monkeypatch)
    record(instance, WEEK[1], dg.DagsterRunStatus.STARTED)
    skipped = next_request(instance, evening(WEEK[3]))
    assert skipped.skip_message == "session 2024-03-05 is under way; 2 more are missing"


def test_a_session_that_fails_is_tried_again_and_then_a_person_must_look(instance, monkeypatch):
    export(instance, WEEK[0], monkeypatch)
    keys = []
    for _ in range(ATTEMPTS):
        keys.append(next_request(instance, evening(WEEK[2])).run_key)
        record(instance, WEEK[1], dg.DagsterRunStatus.FAILURE)
    assert keys == [f"catch_up/2024-03-05/{n}" for n in range(ATTEMPTS)]
    skipped = next_request(instance, evening(WEEK[2]))
    assert "session 2024-03-05 failed 3 times; 1 more wait for it" in skipped.skip_message
    assert "weathervane run --session 2024-03-05" in skipped.skip_message


def switch_on(instance: dg.DagsterInstance) -> None:
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    target = LoadableTargetOrigin(module_name="pipeline.definitions")
    place = InProcessCodeLocationOrigin(target, location_name="weathervane")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), "catch_up")
    instance.add_instigator_state(
        InstigatorState(
            origin,
            instigator_type=dg._core.definitions.run_request.InstigatorType.SENSOR,
            status=InstigatorStatus.RUNNING,
            instigator_data=SensorInstigatorData(),
        )
    )


def test_the_schedule_lets_older_sessions_go_first(instance, monkeypatch):
    export(instance, WEEK[0], monkeypatch)

    def tick():
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2024, 3, 7, 17, 30, tzinfo=ZoneInfo(ZONE)),
        )
        return after_close(context)

    assert isinstance(tick(), dg.RunRequest), "nobody else would make today's"
    switch_on(instance)
    skipped = tick()
    assert skipped.skip_message.startswith("2024-03-07 waits: catch_up makes up 2024-03-05")
    for day in WEEK[1:3]:
        export(instance, day, monkeypatch)
    assert tick().partition_key == "2024-03-07"


def test_a_run_stuck_after_a_crash_is_ended_by_monitoring(instance, monkeypatch):
    """What is left of a run when its machine went down is a record that says STARTED."""
    run = record(instance, WEEK[1], dg.DagsterRunStatus.STARTING)
    began = DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="daily")
    instance.report_dagster_event(began, run.run_id)
    settings = instance.run_monitoring_settings
    assert settings["enabled"]
    assert settings["max_runtime_seconds"] == 7200
    export(instance, WEEK[0], monkeypatch)
    assert "under way" in next_request(instance, evening(WEEK[1])).skip_message
    for ahead in (7000, 7300):
        moment = time.time() + ahead
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda moment=moment: moment)
            monitor(instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert isinstance(next_request(instance, evening(WEEK[1])), dg.RunRequest)


def monitor(instance: dg.DagsterInstance) -> None:
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget

    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        list(execute_run_monitoring_iteration(workspace, logging.getLogger("test")))


HOLD = """
import sys
from pipeline.config import open_home
from pipeline.turns import take_turn
take_turn(open_home(sys.argv[1]), "u", "first", ended=lambda _: False)
sys.stdout.write("held\\n")
sys.stdout.flush()
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process whose run has the turn until it is told something."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait(30)


@pytest.mark.parametrize("note", ['{"run_ie": "r", "pid": 1}', "[]", "{", "\xff"])
def test_a_damaged_note_of_whose_turn_it_is_names_nobody(tmp_path, note):
    path = tmp_path / ".turn-u.lock"
    turns._note(path).write_bytes(note.encode("latin-1"))
    assert turns._read(path)["run_id"] == ""


def test_two_runs_of_one_universe_take_turns(tmp_path, holder):
    home, told = open_home(tmp_path), []
    with pytest.raises(
        StoreError, match=r"^E_RUN_BUSY: run first of process \d+ is under"
    ) as error:
        take_turn(home, "u", "second", ended=lambda _: False, tell=told.append, wait_s=1.0)
    assert "\n" not in str(error.value)
    assert told == [f"waiting for run first of process {holder.pid}"]
    take_turn(home, "other", "third", ended=lambda _: False, wait_s=1.0)
    end_turn(home, "other")
    holder.communicate("go on\n", timeout=30)
    take_turn(home, "u", "second", ended=lambda _: False, wait_s=30.0)
    take_turn(home, "u", "and the next of this process", ended=lambda _: False, wait_s=0.0)
    end_turn(home, "u")


def test_a_killed_run_leaves_its_turn_at_once(tmp_path, holder):
    holder.kill()
    take_turn(open_home(tmp_path), "u", "second", ended=lambda _: False, wait_s=10.0)
    end_turn(open_home(tmp_path), "u")


def test_a_run_that_is_over_keeps_nobody_waiting_though_its_process_lives(tmp_path, holder):
    take_turn(open_home(tmp_path), "u", "second", ended=lambda run: run == "first", wait_s=0.0)
    assert holder.poll() is None
    assert not turns._HELD


def test_runs_of_dead_commands_are_ended(instance):
    dead = {"pid": 2**22 + 1, "started": 0.0}
    tags = {chain.PROCESS_TAG: f'{{"pid": {dead["pid"]}, "started": 0.0}}'}
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
    own = create_run_for_test(
        instance,
        status=dg.DagsterRunStatus.STARTED,
        tags={chain.PROCESS_TAG: json.dumps(this_process())},
    )
    assert chain.end_dead_runs(instance) == [run.run_id]
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(own.run_id).status == dg.DagsterRunStatus.STARTED


def test_the_sensor_is_shipped_stopped_and_says_how_to_start_it():
    assert sensors.catch_up.default_status == dg.DefaultSensorStatus.STOPPED
    assert "dagster sensor start catch_up" in sensors.catch_up.description
