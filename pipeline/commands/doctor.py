"""Is what this home holds still what was put there, and how to heal it if not.

For: ``weathervane doctor``. Not for: healing; each finding says which command does that.
"""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import WeathervaneError
from pipeline.config.home import Home, home_of

if TYPE_CHECKING:
    from pipeline.exports import History

NOTHING = "nothing there yet"
_AGAIN = "run `weathervane run`"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
    ok : bool
    found : str
        What is there, or what is wrong with it.
    heal : str
        What to do; empty where nothing is wrong.
    """

    name: str
    ok: bool
    found: str
    heal: str = ""


def examine(home: str | Path | None = None) -> list[Check]:
    """Look at home, store, files, ledger, registry and calendar; nothing is changed.

    Returns
    -------
    list of Check
        In this order.
    """
    place = Home(home_of(home))
    looks: dict[str, Callable[[Home], str]] = {
        "home": _home,
        "store": _store,
        "backup": _backup,
        "feed": _feed,
        "files": _files,
        "ledger": _ledger,
        "documents": _documents,
        "histories": _histories,
        "registry": _registry,
        "calendar": _calendar,
        "sessions": _sessions,
    }
    return [_checked(name, look, place) for name, look in looks.items()]


class _Wrong(Exception):
    """What a look found wrong, and how to heal it."""

    def __init__(self, what: str, heal: str = _AGAIN):
        super().__init__(what)
        self.heal = heal


def _checked(name: str, look: Callable[[Home], str], home: Home) -> Check:
    try:
        return Check(name, True, look(home))
    except _Wrong as wrong:
        return Check(name, False, str(wrong), wrong.heal)
    except WeathervaneError as error:
        return Check(name, False, f"{error.code}: {error.what}, {error.where}", error.fix or _AGAIN)


def _home(home: Home) -> str:
    """See that every folder can be written."""
    import os

    if not home.root.exists():
        return f"{home.root}: {NOTHING}"
    for folder in (home.root, *home.folders()):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise _Wrong(f"{folder} cannot be written", "mend its rights, or give another --home")
    return str(home.root)


def _store(home: Home) -> str:
    """Open the database, and see that it holds what its batches say they wrote."""
    from pipeline.store import Store
    from pipeline.store.commits import last_confirmed, read_commits

    if not home.database.exists() and not read_commits(home.store).lines:
        return NOTHING
    findings = Store(home, universe="").findings()
    if findings:
        raise _Wrong("; ".join(findings), "run `weathervane restore`")
    number, _ = last_confirmed(read_commits(home.store))
    return f"{home.database} holds every row of {number} commits"


def _backup(home: Home) -> str:
    """See how far the last copy of the database goes; whether it is sound, ``files`` says."""
    from pipeline.store.backup import backups
    from pipeline.store.commits import last_confirmed, read_commits

    found = backups(home)
    if not found:
        return NOTHING
    behind = last_confirmed(read_commits(home.store))[0] - found[-1].number
    return f"{found[-1].path.name}" + (f", {behind} commits behind" if behind > 0 else "")


def _feed(home: Home) -> str:
    """See which symbols a source did not answer for when it was last asked.

    A symbol that is still wanted is asked for each later session. One whose own exchange had a
    session since, for which others were asked and it was not, has left the universe.
    """
    from backtest.market.calendar import calendar_of, next_session
    from pipeline.store import Store

    if not home.database.exists():
        return NOTHING
    counts, failed = {}, []
    for universe in Store(home, universe="").universes():
        answers = Store(home, universe=universe).read_answers()
        newest = max(answers["until"], default=None)
        for row in answers.iter_rows(named=True):
            if next_session(calendar_of(row["symbol"]), row["until"]) <= newest:
                continue
            counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
            if row["outcome"] == "failed":
                failed.append(f"{row['symbol']} of {universe} ({row['detail']})")
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise _Wrong(f"no answer for {min(failed)}{more}", f"{_AGAIN}: it asks for those alone")
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return f"symbols asked for: {said}" if said else "no feed was asked"


def _files(home: Home) -> str:
    """See that each published file is what its SHA-256 says."""
    from pipeline.publish import SIDECAR, damaged

    folders = (
        *(home.snapshots, home.truth, home.exports, home.reports),
        *(home.proofs, home.backups, home.mlflow),
    )
    wrong = [line for folder in folders for line in damaged(folder)]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise _Wrong(wrong[0] + more, f"delete what is damaged with its .sha256 and {_AGAIN}")
    count = sum(1 for folder in folders for _ in folder.rglob(f"*{SIDECAR}"))
    return f"{count} files are what their SHA-256 says" if count else NOTHING


def _history(home: Home) -> "History | None":
    from pipeline.exports import history
    from pipeline.exports.ledger import read_ledger

    return history(home) if read_ledger(home.exports).entries else None


def _ledger(home: Home) -> str:
    """See that the ledger is unbroken, and its files are those that it names."""
    found = _history(home)
    if found is None:
        return NOTHING
    return f"{len(found.entries)} entries, latest document is that of entry {found.latest}"


def _documents(home: Home) -> str:
    """See that each document in force is valid, and fits its own hash."""
    from pipeline.exports import read_document

    found = _history(home)
    if found is None:
        return NOTHING
    sessions = sorted(e.session for e in found.entries if e.entry in found.in_force)
    for session in sessions:
        read_document(home, session)
    return f"{len(sessions)} sessions, {sessions[0]} to {sessions[-1]}"


def _histories(home: Home) -> str:
    """See that the databases of the orchestrator and the tracker are whole, as far as one can.

    They keep no checksums: what SQLite sees is a damaged structure, not a changed value.
    """
    import sqlite3

    found = sorted(path for folder in (home.dagster, home.mlflow) for path in folder.rglob("*.db"))
    for path in found:
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
                said = str(opened.execute("pragma quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            said = str(error)
        if said != "ok":
            folder = home.dagster if home.dagster in path.parents else home.mlflow
            raise _Wrong(
                f"{path} is damaged ({said.splitlines()[-1]})",
                f"move {folder} away and {_AGAIN}: earlier runs are no longer listed, what was"
                " exported is untouched",
            )
    return f"{len(found)} databases of runs are whole" if found else NOTHING


def _registry(home: Home) -> str:
    """See that the home's own registry answers, and each model with an alias is whole."""
    from pipeline.config import TrackingConfig
    from pipeline.tracker import OURS, open_tracker
    from pipeline.tracker.client import DATABASE

    if not (home.mlflow / DATABASE).exists():
        return NOTHING
    tracker = open_tracker(home, TrackingConfig())
    whole = []
    for model in tracker.client.search_registered_models():
        if not model.name.startswith(OURS):
            continue
        for alias in sorted(model.aliases):
            loaded = tracker.load_model(model.name, alias)
            whole.append(f"{model.name}@{alias} version {loaded.version}")
    return ", ".join(whole) or "no registered model has an alias yet"


def _calendar(home: Home) -> str:
    """See that sessions can be told, and the latest document is of one."""
    from datetime import UTC, datetime

    from backtest.market.calendar import DEFAULT_CALENDAR, last_finished_session

    last = last_finished_session(DEFAULT_CALENDAR, datetime.now(UTC))
    said = f"last finished session of {DEFAULT_CALENDAR} is {last}"
    latest = home.parameters / "latest.json"
    if not latest.exists():
        return said
    try:
        session = json.loads(latest.read_text(encoding="utf-8"))["session"]
    except (json.JSONDecodeError, KeyError):
        return said
    return f"{said}, the latest document is of {session}"


def _sessions(home: Home) -> str:
    """See that no session since the first export is missing, and no run is stuck."""
    from datetime import UTC, datetime

    from pipeline.chain import stuck_runs
    from pipeline.instance import run_history
    from pipeline.sensors import missing_sessions

    if not (home.dagster / "storage").exists():
        return NOTHING
    with run_history(home.dagster) as instance:
        missing = missing_sessions(instance, datetime.now(UTC))
        stuck = stuck_runs(instance)
    if stuck:
        raise _Wrong(
            f"run {stuck[0]} says that it is under way, its process is gone",
            f"{_AGAIN}: it ends such runs; monitoring does so after two hours",
        )
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _Wrong(
            f"session {missing[0]}{more} was never exported",
            f"switch on the sensor catch_up, or run `weathervane run --session {missing[0]}`",
        )
    return "no session is missing since the first export, no run is stuck"
