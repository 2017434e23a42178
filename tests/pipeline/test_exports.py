"""Exported files, their ledger, rollback, and what is said about them."""

import hashlib
import json
import multiprocessing
import os
import re
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from backtest.errors import DataError, StoreError
from pipeline import exports
from pipeline.config import Home
from pipeline.exports import code, ledger, publishing
from pipeline.publish import damaged
from tests.ml.documents import GRID, document, held_entry, promoted_entry

DAYS = [date(2016, 2, day) for day in (4, 5, 8, 9)]


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


def chain(home: Home, count: int = 3) -> list[exports.Exported]:
    """Publish some sessions, each naming the one before; the last is a promotion."""
    done = []
    for i, day in enumerate(DAYS[:count]):
        before = exports.preceding(home, day)
        previous = before.strategies["rsi_swing"] if before else None
        last = i == count - 1
        entry = (promoted_entry if last else held_entry)(previous=previous)
        done.append(
            exports.publish_document(
                home, document(day, entry=entry, previous=before), run_id=f"run-{i}"
            )
        )
    return done


def flip(path: Path, at: int = 40) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


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
        patched.setattr(ledger.os, "pwrite", full)
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


def test_show_tells_what_to_run(home):
    chain(home)
    lines = exports.show(exports.read_document(home))
    assert lines[0] == "session 2016-02-08  universe synthetic-clear  (synthetic market)"
    text = "\n".join(lines)
    assert "rsi_swing: update (regime_aware promoted on 2015-06-01" in text
    assert re.search(r"direction (momentum|reversion), period \d+, width", text)
    shares = [float(share) for share in re.findall(r"^ +([\d.]+)%  ", text, re.MULTILINE)]
    assert sum(shares) == pytest.approx(100.0, abs=1.0)


def test_explain_tells_why(home):
    chain(home, 2)
    exports.publish_document(home, document(DAYS[2], entry=held_entry(previous=held_entry())))
    lines = exports.explain(exports.read_document(home))
    text = "\n".join(lines)
    assert "rsi_swing: hold, because default kept, held: observations, psr" in text
    assert "    FAIL observations: 12 >= 252" in lines
    assert "    FAIL psr: null >= 0.95 (no variance)" in lines
    assert "    pass drawdown: 0.1 <= 0.35" in lines
    assert "  direction reversion (one of reversion, momentum)" in lines or (
        "  direction momentum (one of reversion, momentum)" in lines
    )
    assert "; share of it that agrees: direction " in text
    assert "(2 to 60)" in text
    assert "proposed: " in text
    assert "0.0% of the mix moved since the preceding document" in text
    assert "    smallest gain that could have been seen: 1.5 in annual Sharpe" in lines
    assert "data: 20 symbols, 2015-01-01 to 2016-02-08, 2 rows quarantined" in text


def test_diff_lists_what_changed_and_nothing_else(home):
    before = document(DAYS[0], entry=held_entry(0))
    after = document(DAYS[1], entry=held_entry(2), previous=before)
    old, new = GRID.row(0), GRID.row(2)
    changes = {c.path: (c.before, c.after) for c in exports.diff(before, after)}
    different = {name for name in old if old[name] != new[name]}
    assert {p for p in changes if ".parameters." in p} == {
        f"rsi_swing.parameters.{name}" for name in different
    }
    for name in different:
        assert changes[f"rsi_swing.parameters.{name}"] == (old[name], new[name])
    mixes = {path: sides for path, sides in changes.items() if path.startswith("rsi_swing.mix[")}
    assert sorted(mixes.values(), key=str) == [(1.0, None), (None, 1.0)]
    assert len(changes) == len(different) + 2
    same = exports.diff_lines(before, document(DAYS[1], entry=held_entry(0)))
    assert same == ["from session 2016-02-04 to session 2016-02-05", "  nothing changed"]
    line = f"  rsi_swing.parameters.period: {old['period']} -> {new['period']}"
    assert ("period" not in different) or line in exports.diff_lines(before, after)


def test_diff_counts_what_is_too_small_to_show():
    regime = document().regime
    name, other = list(regime.probabilities)[:2]
    moved = {"probabilities": {name: 0.5 + 1e-9, other: 0.5}, "name": name, "since": DAYS[0]}
    before = document(regime={**moved, "probabilities": {name: 0.5, other: 0.5}})
    after = document(DAYS[1], regime=moved)
    assert len(exports.diff(before, after)) == 1
    assert exports.diff_lines(before, after)[1:] == ["  and 1 changes beyond the 5th digit"]


def test_history_tells_the_ledger(home):
    chain(home)
    exports.rollback(home, 1)
    lines = exports.history_lines(exports.history(home))
    assert len(lines) == 5
    assert lines[1].split()[:3] == ["1", "2016-02-04", "publish"]
    assert lines[1].endswith("+00:00"), "no longer in force"
    assert lines[4].split()[:3] == ["4", "2016-02-04", "rollback"]
    assert lines[4].endswith("in force, latest")


def test_code_facts_name_a_commit_or_the_source(monkeypatch):
    found = code.code_facts()
    assert re.fullmatch(r"[0-9a-f]{40}|source-[0-9a-f]{16}", found.revision)
    assert found.lock == hashlib.sha256((code.ROOT / "requirements.lock").read_bytes()).hexdigest()
    monkeypatch.setattr(code, "_git", lambda *words: None)
    assert code._commit() is None


def test_the_revision_moves_with_the_code_alone(tmp_path, monkeypatch):
    """A commit to a page or a test is the same code, so a document keeps its content hash."""
    monkeypatch.setattr(code, "ROOT", tmp_path)
    assert code._commit() is None, "no git checkout"
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]

    def commit(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        for words in (["add", "-A"], [*author, "commit", "-qm", name]):
            subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
        return code._git("rev-parse", "HEAD")

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    first = commit("ml/x.py", "one = 1\n")
    assert code._commit() == first
    assert commit("docs/page.md", "words\n") != first
    assert code._commit() == first
    (tmp_path / "ml" / "x.py").write_text("one = 2\n")
    assert code._commit() is None, "changed since"
    assert commit("ml/x.py", "one = 2\n") == code._commit()


def test_git_that_does_not_answer_is_no_error(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert code._git("status") is None
