"""The commit ledger: what was confirmed is proven to be there, and who may write is known."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from backtest.errors import StoreError
from pipeline.commands.doctor import examine
from pipeline.config import open_home
from pipeline.store import Store, commits, connection
from pipeline.store.backup import keep_backup, restore
from pipeline.store.commits import LEDGER, read_commits
from tests.pipeline.damage import flip
from tests.pipeline.stored import FRIDAY, MONDAY, TUESDAY, at, bars_of, fresh

ROOT = Path(__file__).parents[2]


def keep(store: Store, price: float, *, run: str = "r", day=MONDAY, hour: int = 22):
    return store.write_bars(
        bars_of("A", {FRIDAY: price}), run_id=run, source="s", until=MONDAY, arrived=at(day, hour)
    )


def lines(store: Store) -> list[dict]:
    return list(read_commits(store.home.store).lines)


def kinds(store: Store) -> list[str]:
    return [line["kind"] for line in lines(store)]


def refused(code: str, store: Store) -> str:
    """Both reading and writing are refused in one line, and nothing is changed."""
    before = store.home.database.read_bytes() if store.home.database.exists() else b""
    for attempt in (store.read_bars, lambda: keep(store, 99.0, run="z", day=TUESDAY)):
        with pytest.raises(StoreError, match=f"^{code}: ") as error:
            attempt()
        assert "\n" not in str(error.value)
    after = store.home.database.read_bytes() if store.home.database.exists() else b""
    assert after == before
    return str(error.value)


def test_a_commit_leaves_claim_intent_and_confirmation(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    claim, intent, confirmed = lines(store)
    assert (claim["kind"], claim["run_id"], claim["pid"]) == ("claim", "r", os.getpid())
    assert (intent["kind"], intent["number"], intent["rows"]) == ("intent", 1, 2)
    assert intent["tables"] == {"bars": 1, "universe": 1}
    assert confirmed == {"kind": "confirmed", "number": 1, "commit": intent["commit"]}
    keep(store, 10.0)
    assert len(lines(store)) == 3, "a run that changes nothing leaves nothing"
    keep(store, 11.0, day=TUESDAY)
    assert kinds(store)[3:] == ["intent", "confirmed"], "its own claim still holds"


def left_in_log(store: Store, monkeypatch) -> Path:
    """Write a second commit that stays in the write-ahead log, as after a kill."""
    connect = duckdb.connect

    def lazily(path, **told):
        made = connect(path, **told)
        if not told["read_only"]:
            made.execute("pragma disable_checkpoint_on_shutdown")
        return made

    with monkeypatch.context() as patched:
        patched.setattr(duckdb, "connect", lazily)
        keep(store, 11.0, day=TUESDAY)
    log = Path(f"{store.home.database}.wal")
    assert log.stat().st_size > 0
    return log


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_a_flipped_byte_of_the_write_ahead_log_is_seen_and_restoring_heals(
    tmp_path, monkeypatch, share
):
    store = fresh(tmp_path)
    keep(store, 10.0)
    keep_backup(store.home)
    log = left_in_log(store, monkeypatch)
    flip(log, min(int(log.stat().st_size * share) + 1, log.stat().st_size - 2))
    found = next(check for check in examine(tmp_path) if check.name == "store")
    assert found.found.startswith(("E_STORE_CORRUPT: ", "E_STORE_LOST: ")), found
    assert "\n" not in found.found
    assert "weathervane restore" in found.heal
    assert restore(store.home).lost == 1
    assert [check for check in examine(tmp_path) if not check.ok] == []
    assert store.read_bars()["close"].to_list() == [10.0]
    keep(store, 11.0, run="again", day=TUESDAY)
    assert store.read_bars()["close"].to_list() == [11.0]


def test_a_lost_write_ahead_log_is_seen(tmp_path, monkeypatch):
    """Without it the database opens without an error, and its last commits are gone."""
    store = fresh(tmp_path)
    keep(store, 10.0)
    log = left_in_log(store, monkeypatch)
    assert store.read_bars()["close"].to_list() == [11.0]
    aside = shutil.copy(log, tmp_path / "log")
    log.unlink()
    said = refused("E_STORE_LOST", store)
    assert "1 of 2 confirmed commits are not in the database" in said
    assert "weathervane restore" in said
    shutil.copy(aside, log)
    assert store.read_bars()["close"].to_list() == [11.0], "put back, everything is there"


def test_an_older_copy_of_the_database_is_seen(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    older = store.home.database.read_bytes()
    keep(store, 11.0, day=TUESDAY)
    store.home.database.write_bytes(older)
    assert "1 of 2 confirmed commits" in refused("E_STORE_LOST", store)


def test_a_database_that_is_gone_is_not_made_anew_in_silence(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    store.home.database.unlink()
    assert "the database with 1 confirmed commits is gone" in refused("E_STORE_LOST", store)
    assert not store.home.database.exists()


def test_another_database_is_seen(tmp_path):
    one, two = fresh(tmp_path / "one"), fresh(tmp_path / "two")
    keep(one, 10.0)
    keep(two, 10.0)
    shutil.copy(two.home.database, one.home.database)
    assert "commit 1 of the database is not the one" in refused("E_STORE_LOST", one)


def test_a_database_ahead_of_its_ledger_is_adopted_with_a_warning(tmp_path, caplog):
    store = fresh(tmp_path)
    keep(store, 10.0)
    keep(store, 11.0, day=TUESDAY)
    (store.home.store / LEDGER).unlink()
    assert store.read_bars()["close"].to_list() == [11.0]
    assert "holds 2 commits without a line in its ledger" in caplog.text
    keep(store, 12.0, day=TUESDAY, hour=23)
    assert kinds(store) == ["adopted", "claim", "intent", "confirmed"]
    assert lines(store)[0]["number"] == 2
    assert store.findings() == []


@pytest.mark.parametrize("at_byte", [5, 200, -30])
def test_a_flipped_byte_in_the_ledger_is_seen(tmp_path, at_byte):
    store = fresh(tmp_path)
    keep(store, 10.0)
    path = store.home.store / LEDGER
    content = bytearray(path.read_bytes())
    content[at_byte] ^= 0x01
    path.write_bytes(bytes(content))
    commits._KNOWN.clear()
    refused("E_CORRUPT", store)


def test_a_torn_last_line_was_never_acknowledged(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    path = store.home.store / LEDGER
    with path.open("ab") as file:
        file.write(b'{"kind": "intent", "num')
    assert store.read_bars().height == 1
    keep(store, 11.0, day=TUESDAY)
    assert kinds(store) == ["claim", "intent", "confirmed", "intent", "confirmed"]


KILL = """
    import os, sys
    from pipeline.config import open_home
    from pipeline.store import Store, connection
    from tests.pipeline.stored import TUESDAY
    from tests.pipeline.test_commits import keep
    def die(*_, **__):
        os.kill(os.getpid(), 9)
    step = sys.argv[2]
    if step == "before the commit":
        real = connection.add_lines
        connection.add_lines = lambda *given: (real(*given), die())
    else:
        connection.confirmation = die
    told = {"universe": "u", "calendar": "XNYS", "ended": lambda run: run == "r"}
    keep(Store(open_home(sys.argv[1]), **told), 11.0, run="k", day=TUESDAY)
"""


@pytest.mark.parametrize(
    ("step", "price", "left"),
    [("before the commit", 10.0, []), ("before its confirmation", 11.0, ["confirmed"])],
)
def test_a_process_killed_around_its_commit_leaves_all_of_it_or_nothing(
    tmp_path, step, price, left
):
    store = fresh(tmp_path)
    keep(store, 10.0)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILL), str(tmp_path), step], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert store.read_bars()["close"].to_list() == [price]
    assert kinds(store)[3:] == ["claim", "intent"]
    keep(store, 12.0, run="later", day=TUESDAY, hour=23)
    assert kinds(store)[5:] == [*left, "claim", "intent", "confirmed"]
    assert store.findings() == []
    numbers = store.batches().filter(table_name="bars")["commit_number"].to_list()
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_orphaned_step_is_refused_once_another_run_took_over(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0, run="first")
    keep(store, 11.0, run="second", day=TUESDAY)
    with pytest.raises(StoreError, match=r"^E_FENCED: run first was given up, run second took"):
        keep(store, 12.0, run="first", day=TUESDAY, hour=23)
    assert store.read_bars()["close"].to_list() == [11.0]
    other = fresh(tmp_path, "other")
    keep(other, 12.0, run="first", day=TUESDAY, hour=23)


def test_a_step_whose_run_is_over_is_refused(tmp_path):
    over = []
    store = Store(open_home(tmp_path), universe="u", calendar="XNYS", ended=over.__contains__)
    keep(store, 10.0, run="first")
    over.append("first")
    with pytest.raises(StoreError, match=r"^E_FENCED: run first is over, its step went on"):
        keep(store, 12.0, run="first", day=TUESDAY)
    assert keep(store, 11.0, run="second", day=TUESDAY).restated == 1


ALIVE = """
    import sys
    from pipeline.config import open_home
    from pipeline.store import Store
    from tests.pipeline.test_commits import keep
    keep(Store(open_home(sys.argv[1]), universe="u", calendar="XNYS"), 10.0, run="first")
    sys.stdout.write("held\\n"); sys.stdout.flush()
    sys.stdin.readline()
"""


def test_a_run_under_way_in_another_process_is_not_pushed_aside(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ALIVE), str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        store = fresh(tmp_path)
        with pytest.raises(StoreError, match=rf"^E_RUN_BUSY: run first of process {process.pid}"):
            keep(store, 11.0, run="second", day=TUESDAY)
        over = Store(store.home, universe="u", calendar="XNYS", ended=lambda run: run == "first")
        assert keep(over, 12.0, run="third", day=TUESDAY).restated == 1, "over, though alive"
    finally:
        process.kill()
        process.wait(30)
    assert keep(store, 11.0, run="second", day=TUESDAY, hour=23).restated == 1


def test_a_clock_that_went_back_a_little_changes_no_order(tmp_path, caplog):
    store = fresh(tmp_path)
    for price, hour in ((10.0, 22), (11.0, 20), (12.0, 20)):
        keep(store, price, day=TUESDAY, hour=hour)
    assert "is 2:00:00 behind the last commit" in caplog.text
    assert store.read_bars()["close"].to_list() == [12.0]
    moments = store.batches().filter(table_name="bars")["ingested_at"].to_list()
    assert moments == [at(TUESDAY, 22) + timedelta(microseconds=n) for n in range(3)]
    for n, price in enumerate((10.0, 11.0)):
        seen = store.read_bars(as_of=moments[n + 1])
        assert seen["close"].to_list() == [price], "each moment reads back as it was"


def test_a_clock_that_went_back_by_days_is_refused(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0, day=TUESDAY)
    before = store.home.database.read_bytes()
    with pytest.raises(StoreError, match=r"^E_CLOCK: the clock says 2020-03-06 22:00, the last"):
        keep(store, 11.0, day=FRIDAY)
    assert store.home.database.read_bytes() == before
    assert keep(store, 11.0, day=TUESDAY, hour=23).restated == 1


def test_a_changed_row_is_found_by_its_commits_digest(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    assert store.findings() == []
    with duckdb.connect(str(store.home.database)) as made:
        made.execute("update bars set close = 10.5, high = 10.5")
    [found] = store.findings()
    assert found.startswith("E_STORE_LOST: rows of commit 1 in table bars are not those that were")


def test_a_store_of_the_last_version_without_a_ledger_is_taken_over(tmp_path):
    from pipeline.store import schema

    path = open_home(tmp_path).database
    made = duckdb.connect(str(path))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "VERSION", 3)
        schema.migrate(made)
    made.close()
    store = fresh(tmp_path)
    assert keep(store, 10.0).new == 1
    assert connection.version_of(duckdb.connect(str(path))) == schema.VERSION
    assert json.dumps(lines(store)[1]["tables"]) == '{"bars": 1, "universe": 1}'
