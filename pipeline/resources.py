"""What assets are handed: settings, provider, store, snapshots, exports and tracker.

For: opening each with the settings of the run, late. Not for: what they do; every one is a room
of its own. A run's launch page takes ``settings`` as its one configuration.
"""

import functools
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from backtest.errors import DataError
from pipeline.partitions import session_of

if TYPE_CHECKING:
    from pipeline.config import Home, Settings
    from pipeline.provider import Fetched
    from pipeline.snapshots import Snapshots
    from pipeline.store import Store
    from pipeline.tracker import Tracker


class SettingsResource(dg.ConfigurableResource):
    """What a run is told; also the launch page's configuration."""

    profile: str = Field("", description="A profile's name or TOML file; else $WEATHERVANE_PROFILE")
    path: str = Field("", description="Bars of your own, file or folder; else $WEATHERVANE_BARS")
    overrides: list[str] = Field([], description="section.key=value, applied last")
    document: str = Field("", description="All settings as JSON, in place of the three above")
    session: str = Field("", description="Last session to use; the last finished one if empty")
    as_of: str = Field("", description="Use only what was known at the close of this session")
    home: str = Field("", description="Folder of all state; $WEATHERVANE_HOME or .weathervane")

    def read(self) -> "Settings":
        """Read the settings of the run, all defaults filled in."""
        from pipeline.config import Settings, load_settings

        if self.document:
            return Settings.model_validate_json(self.document)
        bars = self.path or os.environ.get("WEATHERVANE_BARS")
        profile = self.profile or os.environ.get("WEATHERVANE_PROFILE")
        path = Path(bars) if bars else None
        return load_settings(profile or None, path=path, overrides=self.overrides)

    def open_home(self) -> "Home":
        """Home of the run, its folders made."""
        from pipeline.config import open_home

        return open_home(self.home or None)

    def known_by(self) -> date | None:
        """Session whose knowledge limits the run; none if everything known counts."""
        return session_of(self.as_of) if self.as_of else None

    def until(self) -> date:
        """Last session that the run may use, whether or not its source has it."""
        from backtest.market.calendar import DATA, DEFAULT_CALENDAR, last_finished_session

        name = self.read().data.calendar or DEFAULT_CALENDAR
        today = datetime.now(UTC)
        last = today.date() if name == DATA else last_finished_session(name, today)
        asked = [session_of(text) for text in (self.session, self.as_of) if text]
        if asked and min(asked) > last:
            raise DataError(
                f"session {min(asked)} has not finished",
                where=f"calendar {name}",
                fix=f"the last finished session is {last}",
                code="E_SESSION",
            )
        return min([last, *asked])


class ProviderResource(dg.ConfigurableResource):
    """Where bars come from."""

    settings: dg.ResourceDependency[SettingsResource]

    def fetch(self, until: date) -> "Fetched":
        """All raw bars up to ``until``."""
        from pipeline.provider import PROVIDERS

        settings = self.settings.read()
        return PROVIDERS.get(settings.data.provider).fetch(settings, until)


class StoreResource(dg.ConfigurableResource):
    """The database of the home."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self, calendar: str | None = None) -> "Store":
        """Store of the run's universe; no connection is held."""
        from pipeline.store import Store

        settings = self.settings.read()
        return Store(
            self.settings.open_home(),
            universe=settings.universe,
            calendar=calendar or settings.data.calendar,
        )


class SnapshotsResource(dg.ConfigurableResource):
    """Published files of what a run saw and computed."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self) -> "Snapshots":
        """Files of the run's home and settings."""
        from pipeline.snapshots import Snapshots

        return Snapshots(self.settings.open_home(), self.settings.read())


class TrackerResource(dg.ConfigurableResource):
    """MLflow: a database under the home, or the server that the settings name."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self) -> "Tracker":
        """Tracker of the run."""
        from pipeline.tracker import open_tracker

        return open_tracker(self.settings.open_home(), self.settings.read().tracking)


@functools.cache
def resources() -> dict[str, Any]:
    """All resources by the name under which assets ask for them."""
    settings = SettingsResource.configure_at_launch()
    return {
        "settings": settings,
        "provider": ProviderResource(settings=settings),
        "store": StoreResource(settings=settings),
        "snapshots": SnapshotsResource(settings=settings),
        "tracker": TrackerResource(settings=settings),
    }
