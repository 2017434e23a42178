"""Copies of the store: taken once a commit, and the way back when the database is gone."""

import hashlib

import pytest
from click.testing import CliRunner

from backtest.errors import StoreError
from pipeline.cli import main
from pipeline.commands.doctor import examine
from pipeline.publish import damaged, sidecar_of
from pipeline.store import commits
from pipeline.store.backup import KEPT, backups, keep_backup, restore
from tests.pipeline.damage import flip, unread_place
from tests.pipeline.stored import TUESDAY, fresh
from tests.pipeline.test_commits import keep, lines


def grown(folder):
    """A store with two commits and a copy of each."""
    store = fresh(folder)
    for n in range(2):
        keep(store, 10.0 + n, day=TUESDAY, hour=10 + n)
        keep_backup(store.home)
    return store


def test_a_copy_is_taken_once_for_a_commit_and_the_last_few_stay(tmp_path):
    store = fresh(tmp_path)
    assert keep_backup(store.home) is None
    for n in range(KEPT + 2):
        keep(store, 10.0 + n, day=TUESDAY, hour=10 + n)
        made = keep_backup(store.home)
        assert (made.number, made.written) == (n + 1, True)
        before = store.home.database.read_bytes()
        assert not keep_backup(store.home).written
        assert store.home.database.read_bytes() == before
    assert [one.number for one in backups(store.home)] == [KEPT + 1, KEPT + 2]
    assert damaged(store.home.backups) == []
    assert store.read_bars()["close"].to_list() == [13.0]


@pytest.mark.parametrize("fault", ["gone", "flipped", "older"])
def test_what_was_lost_comes_back_from_the_last_copy(tmp_path, fault):
    store = fresh(tmp_path)
    keep(store, 10.0)
    older = store.home.database.read_bytes()
    keep(store, 11.0, day=TUESDAY)
    keep_backup(store.home)
    keep(store, 12.0, day=TUESDAY, hour=23)
    path = store.home.database
    if fault == "gone":
        path.unlink()
    elif fault == "older":
        path.write_bytes(older)
    else:
        content = bytearray(path.read_bytes())
        content[:64] = bytes(64)
        path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"weathervane restore"):
        store.read_bars()
    done = restore(store.home)
    assert (done.backup.number, done.lost) == (2, 1)
    assert (done.aside is None) == (fault == "gone")
    assert store.read_bars()["close"].to_list() == [11.0]
    assert store.findings() == []
    keep(store, 12.0, run="again", day=TUESDAY, hour=23)
    assert store.read_bars()["close"].to_list() == [12.0]
    assert [line["kind"] for line in lines(store)[-4:]] == [
        *("restored", "claim", "intent", "confirmed")
    ]


def test_a_damaged_ledger_is_begun_anew_from_the_copy(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    keep_backup(store.home)
    path = store.home.store / commits.LEDGER
    path.write_bytes(path.read_bytes().replace(b"intent", b"intend"))
    commits._KNOWN.clear()
    with pytest.raises(StoreError, match="E_CORRUPT"):
        store.read_bars()
    assert restore(store.home).aside is not None
    assert store.read_bars()["close"].to_list() == [10.0]
    assert [line["kind"] for line in lines(store)] == ["restored"]


def test_a_damaged_copy_is_passed_over_for_an_older_one(tmp_path):
    store = grown(tmp_path)
    newest = backups(store.home)[-1].path
    content = bytearray(newest.read_bytes())
    content[-1] ^= 0x01
    newest.write_bytes(bytes(content))
    store.home.database.unlink()
    assert restore(store.home).backup.number == 1
    assert store.read_bars()["close"].to_list() == [10.0]


def test_a_damaged_database_is_not_copied_over_a_sound_copy(tmp_path):
    """One flipped byte that no query reads: without a look at the blocks nobody would see it."""
    store = grown(tmp_path)
    kept = {one.path: one.path.read_bytes() for one in backups(store.home)}
    keep(store, 12.0, day=TUESDAY, hour=12)
    flip(store.home.database, unread_place(store))
    assert store.read_bars()["close"].to_list() == [12.0]
    with pytest.raises(StoreError, match=r"^E_STORE_CORRUPT: 1 blocks .* run `weathervane rest"):
        keep_backup(store.home)
    assert {one.path: one.path.read_bytes() for one in backups(store.home)} == kept
    assert not next(check for check in examine(tmp_path) if check.name == "store").ok
    assert (restore(store.home).backup.number, store.findings()) == (2, [])
    keep(store, 12.0, run="again", day=TUESDAY, hour=13)
    assert keep_backup(store.home).written


def test_a_copy_that_was_damaged_when_it_was_taken_is_passed_over(tmp_path):
    store = grown(tmp_path)
    place = unread_place(store)
    newest = backups(store.home)[-1].path
    flip(newest, place)
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()
    sidecar_of(newest).write_text(f"{digest}  {newest.name}\n")
    flip(store.home.database, place)
    assert damaged(store.home.backups) == []
    assert restore(store.home).backup.number == 1
    assert store.findings() == []
    assert [check.name for check in examine(tmp_path) if not check.ok] == []


def test_without_a_copy_restore_says_so_in_one_line_and_changes_nothing(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    before = store.home.database.read_bytes()
    done = CliRunner().invoke(main, ["restore", "--home", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("E_MISSING: no backup of the store is there")
    assert done.stderr.count("\n") == 1
    assert store.home.database.read_bytes() == before


def test_the_command_says_what_it_did(tmp_path):
    store = fresh(tmp_path)
    keep(store, 10.0)
    keep_backup(store.home)
    store.home.database.unlink()
    done = CliRunner().invoke(main, ["restore", "--home", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "store of commit 1 restored from weathervane-000000001.duckdb" in done.stdout
