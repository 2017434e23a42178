"""A disk that fills up at the n-th write of a run, for real: from then on no file can grow.

For: a process of its own (``... full_disk run|rooms feed|files FOLDER STEP``), which answers in
JSON lines what a person sees at each of a run's writes, and what a re-run with room makes of it.
Not for: asserts. ``RLIMIT_FSIZE`` needs no rights, and holds for all libraries.

The market is too short for research on purpose: a run ends after ingestion, in ``E_TOO_SHORT``.
"""

import json
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from backtest.errors import WeathervaneError
from backtest.market.bars import prepare
from pipeline.collecting import fetch
from pipeline.commands.doctor import examine
from pipeline.config import Home, load_settings, open_home
from pipeline.feed import Feed
from pipeline.provider import PROVIDERS, keep_truth
from pipeline.snapshots import Snapshots
from pipeline.store import Store, connection, content_hash
from pipeline.store.backup import keep_backup
from tests.pipeline.cli_runner import Ran, weathervane
from tests.pipeline.paper_feed import FIRST, LAST, PaperFeed, days_before

EARLIER = days_before(LAST, 3)
NAMES = ["A", "B", "C"]
ACTIONS = {"B": [(LAST, "dividend", 2.0)]}
ROOMS = ("store", "snapshots", "truth", "reports", "backups")
EMPTY = (".lock", ".held-by-")
"""Files without content: a full disk does not refuse them."""
SIZES = (1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 21, 1 << 22)
"""With room for so many bytes a file the database is what meets the limit, at several places."""
_UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)


class Disk:
    """Counts the writes of a run, and is full from one of them on."""

    def __init__(self) -> None:
        self.home: Path | None = None
        self.full_at, self.room, self.writes, self.place = 0, 0, 0, ""
        sys.addaudithook(self._heard)
        connected = connection._connected

        def counted(path: Path, **given: object):
            if not given.get("read_only"):
                self._write(str(path))
            return connected(path, **given)

        connection._connected = counted

    def _heard(self, event: str, told: tuple) -> None:
        if event == "open" and self.home and isinstance(told[0], str | Path):
            path, flags = str(told[0]), told[2] or 0
            rooms = tuple(f"{self.home / room}/" for room in ROOMS)
            if not flags & (os.O_WRONLY | os.O_RDWR) or not path.startswith(rooms):
                return
            if not any(word in path for word in EMPTY):
                self._write(path)

    def _write(self, path: str) -> None:
        self.writes += 1
        if self.writes == self.full_at:
            self.place = path
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, _UNLIMITED[1]))

    @contextmanager
    def watched(self, home: Path, full_at: int = 0, room: int = 0) -> Iterator[None]:
        """Count from one on; from ``full_at`` on no file grows beyond ``room`` bytes."""
        self.home, self.full_at, self.room, self.writes, self.place = home, full_at, room, 0, ""
        try:
            yield
        finally:
            self.home = None
            resource.setrlimit(resource.RLIMIT_FSIZE, _UNLIMITED)


def told(kind: str, folder: Path, day: date) -> list[str]:
    """Settings of a run up to a session, as options; the market stands ready."""
    feed = PaperFeed(NAMES, today=day, actions=ACTIONS)
    if kind == "feed":
        PROVIDERS._parts["paper"] = feed
        symbols = json.dumps(NAMES)
        return ["data.provider=paper", f"data.symbols={symbols}", f"feed.first={FIRST}"]
    import polars as pl

    frames = [feed.market(s)[0].with_columns(symbol=pl.lit(s)) for s in NAMES]
    path = folder / "bars.parquet"
    pl.concat(frames).drop("adj_close").write_parquet(path)
    return ["data.provider=files", f"data.path={path}", "data.universe=files"]


def run(options: list[str], home: Path, day: date) -> Ran:
    """Type the command."""
    given = [part for one in options for part in ("--set", one)]
    return weathervane("run", "--home", home, "--session", day, *given)


def seen(options: list[str], home: Path) -> str:
    """Content of what the last run saw."""
    settings = load_settings("demo", overrides=options)
    return Snapshots(Home(home), settings).current().snapshot


def rows(options: list[str], home: Path) -> str:
    """Content of the rows that the first run kept."""
    universe = load_settings("demo", overrides=options).universe
    return content_hash(Store(Home(home), universe=universe).read_bars(as_of=EARLIER))


def main(kind: str, folder: Path, step: int) -> None:
    """Run once with room, then with a disk that is full at each write in turn."""
    disk, base, clean = Disk(), folder / "base", folder / "clean"
    options = told(kind, folder, EARLIER)
    first = run(options, base, EARLIER)
    before = rows(options, base)
    options = told(kind, folder, LAST)
    shutil.copytree(base, clean)
    with disk.watched(clean):
        undisturbed = run(options, clean, LAST)
    count, wanted = disk.writes, seen(options, clean)
    say({"first": first.err, "undisturbed": undisturbed.err, "writes": count})
    for n in range(1, count + 1, step):
        home = Path(shutil.copytree(base, folder / "hurt"))
        with disk.watched(home, n):
            hurt = run(options, home, LAST)
        wrong = [check for check in examine(home) if not check.ok]
        kept = rows(options, home) == before
        again = run(options, home, LAST)
        say(
            {
                "at": disk.place and str(Path(disk.place).relative_to(home)),
                "code": hurt.code,
                "err": hurt.err,
                "wrong": [[check.name, check.found, check.heal] for check in wrong],
                "kept": kept,
                "again": again.err.splitlines()[-1:],
                "same": seen(options, home) == wanted,
                "healed": [vars(check) for check in examine(home) if not check.ok],
            }
        )
        shutil.rmtree(home)


def rooms(kind: str, folder: Path, day: date) -> str:
    """What a run does between a source and a backup, without what surrounds it; its content."""
    home = open_home(folder)
    settings = load_settings("demo", overrides=told(kind, folder.parent, day))
    store = Store(home, universe=settings.universe, calendar="XNYS", wait_s=1.0)
    files, part = Snapshots(home, settings), PROVIDERS.get(settings.data.provider)
    if isinstance(part, Feed):
        fetched = fetch(part, settings, store, run_id=str(day), until=day)
    else:
        fetched = part.fetch(settings, day)
    keep_truth(home, fetched, universe=settings.universe)
    files.keep_raw(fetched)
    prepared = prepare(files.raw().raw, calendar="XNYS")
    store.write_bars(prepared, run_id=str(day), source=kind, until=day)
    facts = {"missing": 0, "notes": (), "folded": 0, "findings": prepared.findings}
    bars, held = store.read_bars(until=day), store.quarantine(until=day)
    taken = files.take(files.raw_facts(), bars=bars, quarantined=held, **facts)
    files.retire(taken)
    store.write_sessions(FIRST, day, run_id=str(day))
    keep_backup(home)
    return taken.snapshot


def in_rooms(kind: str, folder: Path, step: int) -> None:
    """As :func:`main`, of the rooms alone: a write in a hundredth of the time."""
    disk, base, clean = Disk(), folder / "base", folder / "clean"
    rooms(kind, base, EARLIER)
    before = rows(told(kind, folder, EARLIER), base)
    shutil.copytree(base, clean)
    with disk.watched(clean):
        wanted = rooms(kind, clean, LAST)
    say({"writes": (count := disk.writes)})
    sizes = SIZES[:: 1 + step // 8]
    for n, room in [*((n, 0) for n in range(1, count + 1, step)), *((1, size) for size in sizes)]:
        home, said = Path(shutil.copytree(base, folder / "hurt")), ""
        with disk.watched(home, n, room):
            try:
                rooms(kind, home, LAST)
            except WeathervaneError as error:
                said = str(error)
        wrong = [[c.name, c.found, c.heal] for c in examine(home) if not c.ok]
        at, kept = str(Path(disk.place).relative_to(home)), rows(told(kind, folder, LAST), home)
        same = rooms(kind, home, LAST) == wanted
        healed = [vars(check) for check in examine(home) if not check.ok]
        found = {"at": at, "room": room, "err": said, "wrong": wrong, "kept": kept == before}
        say({**found, "same": same, "healed": healed})
        shutil.rmtree(home)


def say(values: dict[str, object]) -> None:
    """Answer with one line."""
    sys.__stdout__.write(json.dumps(values) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    what, kind, folder, step = sys.argv[1:]
    {"run": main, "rooms": in_rooms}[what](kind, Path(folder), int(step))
