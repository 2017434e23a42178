"""What every remote source shares beside collecting."""

from datetime import UTC, datetime

import pytest

from pipeline.feed import retry_after_s

NOW = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        ("Mon, 01 Jan 2024 12:01:30 GMT", 90.0),
        ("Mon, 01 Jan 2024 12:01:30 -0000", 90.0),
        ("Mon, 01 Jan 2024 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("\u00b2", None),
        ("9" * 400, None),
        ("Mon, 99 Jan 2024 12:01:30 GMT", None),
        ("Mon, 01 Jan 99999 12:01:30 GMT", None),
    ],
)
def test_how_long_a_source_asks_to_wait(header: str | None, seconds: float | None):
    assert retry_after_s(header, NOW) == seconds
