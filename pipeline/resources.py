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
from pydantic import Field, PrivateAttr

from backtest.errors import DataError
from pipeline.partitions import moment_of, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.collecting.collect import Report
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
    as_of: str = Field(
        "",
        description="Use only what was known before 00:00 UTC on the day of the next session after"
        " this date, or before this moment (ISO, UTC unless it names a zone)",
    )
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

    def known_by(self) -> date | datetime | None:
        """Session or moment whose knowledge limits the run; none if everything known counts."""
        return moment_of(self.as_of) if self.as_of else None

    def replays(self, kept: "Store") -> bool:
        """Say whether the run repeats what this home saw at an earlier moment.

        Then nothing is asked or written: what was kept by then is all there is.
        """
        known = self.known_by()
        return known is not None and kept.kept_bars(known)

    def until(self) -> date:
        """Last session that the run may use, whether or not its source has it."""
        from backtest.market.calendar import DATA, DEFAULT_CALENDAR, last_finished_session

        name = self.read().data.calendar or DEFAULT_CALENDAR
        today = datetime.now(UTC)
        last = today.date() if name == DATA else last_finished_session(name, today)
        asked = [session_of(self.session)] if self.session else []
        known = self.known_by()
        if isinstance(known, datetime):
            asked.append(known.date() if name == DATA else last_finished_session(name, known))
        elif known is not None:
            asked.append(known)
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

    def fetch(
        self, until: date, *, store: "Store", run_id: str, report: "Report | None" = None
    ) -> "Fetched":
        """All raw bars up to ``until``; a feed is asked for what the store does not have yet."""
        from pipeline.collecting import fetch
        from pipeline.feed import Feed
        from pipeline.provider import PROVIDERS

        settings = self.settings.read()
        part = PROVIDERS.get(settings.data.provider)
        if isinstance(part, Feed):
            return fetch(part, settings, store, run_id=run_id, until=until, report=report)
        return part.fetch(settings, until)


class StoreResource(dg.ConfigurableResource):
    """The database of the home."""

    settings: dg.ResourceDependency[SettingsResource]
    _instance: dg.DagsterInstance | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember whom to ask whether a run is over."""
        self._instance = context.instance

    def open(self, calendar: str | None = None) -> "Store":
        """Store of the run's universe; no connection is held."""
        from pipeline.store import Store

        settings = self.settings.read()
        return Store(
            self.settings.open_home(),
            universe=settings.universe,
            calendar=calendar or settings.data.calendar,
            ended=self.ended,
        )

    def begin(self, run_id: str, *, tell: "Callable[[str], None]") -> "Store":
        """Open the store once no other run works on the universe."""
        from pipeline.turns import take_turn

        settings = self.settings
        universe = settings.read().universe
        take_turn(settings.open_home(), universe, run_id, ended=self.ended, tell=tell)
        return self.open()

    def ended(self, run_id: str) -> bool:
        """Say whether a run is known to be over, whatever its process does."""
        from pipeline.instance import is_over

        return self._instance is not None and is_over(self._instance, run_id)


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
