from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import exchange_calendars
import polars as pl
import pytest

from backtest.errors import DataError
from backtest.market import calendar as cal


@pytest.mark.parametrize(
    ("symbol", "exchange", "expected"),
    [
        ("SAP.DE", None, "XETR"),
        ("BARC.L", None, "XLON"),
        ("MC.PA", None, "XPAR"),
        ("SPY", None, "XNYS"),
        ("BRK.B", None, "XNYS"),
        ("SAP.DE", "XNYS", "XNYS"),
        ("7203.T", "xtks", "XTKS"),
        ("SPY", "", "XNYS"),
    ],
)
def test_calendar_of(symbol: str, exchange: str | None, expected: str) -> None:
    assert cal.calendar_of(symbol, exchange) == expected


def test_every_suffix_leads_to_a_calendar_and_a_currency() -> None:
    known = set(exchange_calendars.get_calendar_names())
    for suffix, name in cal.SUFFIXES.items():
        assert cal.calendar_of(f"X.{suffix.lower()}") == name
        assert name in known
        assert name in cal.CURRENCIES


def test_sessions_leave_out_weekends_and_holidays() -> None:
    assert cal.sessions("XNYS", date(2024, 7, 3), date(2024, 7, 8)) == [
        date(2024, 7, 3),
        date(2024, 7, 5),
        date(2024, 7, 8),
    ]
    assert cal.sessions("XNYS", date(2024, 7, 8), date(2024, 7, 3)) == []


@pytest.mark.parametrize(
    ("name", "count"), [("XNYS", 252), ("XLON", 254), ("XETR", 254), ("XPAR", 256)]
)
def test_number_of_sessions_in_2024(name: str, count: int) -> None:
    assert len(cal.sessions(name, date(2024, 1, 1), date(2024, 12, 31))) == count


def test_sessions_before_1990_and_years_ahead() -> None:
    assert cal.sessions("XNYS", date(1987, 10, 19), date(1987, 10, 19)) == [date(1987, 10, 19)]
    assert len(cal.sessions("XNYS", date(2033, 1, 1), date(2033, 12, 31))) > 245


def test_calendar_with_short_records_is_clipped() -> None:
    found = cal.sessions("XTKS", date(1991, 1, 1), date(1997, 1, 31))
    assert found[0] >= date(1997, 1, 1)


def test_half_day_closes_early() -> None:
    assert cal.close_at("XNYS", date(2024, 11, 29)) == datetime(2024, 11, 29, 18, tzinfo=UTC)
    assert cal.close_at("XNYS", date(2024, 11, 27)) == datetime(2024, 11, 27, 21, tzinfo=UTC)
    assert cal.close_at("XNYS", date(2024, 7, 2)) == datetime(2024, 7, 2, 20, tzinfo=UTC)


@pytest.mark.parametrize("name", ["XNYS", "XETR", "XLON"])
def test_closes_of_a_span_are_those_of_its_sessions(name: str) -> None:
    found = cal.closes(name, date(2024, 6, 28), date(2024, 12, 31))
    assert list(found) == cal.sessions(name, date(2024, 6, 28), date(2024, 12, 31))
    assert found == {day: cal.close_at(name, day) for day in found}
    assert cal.closes(name, date(2024, 12, 25), date(2024, 12, 25)) == {}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2024, 11, 29, 17, 59, tzinfo=UTC), date(2024, 11, 27)),
        (datetime(2024, 11, 29, 18, 0, tzinfo=UTC), date(2024, 11, 29)),
        (datetime(2024, 12, 1, 12, 0, tzinfo=UTC), date(2024, 11, 29)),
        (datetime(2024, 11, 29, 13, 5, tzinfo=timezone(timedelta(hours=-5))), date(2024, 11, 29)),
    ],
)
def test_last_finished_session(now: datetime, expected: date) -> None:
    assert cal.last_finished_session("XNYS", now) == expected


def test_next_session() -> None:
    assert cal.next_session("XNYS", date(2024, 7, 3)) == date(2024, 7, 5)
    assert cal.next_session("XETR", date(2024, 12, 23)) == date(2024, 12, 27)


@pytest.mark.parametrize(
    ("name", "periods"), [("XNYS", 252), ("XETR", 254), ("XPAR", 256), ("data", 252), ("24/7", 365)]
)
def test_periods_per_year(name: str, periods: int) -> None:
    assert cal.periods_per_year(name) == periods


def test_every_complaint_is_one_line() -> None:
    cases = [
        lambda: cal.sessions("XNYSS", date(2024, 1, 1), date(2024, 1, 5)),
        lambda: cal.close_at("XNYS", date(2024, 7, 4)),
        lambda: cal.last_finished_session("XNYS", datetime(2024, 7, 4)),  # noqa: DTZ001
    ]
    for case in cases:
        with pytest.raises(DataError) as caught:
            case()
        line = str(caught.value)
        assert line.startswith("E_CALENDAR: ")
        assert "\n" not in line
    with pytest.raises(DataError, match="did you mean 'XNYS'"):
        cal.sessions("XNYSS", date(2024, 1, 1), date(2024, 1, 5))
    with pytest.raises(DataError, match="2024-07-05"):
        cal.close_at("XNYS", date(2024, 7, 4))


def frame(rows: list[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["symbol", "date"], orient="row").with_columns(
        pl.col("date").str.to_date()
    )


def test_missing_sessions_by_each_symbols_own_calendar() -> None:
    bars = frame(
        [
            ("AAA", "2024-07-02"),
            ("AAA", "2024-07-05"),
            ("AAA", "2024-07-08"),
            ("BBB.DE", "2024-07-03"),
            ("BBB.DE", "2024-07-05"),
        ]
    )
    assert cal.missing_sessions(bars).rows() == [
        ("AAA", date(2024, 7, 3)),
        ("BBB.DE", date(2024, 7, 4)),
    ]


def test_missing_sessions_by_the_dates_present() -> None:
    bars = frame(
        [
            ("AAA", "2024-07-06"),
            ("AAA", "2024-07-08"),
            ("BBB", "2024-07-06"),
            ("BBB", "2024-07-07"),
            ("BBB", "2024-07-08"),
            ("CCC", "2024-07-08"),
        ]
    )
    assert cal.missing_sessions(bars, "data").rows() == [("AAA", date(2024, 7, 7))]


def test_half_day_is_a_session_like_any_other() -> None:
    bars = frame([("AAA", "2024-11-27"), ("AAA", "2024-12-02")])
    assert cal.missing_sessions(bars).rows() == [("AAA", date(2024, 11, 29))]


def test_exchange_column_decides() -> None:
    bars = frame([("AAA", "2024-07-03"), ("AAA", "2024-07-05")])
    with_exchange = bars.with_columns(exchange=pl.lit("XETR"))
    assert cal.missing_sessions(bars).is_empty()
    assert cal.missing_sessions(with_exchange).rows() == [("AAA", date(2024, 7, 4))]


def test_importing_the_module_stays_light() -> None:
    code = "import sys, backtest.market.bars; print('exchange_calendars' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
