"""Exported files, their ledger, rollback, and what is said about them."""

import hashlib
import json
import multiprocessing
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from backtest.errors import DataError, StoreError
from pipeline import exports, journal
from pipeline.config import Home
from pipeline.exports import ledger, publishing
from pipeline.publish import damaged, sidecar_of
from tests.ml.documents import document, held_entry
from tests.pipeline.damage import flip
from tests.pipeline.published import DAYS, chain


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def files(home: Home) -> dict[str, tuple[bytes, int]]:
    """Bytes and time stamp of every exported file, the lock aside."""
    return {
        str(p.relative_to(home.exports)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in sorted(home.exports.rglob("*"))
        if p.is_file() and p.name != ".ledger.lock"
    }


def test_a_document_lands_with_its_hash_the_latest_and_a_line(home):
    made = document(DAYS[0])
    done = exports.publish_document(home, made, run_id="r1")
    path = home.parameters / "2016-02-04.json"
    assert done.path == path
    assert done.written
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (home.parameters / "2016-02-04.json.sha256").read_text().split()[0] == digest
    assert (home.parameters / "latest.json").read_bytes() == path.read_bytes()
    assert exports.read_document(home) == made
    assert exports.read_document(home, "2016-02-04") == made
    lines = (home.exports / "ledger.jsonl").read_text().splitlines()
    line = json.loads(lines[0])
    assert len(lines) == 1
    assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
    assert len(line.pop("line_sha256")) == 64
    assert line == {
        "entry": 1,
        "session": "2016-02-04",
        "path": "parameters/2016-02-04.json",
        "sha256": digest,
        "content_sha256": made.content_sha256,
        "previous_sha256": None,
        "action": "publish",
        "run_id": "r1",
    }


def test_each_document_names_the_one_before(home):
    done = chain(home)
    said = [one.entry.previous_sha256 for one in done]
    assert said == [None, done[0].entry.content_sha256, done[1].entry.content_sha256]
    found = exports.history(home)
    assert [e.entry for e in found.entries] == [1, 2, 3]
    assert found.in_force == {1, 2, 3}
    assert found.latest == 3
    assert exports.preceding(home, DAYS[0]) is None
    assert exports.preceding(home, date(2016, 2, 7)).session == DAYS[1]


def test_equal_content_is_not_rewritten(home):
    chain(home)
    before = files(home)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    model = {"name": "weathervane-parameters", "version": 8, "alias": "champion", "run_id": "x"}
    same = document(DAYS[0], created_at=moment, model=model)
    done = exports.publish_document(home, same, run_id="later")
    assert not done.written
    assert done.entry.entry == 1
    assert files(home) == before


def test_other_content_of_a_session_replaces_it_and_keeps_the_old_bytes(home):
    first = chain(home, 2)[0]
    old = first.path.read_bytes()
    done = exports.publish_document(home, document(DAYS[0], universe="other"))
    assert (done.entry.entry, done.entry.action) == (3, "replace")
    assert exports.read_document(home, DAYS[0]).universe == "other"
    assert (home.exports / "versions" / f"{first.entry.sha256}.json").read_bytes() == old
    assert exports.read_document(home).session == DAYS[1], "an older session is not the latest"
    assert exports.history(home).in_force == {2, 3}


def test_a_rollback_restores_the_bytes_under_a_new_entry(home):
    chain(home)
    wanted = (home.parameters / "2016-02-05.json").read_bytes()
    done = exports.rollback(home, 2, run_id="by hand")
    assert (done.entry.entry, done.entry.action, done.entry.run_id) == (4, "rollback", "by hand")
    assert done.entry.session == DAYS[1]
    assert (home.parameters / "latest.json").read_bytes() == wanted
    assert done.path.read_bytes() == wanted
    found = exports.history(home)
    assert found.latest == 4
    assert found.in_force == {1, 3, 4}
    assert exports.read_document(home, DAYS[2]).session == DAYS[2], "its own file stays"


def test_a_rollback_of_a_replaced_session_brings_its_first_bytes_back(home):
    first = exports.publish_document(home, document(DAYS[0]))
    old = first.path.read_bytes()
    exports.publish_document(home, document(DAYS[0], universe="other"))
    assert first.path.read_bytes() != old
    exports.rollback(home, 1)
    assert first.path.read_bytes() == old
    assert (home.parameters / "latest.json").read_bytes() == old


def test_a_rerun_does_not_undo_a_rollback_and_a_new_session_moves_on(home):
    exports.publish_document(home, document(DAYS[0]))
    replaced = document(DAYS[0], universe="other")
    exports.publish_document(home, replaced)
    exports.rollback(home, 1)
    again = exports.publish_document(home, replaced)
    assert not again.written
    assert again.entry.entry == 3
    assert exports.read_document(home).universe == "synthetic-clear"
    fixed = exports.publish_document(home, document(DAYS[0], universe="fixed"))
    assert fixed.entry.action == "replace"
    exports.rollback(home, 1)
    exports.publish_document(home, document(DAYS[1]))
    assert exports.read_document(home).session == DAYS[1]
    assert exports.history(home).latest == 6


def test_a_killed_process_leaves_what_the_next_call_completes(home, monkeypatch):
    made = document(DAYS[0])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            exports.publish_document(home, made)
    assert not (home.parameters / "latest.json").exists()
    healed = exports.publish_document(home, made)
    assert healed.written
    assert healed.entry.entry == 1
    assert exports.history(home).latest == 1


def test_a_killed_append_leaves_half_a_line_that_does_not_count(home):
    chain(home, 2)
    path = home.exports / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"entry": 3, "sess')
    assert len(exports.history(home).entries) == 2
    done = exports.publish_document(home, document(DAYS[2]))
    assert done.entry.entry == 3
    assert path.read_bytes().startswith(whole)
    assert len(exports.history(home).entries) == 3


@pytest.mark.parametrize(
    "name", ["2016-02-04.json", "latest.json", "2016-02-05.json.sha256", "versions", "ledger"]
)
def test_one_flipped_bit_anywhere_is_one_line(home, name):
    first = chain(home)[0]
    path = {
        "versions": home.exports / "versions" / f"{first.entry.sha256}.json",
        "ledger": home.exports / "ledger.jsonl",
    }.get(name, home.parameters / name)
    flip(path)
    with pytest.raises(StoreError, match=r"^E_CORRUPT") as caught:
        exports.history(home)
    assert "\n" not in str(caught.value)
    if name == "latest.json":
        with pytest.raises(StoreError, match=r"^E_CORRUPT"):
            exports.read_document(home)


def test_every_single_flipped_byte_of_the_ledger_is_seen(home):
    chain(home, 2)
    path = home.exports / "ledger.jsonl"
    whole = path.read_bytes()
    for at in {*range(0, len(whole), 7), len(whole) - 1}:
        changed = bytearray(whole)
        changed[at] ^= 4
        path.write_bytes(bytes(changed))
        with pytest.raises(StoreError, match=r"^E_CORRUPT"):
            exports.history(home)
        with pytest.raises(StoreError, match=r"^E_CORRUPT"):
            exports.publish_document(home, document(DAYS[2]))


def test_a_file_and_its_sidecar_changed_together_are_found(home):
    chain(home)
    path = home.parameters / "2016-02-04.json"
    text = path.read_text().replace('"symbols": 20', '"symbols": 21')
    path.write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    with pytest.raises(StoreError, match=r"^E_CORRUPT: content_sha256"):
        exports.read_document(home, DAYS[0])
    with pytest.raises(StoreError, match=r"^E_CORRUPT: .*ledger entry 1"):
        exports.history(home)


def test_a_lost_line_of_the_ledger_is_found(home):
    chain(home)
    path = home.exports / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(StoreError, match=r"^E_CORRUPT"):
        exports.history(home)
    path.write_bytes(lines[0] + lines[1])
    with pytest.raises(StoreError, match=r"^E_CORRUPT"):
        exports.history(home)


def test_publishing_again_heals_damaged_files(home):
    done = exports.publish_document(home, document(DAYS[0]))
    flip(done.path)
    flip(home.parameters / "latest.json")
    healed = exports.publish_document(home, document(DAYS[0]))
    assert healed.written
    assert len(exports.history(home).entries) == 1
    flip(home.exports / "versions" / f"{done.entry.sha256}.json")
    assert exports.publish_document(home, document(DAYS[0])).written
    assert damaged(home.exports) == []


def test_the_deleted_file_of_an_earlier_session_comes_back_with_the_next_one(home):
    done = chain(home)
    before = done[0].path.read_bytes()
    done[0].path.unlink()
    sidecar_of(done[0].path).unlink()
    with pytest.raises(StoreError, match=r"^E_MISSING"):
        exports.history(home)
    previous = exports.read_document(home, done[-1].entry.session)
    entry = held_entry(previous=previous.strategies["rsi_swing"])
    exports.publish_document(home, document(DAYS[3], entry=entry, previous=previous))
    assert len(exports.history(home).entries) == 4
    assert done[0].path.read_bytes() == before


def test_a_rollback_to_damaged_bytes_changes_nothing(home):
    first = chain(home)[0]
    flip(home.exports / "versions" / f"{first.entry.sha256}.json")
    flip(home.parameters / "2016-02-04.json")
    before = files(home)
    with pytest.raises(StoreError, match=r"^E_CORRUPT: the bytes of entry 1"):
        exports.rollback(home, 1)
    assert files(home) == before


@pytest.mark.parametrize("number", [0, -1, 4])
def test_an_unknown_entry_is_one_line_with_those_that_exist(home, number):
    chain(home)
    with pytest.raises(DataError, match=r"^E_ENTRY: no ledger entry .*entries 1 to 3 exist"):
        exports.rollback(home, number)


def test_an_unknown_session_is_one_line_with_those_that_exist(home):
    chain(home)
    with pytest.raises(DataError, match=r"^E_SESSION: no document of session 2016-02-06") as caught:
        exports.read_document(home, "2016-02-06")
    assert "2016-02-04, 2016-02-05, 2016-02-08" in str(caught.value)
    with pytest.raises(DataError, match=r"^E_SESSION: '\.\./x' is not a session"):
        exports.read_document(home, "../x")


def test_an_empty_home_is_one_line(home):
    for ask in (exports.read_document, exports.history):
        with pytest.raises(StoreError, match=r"^E_MISSING: nothing was exported yet"):
            ask(home)
    with pytest.raises(DataError, match=r"^E_ENTRY: .*nothing was exported yet"):
        exports.rollback(home, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_one_line(home):
    chain(home, 1)
    home.exports.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"^E_HOME"):
            exports.publish_document(home, document(DAYS[1]))
    finally:
        home.exports.chmod(0o700)


def test_a_full_disk_while_appending_leaves_the_ledger_whole(home, monkeypatch):
    chain(home, 1)
    before = (home.exports / "ledger.jsonl").read_bytes()

    write = os.pwrite

    def full(handle, line, at):
        write(handle, line[:9], at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "pwrite", full)
        with pytest.raises(StoreError, match=r"^E_STORE_FULL: .*No space left"):
            exports.publish_document(home, document(DAYS[1]))
    assert (home.exports / "ledger.jsonl").read_bytes() == before
    assert exports.publish_document(home, document(DAYS[1])).entry.entry == 2


def publish_one(root: Path, number: int) -> None:
    exports.publish_document(Home(root), document(DAYS[0], universe=f"u{number}"))


def test_processes_take_turns(home):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=publish_one, args=(home.root, i)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    found = exports.history(home)
    assert [entry.entry for entry in found.entries] == [1, 2, 3, 4, 5, 6]
    assert {entry.action for entry in found.entries[1:]} == {"replace"}


def test_a_process_that_holds_the_lock_is_waited_for_and_named(home, monkeypatch):
    monkeypatch.setattr(ledger, "WAIT_S", 0.1)
    with (
        ledger.exclusive(home.exports),
        pytest.raises(StoreError, match=r"^E_EXPORT_LOCKED"),
    ):
        exports.publish_document(home, document(DAYS[0]))
