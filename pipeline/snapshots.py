"""What a run saw and computed, as published files: one folder per content of the bars.

For: writing and reading them under their names, with their SHA-256. Not for: rows that are kept
in versions (``store``) or documents that leave the house (``exports``).
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError
from pipeline.publish import (
    Published,
    publish_bytes,
    publish_frame,
    read_frame,
    read_published,
    sidecar_of,
)

if TYPE_CHECKING:
    import polars as pl

    from backtest.market.panel import Panel
    from pipeline.config import Home, Settings
    from pipeline.provider import Fetched
    from pipeline.workbench import Workbench

logger = logging.getLogger(__name__)

KEPT = 3
"""Snapshots of a universe that stay; each holds what a run saw and made of it (some 100 MB)."""


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
    folded : int
        Rows finer than a session beyond the one bar that was made of them, or in none.
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
    folded: int = 0

    def facts(self) -> dict[str, str]:
        """Say where the bars came from, for the head of a page."""
        return {
            "source": self.source,
            "sessions": f"{self.first} to {self.last}, calendar {self.calendar}",
            "symbols": str(self.symbols),
            "rows": f"{self.rows:,}, {self.quarantined:,} set aside",
            "snapshot": self.snapshot[:16],
            **{f"note {i}": note for i, note in enumerate(self.notes, start=1)},
        }


class Snapshots:
    """Published files of one home for one set of settings.

    Parameters
    ----------
    home : Home
    settings : Settings
    """

    def __init__(self, home: "Home", settings: "Settings"):
        self.home = home
        self.settings = settings

    def keep_raw(self, fetched: "Fetched") -> Published:
        """Publish a provider's answer until the next one."""
        names = ("source", "synthetic", "place", "collected")
        facts = {name: getattr(fetched, name) for name in names}
        self.publish_values(self._raw().with_suffix(".json"), facts)
        return self.publish(self._raw(), fetched.raw)

    def raw(self) -> "Fetched":
        """Return what the provider answered last."""
        from pipeline.provider import Fetched

        return Fetched(raw=self.frame(self._raw()), **self.raw_facts())

    def raw_facts(self) -> dict[str, Any]:
        """Say where the last answer came from, and what asking came to."""
        return dict(self.values(self._raw().with_suffix(".json")))

    def take(self, came: Mapping[str, Any], *, bars: "pl.DataFrame", **facts: Any) -> Snapshot:
        """Publish the bars that a run sees and make them the current snapshot.

        Parameters
        ----------
        came : mapping
            As :meth:`raw_facts`: where they came from.
        bars : polars.DataFrame
            Where the settings name a base currency, the snapshot's are in it; where they name a
            table of members, the snapshot's have a bool ``member`` and its labels by date.
        **facts
            ``quarantined`` and ``findings`` (frames), ``missing``, ``notes`` and ``folded``.
        """
        from backtest.market.calendar import calendars_of
        from backtest.market.currency import in_currency
        from backtest.market.universe import marked, membership_notes, relabelled
        from pipeline.store import content_hash

        told = self.settings.data
        members = told.read_members()
        said = [] if came["synthetic"] else membership_notes(bars, members)
        bars, out, found, money = in_currency(
            bars,
            facts["quarantined"],
            facts["findings"],
            base=told.base_currency,
            rates=told.read_rates(),
        )
        if members is not None:
            bars = marked(relabelled(bars, members), members)
        names = list(calendars_of(bars, self.settings.data.calendar).values())
        rules = out["rule"].value_counts().sort("rule")
        taken = Snapshot(
            snapshot=content_hash(bars),
            universe=self.settings.universe,
            source=came["source"],
            synthetic=came["synthetic"],
            first=str(bars["date"].min()),
            last=str(bars["date"].max()),
            symbols=bars["symbol"].n_unique(),
            rows=bars.height,
            quarantined=out.height,
            missing=facts["missing"],
            calendar=max(sorted(set(names)), key=names.count),
            notes=(*facts["notes"], *said, *money),
            reasons=dict(rules.iter_rows()),
            folded=facts["folded"],
        )
        self.publish(self.folder(taken) / "bars.parquet", bars)
        if self.settings.data.symbols:
            found = found.filter(found["symbol"].is_in(list(self.settings.data.symbols)))
        self.publish(self._findings(taken), found)
        self.publish_values(self._pointer(), asdict(taken))
        return taken

    def retire(self, latest: Snapshot) -> list[str]:
        """Remove the folders of this universe beyond the last ``KEPT``; those removed.

        All that lay in them can be computed again from the store. A folder that another universe
        names, or that this list never named, stays. One whose removal a crash cut short is still
        on the list.
        """
        own, before = self._recent(), self.recent()
        name = self.folder(latest).name
        recent = [*(one for one in before if one != name), name]
        others = self.home.snapshots.glob("recent-*.json")
        shared = {one for path in others if path != own for one in self.values(path)}
        removed = []
        for old in recent[:-KEPT]:
            folder = self.home.snapshots / old
            if old not in shared and folder.is_dir() and not folder.is_symlink():
                self._forget(old)
                shutil.rmtree(folder)
                logger.info("snapshot %s removed; the last %d are kept", old, KEPT)
                removed.append(old)
        self.publish_values(own, recent[-KEPT:])
        return removed

    def recent(self) -> list[str]:
        """Names of this universe's folders that are kept, the latest last."""
        return list(self.values(self._recent())) if self._recent().is_file() else []

    def _forget(self, folder: str) -> None:
        """Remove what points to a folder."""
        for pointer in self.home.snapshots.glob("current-*.json"):
            if self.values(pointer)["snapshot"].startswith(folder):
                pointer.unlink()
                sidecar_of(pointer).unlink(missing_ok=True)

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
        return self.home.snapshots / snapshot.snapshot[:16]

    def workbench(self, snapshot: Snapshot) -> "Workbench":
        """Files of what depends on the settings, too."""
        from pipeline.workbench import Workbench

        folder = self.folder(snapshot) / f"research-{self.settings.hash()[:12]}"
        return Workbench(self, snapshot, folder)

    def bars(self, snapshot: Snapshot, *, columns: Sequence[str] = ()) -> "pl.DataFrame":
        """Bars of a snapshot; these columns alone, if any are named."""
        return self.frame(self.folder(snapshot) / "bars.parquet", columns=columns)

    def findings(self, snapshot: Snapshot) -> "pl.DataFrame":
        """Findings of quality under these settings: ``symbol, date, rule, severity, ...``."""
        return self.frame(self._findings(snapshot))

    def panel(self, snapshot: Snapshot) -> "Panel":
        """Bars of a snapshot, aligned, with the members that they name."""
        from backtest.market.calendar import periods_per_year
        from backtest.market.panel import Panel

        periods = periods_per_year(snapshot.calendar)
        return Panel.from_frame(self.bars(snapshot), periods_per_year=periods)

    def frame(self, path: Path, *, columns: Sequence[str] = ()) -> "pl.DataFrame":
        """Read a published frame, or some columns of it, after checking its SHA-256."""
        return read_frame(path, columns=columns)

    def publish(self, path: Path, frame: "pl.DataFrame") -> Published:
        """Publish a frame with its SHA-256; equal content is not rewritten."""
        return publish_frame(path, frame)

    def values(self, path: Path) -> Any:
        """Read a published JSON file after checking its SHA-256."""
        return json.loads(read_published(path))

    def publish_values(self, path: Path, content: Any) -> Published:
        """Publish plain values as JSON; equal content is not rewritten."""
        text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
        return publish_bytes(path, text.encode())

    def _raw(self) -> Path:
        name = f"{self.settings.universe}.parquet"
        return self.home.snapshots / "raw" / name

    def _findings(self, snapshot: Snapshot) -> Path:
        # Equal bars may have other findings under other thresholds.
        return self.folder(snapshot) / f"findings-{self.settings.hash()[:12]}.parquet"

    def _recent(self) -> Path:
        return self.home.snapshots / f"recent-{self.settings.universe}.json"

    def _pointer(self) -> Path:
        name = f"current-{self.settings.universe}-{self.settings.hash()[:12]}.json"
        return self.home.snapshots / name
