"""When a row counts as known, and where a read as of a date or a moment is cut."""

import dataclasses
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from pipeline.cli.daily import run
from pipeline.resources import SettingsResource
from pipeline.store.knowledge import first_known, knowledge_cut
from tests.pipeline.stored import FRIDAY, MONDAY, TUESDAY, at, fresh, prepared_of


def test_more_than_five_sessions_late_counts_as_known_at_the_close():
    """On the evening of Tuesday 10 March 2020 five sessions have closed after 3 March."""
    days = [date(2020, 2, 28), date(2020, 3, 2), date(2020, 3, 3), TUESDAY, date(2020, 3, 7)]
    rows = pl.DataFrame({"symbol": ["A"] * 5, "date": days})
    known = first_known(rows, session="date", arrived=at(TUESDAY, 22), calendars={"A": "XNYS"})
    assert known["first_vintage"].to_list() == ["backfill", "backfill", "live", "live", "live"]
    assert known["first_known_at"].to_list() == [
        at(date(2020, 2, 28), 21),
        at(date(2020, 3, 2), 21),
        at(TUESDAY, 22),
        at(TUESDAY, 22),
        at(TUESDAY, 22),
    ]


def test_a_half_days_close_is_the_early_one_and_nothing_is_known_before_its_close():
    rows = pl.DataFrame({"symbol": ["A"], "date": [date(2019, 11, 29)]})
    late = first_known(rows, session="date", arrived=at(TUESDAY, 22), calendars="XNYS")
    assert late["first_known_at"].item() == at(date(2019, 11, 29), 18)
    early = first_known(rows, session="date", arrived=at(date(2019, 11, 29), 12), calendars="XNYS")
    assert early["first_known_at"].item() == at(date(2019, 11, 29), 18)
    data = first_known(rows, session="date", arrived=at(TUESDAY, 22), calendars="data")
    assert data["first_known_at"].item() == at(date(2019, 11, 30), 0) - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("calendar", "as_of", "cut"),
    [
        ("XNYS", FRIDAY, MONDAY),
        ("XNYS", date(2020, 3, 7), MONDAY),  # a Saturday is no session: as its Friday
        ("XNYS", date(2024, 5, 24), date(2024, 5, 28)),  # Memorial Day
        ("XNYS", date(2024, 3, 28), date(2024, 4, 1)),  # Good Friday
        ("XLON", date(2024, 3, 28), date(2024, 4, 2)),  # and Easter Monday
        ("XLON", date(2024, 3, 27), date(2024, 3, 28)),
        ("data", FRIDAY, date(2020, 3, 7)),
    ],
)
def test_the_cut_of_a_date_is_midnight_utc_of_the_next_session(calendar, as_of, cut):
    assert knowledge_cut(as_of, calendar) == at(cut, 0)


def test_the_cut_of_a_moment_is_the_moment():
    assert knowledge_cut(at(FRIDAY, 3), "XNYS") == at(FRIDAY, 3)
    told = datetime(2020, 3, 9, 20, tzinfo=ZoneInfo("America/New_York"))
    assert knowledge_cut(told, "XNYS") == at(TUESDAY, 0)


def test_a_run_after_midnight_utc_is_asked_for_by_its_moment(tmp_path):
    """At 20:00 in New York on a Monday another session's day has begun in UTC; on Fridays not."""
    monday, friday = fresh(tmp_path, "monday"), fresh(tmp_path, "friday")
    prepared = prepared_of(["A"], 30, until=MONDAY)
    for store, until, arrived in (
        (monday, MONDAY, at(TUESDAY, 0)),
        (friday, FRIDAY, at(date(2020, 3, 7), 1)),
    ):
        rows = dataclasses.replace(
            prepared,
            bars=prepared.bars.filter(pl.col("date") <= until),
            rows_in=prepared.bars.filter(pl.col("date") <= until).height,
        )
        store.write_bars(rows, run_id="r", source="s", until=until, arrived=arrived)
    assert friday.kept_bars(FRIDAY)
    assert not monday.kept_bars(MONDAY)
    assert monday.kept_bars(at(TUESDAY, 0) + timedelta(seconds=1))


def test_every_page_states_the_cut_in_the_same_words():
    rule = "known before 00:00 UTC on the day of the next session after"
    history = Path(__file__).parents[2] / "docs" / "methods" / "history.md"
    option = next(one for one in run.params if one.name == "as_of")
    for text in (
        history.read_text(encoding="utf-8"),
        option.help,
        SettingsResource.model_fields["as_of"].description,
    ):
        assert rule in text
        assert "UTC unless it names a zone" in text
