"""A database of schema version 3 with rows, opened by this program: all of it is still there.

``tests/golden/store_version_3.sql`` has the rows as the program of that time wrote them,
``store_version_3.json`` what it read from them.
"""

import json
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from backtest.errors import StoreError
from pipeline.commands.doctor import examine
from pipeline.config import Home
from pipeline.store import Store, schema
from pipeline.store.backup import keep_backup
from pipeline.store.schema import MIGRATIONS, VERSION, version_of
from tests.pipeline.stored import FRIDAY, MONDAY, TUESDAY, at, fresh, prepared_of

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = 3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose file is of the older version; the ledger of commits did not exist then."""
    made = fresh(tmp_path)
    with duckdb.connect(str(made.home.database)) as old:
        old.execute("set TimeZone = 'UTC'")
        old.execute(
            "create table schema_versions (version integer primary key, known_at timestamptz)"
        )
        for number in range(1, OLD + 1):
            for statement in MIGRATIONS[number - 1]:
                old.execute(statement)
            old.execute("insert into schema_versions values (?, now())", [number])
        old.execute((GOLDEN / "store_version_3.sql").read_text(encoding="utf-8"))
    return made


@pytest.fixture(scope="module")
def known() -> dict:
    return json.loads((GOLDEN / "store_version_3.json").read_text(encoding="utf-8"))


def reads_of(store: Store) -> dict[str, pl.DataFrame]:
    return {
        "bars": store.read_bars(),
        "bars before": store.read_bars(as_of=FRIDAY),
        "quarantine": store.quarantine(),
        "symbols": store.symbols(),
        "sessions": store.sessions(),
        "regimes": store.read_regimes(model="hmm"),
        "decisions": store.read_decisions(),
        "returns": store.read_returns(),
        "evidence": store.read_evidence(),
        "costs": store.read_robustness("costs"),
        "stability": store.read_robustness("stability"),
        "trials": store.read_trials(),
        "trials before": store.read_trials(as_of=FRIDAY),
        "batches": store.batches(),
    }


def version_in(home: Home) -> int:
    with duckdb.connect(str(home.database), read_only=True) as opened:
        return version_of(opened)


def test_every_row_is_read_as_it_was(store: Store, known: dict):
    assert version_in(store.home) == OLD
    for name, frame in reads_of(store).items():
        then = known["rows"][name]
        rows = json.loads(json.dumps(frame.select(then["columns"]).rows(), default=str))
        assert rows == then["rows"], name
        assert rows, "there was something to lose"
    assert version_in(store.home) == VERSION
    assert store.snapshot_hash() == known["snapshot"]
    assert store.snapshot_hash(as_of=FRIDAY) == known["snapshot before"]
    assert store.findings() == []


def test_every_table_of_that_time_has_rows_or_a_reason(store: Store):
    empty = {"folds", "paths", "sensitivity"}  # as costs and stability, by one statement
    later = {"quotes", "actions", "answers", "reliability"}
    store.read_bars()
    with duckdb.connect(str(store.home.database), read_only=True) as opened:
        for table in (*schema.VERSIONED, schema.TRIALS):
            count = opened.execute(f"select count(*) from {table.name}").fetchall()[0][0]
            assert (count == 0) == (table.name in empty | later), table.name


def test_the_next_ingest_goes_on_from_there(store: Store, known: dict):
    more = prepared_of(["A", "B"], 5, until=TUESDAY)
    account = store.write_bars(
        more, run_id="new", source="files", until=TUESDAY, arrived=at(TUESDAY, 22)
    )
    assert account.unchanged + account.restated + account.new == 10
    assert account.new > 0
    assert store.read_bars()["date"].max() == TUESDAY
    assert store.snapshot_hash(as_of=FRIDAY) == known["snapshot before"], "what was known then"
    again = store.write_bars(more, run_id="again", source="files", until=TUESDAY)
    assert again.written == 0
    assert store.findings() == []
    copy = keep_backup(store.home)
    assert copy is not None
    assert copy.number == 1
    assert [check for check in examine(store.home.root) if not check.ok] == []


def test_trials_and_sessions_of_then_are_known_and_not_counted_twice(store: Store, known: dict):
    kept = store.read_trials()
    given = kept.select(*schema.TRIALS.key, *schema.TRIALS.values)
    assert store.write_trials(given, run_id="new").written == 0
    assert store.write_sessions(date(2020, 3, 3), MONDAY, run_id="new").written == 0
    assert store.read_trials().height == len(known["rows"]["trials"]["rows"])


def test_a_migration_that_fails_leaves_the_older_file_whole(store: Store, known: dict, monkeypatch):
    broken = (*MIGRATIONS[:OLD], ("create table commits (number bigint)", "select no_such_thing"))
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", broken)
        patched.setattr(schema, "VERSION", len(broken))
        patched.setattr("pipeline.store.connection.VERSION", len(broken))
        with pytest.raises(StoreError, match=r"^E_STORE: ") as error:
            store.read_bars()
    assert "\n" not in str(error.value)
    assert version_in(store.home) == OLD
    assert store.snapshot_hash() == known["snapshot"]
    assert version_in(store.home) == VERSION
