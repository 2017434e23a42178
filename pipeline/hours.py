"""When the day of an exchange is over: one table behind the schedule and the freshness policy.

For: the exchange that ``$WEATHERVANE_CALENDAR`` names (XNYS if it is unset), its time zone, the
time at which its close has settled, and the time by which a session's document must be there. Not
for: which days are sessions (``backtest.market.calendar``).
"""

import os
from datetime import timedelta

from backtest.errors import ConfigError
from backtest.registry import closest

SETTLED = {
    "XNYS": ("America/New_York", 17, 30),
    "XETR": ("Europe/Berlin", 19, 0),
    "XLON": ("Europe/London", 18, 0),
    "XPAR": ("Europe/Paris", 19, 0),
}
"""Time zone of each exchange; hour and minute there at which its close has settled."""

HOURS_TO_PUBLISH = 3
SINCE_THE_CLOSE = timedelta(hours=HOURS_TO_PUBLISH, minutes=90)
"""From the close (90 minutes before it has settled) to the deadline: what is made then is fresh."""

CALENDAR = os.environ.get("WEATHERVANE_CALENDAR", "XNYS")
if CALENDAR not in SETTLED:
    raise ConfigError(
        f"no daily schedule for calendar {CALENDAR!r}",
        where="$WEATHERVANE_CALENDAR",
        fix=closest(CALENDAR, list(SETTLED)),
        code="E_CALENDAR",
    )
ZONE, _HOUR, _MINUTE = SETTLED[CALENDAR]
RUN_AT = f"{_MINUTE} {_HOUR} * * 1-5"
LEARNED_AT = f"{_MINUTE} {_HOUR + HOURS_TO_PUBLISH} * * 5"
"""Fridays, once the day's document must be there."""
PUBLISHED_BY = f"{_MINUTE} {_HOUR + HOURS_TO_PUBLISH} * * 1-5"
