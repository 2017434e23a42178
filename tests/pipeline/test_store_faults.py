"""What the store does when things break: one line, earlier rows untouched, a re-run that heals."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import date
from pathlib import Path

import duckdb
import pytest

from backtest.errors import StoreError
from pipeline.config import open_home
from pipeline.store import Store, upsert
from pipeline.store.schema import VERSION
from tests.pipeline.stored import at, bars_of, prepared_of

ROOT = Path(__file__).parents[2]
FRIDAY = date(2020, 3, 6)
MONDAY = date(2020, 3, 9)


def fresh(folder: Path, wait_s: float = 0.3) -> Store:
    return Store(open_home(folder), universe="u", calendar="XNYS", wait_s=wait_s)


def keep(store: Store, closes: dict[date, float]):
    return store.write_bars(
        bars_of("A", closes), run_id="r", source="s", until=MONDAY, arrived=at(MONDAY, 22)
    )


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def script(body: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(body)]


def holding(body: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program that holds something, and wait until it says so."""
    process = subprocess.Popen(
        [*script(body), *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


HOLD_STORE = """
    import sys, time
    from datetime import UTC, datetime
    from pipeline.config import open_home
    from pipeline.store import Store
    from pipeline.store.upsert import Slice
    store = Store(open_home(sys.argv[1]), universe="u")
    part = Slice(universe="u", run_id="r", arrived=datetime.now(UTC))
    with store.writing(part) if sys.argv[2] == "writing" else store.reading():
        sys.stdout.write("held\\n"); sys.stdout.flush()
        time.sleep(60)
"""
HOLD_FILE = """
    import sys, time, duckdb
    connection = duckdb.connect(sys.argv[1])
    sys.stdout.write("held\\n"); sys.stdout.flush()
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["writing", "reading"])
def test_a_store_in_use_names_the_process_and_is_free_when_that_is_killed(tmp_path, how):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    process = holding(HOLD_STORE, tmp_path, how)
    try:
        with pytest.raises(StoreError, match=r"^E_STORE_LOCKED: ") as error:
            keep(store, {FRIDAY: 10.0, MONDAY: 11.0})
        assert f"in use by process {process.pid}," in one_line(error)
        if how == "writing":
            with pytest.raises(StoreError, match=r"^E_STORE_LOCKED: "):
                store.read_bars()
        else:
            assert store.read_bars().height == 1, "readers share"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert keep(store, {FRIDAY: 10.0, MONDAY: 11.0}).new == 1
    assert store.read_bars()["close"].to_list() == [10.0, 11.0]


def test_a_program_that_opened_the_file_itself_is_named(tmp_path):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    process = holding(HOLD_FILE, store.home.database)
    try:
        with pytest.raises(StoreError, match=r"^E_STORE_LOCKED: ") as error:
            store.read_bars()
        assert f"in use by process {process.pid}," in one_line(error)
    finally:
        process.kill()
        process.wait()
    assert store.read_bars().height == 1


def test_threads_of_one_process_take_turns(tmp_path):
    store = fresh(tmp_path, wait_s=20.0)
    failures = []

    def work(number: int) -> None:
        try:
            keep(store, {FRIDAY: float(number + 1)})
            store.read_bars()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.read_bars().height == 1
    assert store.findings() == []


@pytest.mark.parametrize("step", ["account_of", "_insert", "record_batch", "put_away"])
def test_an_error_inside_a_slice_keeps_nothing_of_it(tmp_path, monkeypatch, step):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})

    def fail(*_args, **_kwargs):
        raise RuntimeError("injected")

    with monkeypatch.context() as patched:
        patched.setattr(upsert, step, fail)
        with pytest.raises(RuntimeError, match="injected"):
            keep(store, {FRIDAY: 99.0, MONDAY: 11.0})
    assert store.read_bars()["close"].to_list() == [10.0]
    assert store.findings() == []
    account = keep(store, {FRIDAY: 99.0, MONDAY: 11.0})
    assert (account.new, account.restated) == (1, 1)
    assert store.read_bars()["close"].to_list() == [99.0, 11.0]


def test_a_process_killed_inside_its_transaction_leaves_earlier_rows(tmp_path):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    body = """
        import os, sys
        from pipeline.store import Store, slices
        from pipeline.config import open_home
        from tests.pipeline.test_store_faults import FRIDAY, MONDAY, keep
        slices.refuse_unread = lambda *_, **__: os.kill(os.getpid(), 9)
        keep(Store(open_home(sys.argv[1]), universe="u", calendar="XNYS"), {FRIDAY: 99.0})
    """
    done = subprocess.run([*script(body), str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.read_bars()["close"].to_list() == [10.0]
    assert keep(store, {FRIDAY: 99.0}).restated == 1
    assert store.findings() == []


@pytest.mark.parametrize("limit", [1 << 14, 1 << 17])
def test_a_size_limit_is_one_line_and_a_re_run_heals(tmp_path, limit):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    body = """
        import resource, sys
        from backtest.errors import StoreError
        from pipeline.config import open_home
        from pipeline.store import Store
        from tests.pipeline.stored import prepared_of
        from tests.pipeline.test_store_faults import MONDAY
        store = Store(open_home(sys.argv[1]), universe="u", calendar="XNYS")
        prepared = prepared_of([f"S{i}" for i in range(20)], 400, until=MONDAY)
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            store.write_bars(prepared, run_id="r", source="s", until=MONDAY)
        except StoreError as error:
            sys.exit(str(error))
    """
    done = subprocess.run(
        [*script(body), str(tmp_path), str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("E_STORE_FULL: no room to write the store, ")
    assert done.stderr.count("\n") == 1
    assert store.read_bars()["close"].to_list() == [10.0]
    prepared = prepared_of([f"S{i}" for i in range(20)], 400, until=MONDAY)
    account = store.write_bars(prepared, run_id="r", source="s", until=MONDAY)
    assert (account.new, account.withdrawn) == (8_000, 1)
    assert store.findings() == []


def test_a_folder_without_the_right_to_write_is_one_line(tmp_path):
    """Where the test runs as root its child becomes nobody, or the right would not be missed."""
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    folders = [tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())]
    body = """
        import os, sys
        import duckdb, filelock, polars
        from backtest.errors import StoreError
        from pipeline.config import Home, open_home
        from pipeline.store import Store
        from pathlib import Path
        # The first lock of a process may import more.
        with filelock.ReadWriteLock(sys.argv[2]).write_lock():
            os.chmod(sys.argv[2], 0o666)
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for attempt in (
            lambda: open_home(sys.argv[1]),
            lambda: Store(Home(Path(sys.argv[1])), universe="u").read_trials(),
        ):
            try:
                attempt()
            except StoreError as error:
                sys.stderr.write(str(error) + "\\n")
    """
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = subprocess.run(
            [*script(body), str(tmp_path), str(tmp_path.parent / "other.lock")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for folder in folders:
            folder.chmod(0o755)
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    assert all(text.startswith("E_HOME: ") for text in lines)
    assert "Permission denied" in lines[0]
    assert store.read_bars()["close"].to_list() == [10.0]


def test_a_store_below_a_file_is_one_line(tmp_path):
    store = fresh(tmp_path)
    store.home.store.rmdir()
    store.home.store.write_text("no folder")
    with pytest.raises(StoreError, match=r"^E_HOME: the store cannot be written") as error:
        store.read_bars()
    one_line(error)


def test_the_file_of_a_later_version_is_left_alone(tmp_path):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    with duckdb.connect(str(store.home.database)) as connection:
        connection.execute("insert into schema_versions values (?, now())", [VERSION + 1])
    before = store.home.database.read_bytes()
    for attempt in (store.read_bars, lambda: keep(store, {FRIDAY: 11.0})):
        with pytest.raises(StoreError, match=r"^E_STORE_NEWER: .*update the program") as error:
            attempt()
        one_line(error)
    assert store.home.database.read_bytes() == before


def test_an_empty_database_is_brought_up_to_date(tmp_path):
    store = fresh(tmp_path)
    duckdb.connect(str(store.home.database)).close()
    assert store.read_bars().is_empty()
    assert keep(store, {FRIDAY: 10.0}).new == 1


def flip_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0:64] = bytes(64)
    path.write_bytes(bytes(content))


def flip_block(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for position in range(12_288, len(content), 997):
        content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_flipped_byte_in_any_block_is_found(tmp_path):
    """Also in an index, which no query reads, and in space that is not used."""
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    keep(store, {FRIDAY: 10.0, MONDAY: 11.0})
    path = store.home.database
    whole = path.read_bytes()
    assert store.findings() == []
    silent, unread, size = [], [], 1 << 18
    for place in (100, 4_196, 8_292, *range(12_288 + size // 2, len(whole), size)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = store.findings()
            unread.append(place)
        except StoreError as error:
            found = [str(error)]
        if not (found and "weathervane restore" in found[0]):
            silent.append(place)
    assert silent == []
    assert unread, "a query reads every block: then nothing else has to"
    hole = unread[-1] - size // 2
    path.write_bytes(whole[:hole] + bytes(size) + whole[hole + size :])
    assert store.findings() == [], "a hole that the database made itself is no damage"


@pytest.mark.parametrize(
    "damage",
    [
        flip_header,
        flip_block,
        lambda path: path.write_bytes(path.read_bytes()[:20_000]),
        lambda path: path.write_text("not a database, but long enough to be read as one" * 100),
    ],
    ids=["header", "blocks", "cut", "text"],
)
def test_a_damaged_file_is_one_line_and_moving_it_away_heals(tmp_path, damage):
    store = fresh(tmp_path)
    keep(store, {FRIDAY: 10.0})
    damage(store.home.database)
    with pytest.raises(StoreError, match=r"^E_STORE_CORRUPT: .*move the folder away") as error:
        store.read_bars()
    one_line(error)
    store.home.store.rename(tmp_path / "aside")
    assert keep(store, {FRIDAY: 10.0}).new == 1
