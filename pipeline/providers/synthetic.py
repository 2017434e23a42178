"""A synthetic market on real sessions: the embedded default, with no network.

For: worlds of ``backtest.market.synthetic`` laid on an exchange's calendar from a fixed first
session, so that tomorrow's history extends today's. Not for: anything shown without the word
synthetic beside it.
"""

from datetime import date
from typing import TYPE_CHECKING

from backtest.errors import ConfigError
from pipeline.provider import PROVIDERS, Fetched

if TYPE_CHECKING:
    from pipeline.config import Settings

CALENDAR = "XNYS"


class SyntheticProvider:
    """Makes the market of ``settings.world``; the same settings make the same bars."""

    def fetch(self, settings: "Settings", until: date) -> Fetched:
        """Generate all sessions from the first one up to and including ``until``."""
        from backtest.market.calendar import sessions
        from backtest.market.synthetic import generate

        first = settings.data.first_session
        if until < first:
            raise ConfigError(
                f"no session between {first} and {until}",
                where="data.first_session",
                fix="ask for a later session or start the market earlier",
            )
        calendar = settings.data.calendar or CALENDAR
        world = generate(settings.world, sessions(calendar, first, until))
        source = f"synthetic {settings.world.world} world, seed {settings.world.seed}"
        return Fetched(raw=world.bars, source=source, synthetic=True, truth=world.truth)


PROVIDERS.register("synthetic")(SyntheticProvider())
