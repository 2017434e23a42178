"""What assets are handed: settings, provider, store, snapshots, exports and tracker.

For: opening each with the settings of the run, late. Not for: what they do; every one is a room
of its own. A run's launch page takes ``settings`` as its one configuration.
"""

import functools
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from backtest.errors import DataError, StoreError
from pipeline.partitions import session_of

if TYPE_CHECKING:
    import polars as pl

    from backtest.market.panel import Panel
    from pipeline.config import Home, Settings
    from pipeline.provider import Fetched
    from pipeline.publish import Published
    from pipeline.store import Store


class SettingsResource(dg.ConfigurableResource):
    """What a run is told; also the launch page's configuration."""

    profile: str = Field("", description="A profile's name or TOML file; demo, or files with path")
    path: str = Field("", description="Bars of your own: a Parquet or CSV file, or a folder")
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
        path = Path(self.path) if self.path else None
        return load_settings(self.profile or None, path=path, overrides=self.overrides)

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


@dataclass(frozen=True)
class Snapshot:
    """What a run saw: written by ``bars``, read by everything after it.

    Parameters
    ----------
    snapshot : str
        Content hash of the bars.
    universe, source : str
    synthetic : bool
    first, last : str
        Sessions, ISO.
    symbols, rows, quarantined, missing : int
    calendar : str
        Of most symbols.
    notes : tuple of str
        What a reader of the report should know.
    reasons : dict of str to int
        Quarantined rows by rule.
    """

    snapshot: str
    universe: str
    source: str
    synthetic: bool
    first: str
    last: str
    symbols: int
    rows: int
    quarantined: int
    missing: int
    calendar: str
    notes: tuple[str, ...] = ()
    reasons: dict[str, int] | None = None


class SnapshotsResource(dg.ConfigurableResource):
    """Published files of what a run saw and computed, one folder per content of the bars."""

    settings: dg.ResourceDependency[SettingsResource]

    def keep_raw(self, fetched: "Fetched") -> "Published":
        """Publish a provider's answer until the next one."""
        facts = {"source": fetched.source, "synthetic": fetched.synthetic}
        self.publish_values(self._raw().with_suffix(".json"), facts)
        return self.publish(self._raw(), fetched.raw)

    def raw(self) -> "Fetched":
        """Return what the provider answered last."""
        from pipeline.provider import Fetched

        return Fetched(raw=self.frame(self._raw()), **self.values(self._raw().with_suffix(".json")))

    def take(self, fetched: "Fetched", *, bars: "pl.DataFrame", **facts: Any) -> Snapshot:
        """Publish the bars that a run sees and make them the current snapshot.

        Parameters
        ----------
        fetched : Fetched
            Where they came from.
        bars : polars.DataFrame
        **facts
            ``quarantined`` (the frame), ``missing`` and ``notes``.
        """
        from backtest.market.calendar import calendars_of
        from pipeline.store import content_hash

        settings = self.settings.read()
        names = list(calendars_of(bars, settings.data.calendar).values())
        rules = facts["quarantined"]["rule"].value_counts().sort("rule")
        taken = Snapshot(
            snapshot=content_hash(bars),
            universe=settings.universe,
            source=fetched.source,
            synthetic=fetched.synthetic,
            first=str(bars["date"].min()),
            last=str(bars["date"].max()),
            symbols=bars["symbol"].n_unique(),
            rows=bars.height,
            quarantined=facts["quarantined"].height,
            missing=facts["missing"],
            calendar=max(sorted(set(names)), key=names.count),
            notes=tuple(facts["notes"]),
            reasons=dict(rules.iter_rows()),
        )
        self.publish(self.folder(taken) / "bars.parquet", bars)
        self.publish_values(self._pointer(), asdict(taken))
        return taken

    def current(self) -> Snapshot:
        """Return what the last run with these settings saw."""
        path = self._pointer()
        if not path.is_file():
            raise StoreError(
                "no snapshot yet for these settings",
                where=str(path),
                fix="materialise the asset bars first",
                code="E_MISSING",
            )
        content = self.values(path)
        return Snapshot(**{**content, "notes": tuple(content["notes"])})

    def folder(self, snapshot: Snapshot) -> Path:
        """Folder of what depends on the bars alone."""
        return self.settings.open_home().snapshots / snapshot.snapshot[:16]

    def research(self, snapshot: Snapshot) -> Path:
        """Folder of what depends on the settings, too."""
        return self.folder(snapshot) / f"research-{self.settings.read().hash()[:12]}"

    def bars(self, snapshot: Snapshot) -> "pl.DataFrame":
        """Bars of a snapshot."""
        return self.frame(self.folder(snapshot) / "bars.parquet")

    def panel(self, snapshot: Snapshot) -> "Panel":
        """Bars of a snapshot, aligned."""
        from backtest.market.calendar import periods_per_year
        from backtest.market.panel import Panel

        periods = periods_per_year(snapshot.calendar)
        return Panel.from_frame(self.bars(snapshot), periods_per_year=periods)

    def frame(self, path: Path) -> "pl.DataFrame":
        """Read a published frame after checking its SHA-256."""
        from pipeline.publish import read_frame

        return read_frame(path)

    def publish(self, path: Path, frame: "pl.DataFrame") -> "Published":
        """Publish a frame with its SHA-256; equal content is not rewritten."""
        from pipeline.publish import publish_frame

        return publish_frame(path, frame)

    def values(self, path: Path) -> Any:
        """Read a published JSON file after checking its SHA-256."""
        from pipeline.publish import read_published

        return json.loads(read_published(path))

    def publish_values(self, path: Path, content: Any) -> "Published":
        """Publish plain values as JSON; equal content is not rewritten."""
        from pipeline.publish import publish_bytes

        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        return publish_bytes(path, text.encode())

    def _raw(self) -> Path:
        name = f"{self.settings.read().universe}.parquet"
        return self.settings.open_home().snapshots / "raw" / name

    def _pointer(self) -> Path:
        settings = self.settings.read()
        name = f"current-{settings.universe}-{settings.hash()[:12]}.json"
        return self.settings.open_home().snapshots / name


@functools.cache
def resources() -> dict[str, Any]:
    """All resources by the name under which assets ask for them."""
    settings = SettingsResource.configure_at_launch()
    return {
        "settings": settings,
        "provider": ProviderResource(settings=settings),
        "store": StoreResource(settings=settings),
        "snapshots": SnapshotsResource(settings=settings),
    }
