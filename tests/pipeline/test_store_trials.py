"""The trial ledger in the store: each trial once, its span extended, read as of a session."""

from datetime import date

import duckdb
import polars as pl
import pytest

from pipeline.store.schema import MIGRATIONS
from tests.pipeline.stored import FRIDAY, MONDAY, at, fresh


def trial(end: date, sharpe: float | None = 0.1, **changes: object) -> pl.DataFrame:
    row = {
        "kind": "policy",
        "strategy": "rsi_swing",
        "config_hash": "abc",
        "span_start": date(2015, 1, 2),
        "span_end": end,
        "sharpe": sharpe,
        "observations": 100,
        "champion": None,
    }
    return pl.DataFrame([row | changes], schema_overrides={"champion": pl.String})


def test_a_trial_counts_once_and_its_span_is_extended(tmp_path):
    store = fresh(tmp_path)
    assert store.write_trials(trial(FRIDAY), run_id="a").new == 1
    again = store.write_trials(trial(FRIDAY), run_id="b")
    assert (again.new, again.restated, again.unchanged) == (0, 0, 1)
    longer = store.write_trials(trial(MONDAY, 0.2), run_id="c")
    assert (longer.new, longer.restated) == (0, 1)
    shorter = store.write_trials(trial(FRIDAY, 0.3), run_id="d")
    assert shorter.unchanged == 1
    kept = store.read_trials()
    assert kept.height == 1
    assert kept.row(0, named=True)["span_end"] == MONDAY
    assert kept.row(0, named=True)["sharpe"] == 0.2
    assert kept.row(0, named=True)["run_id"] == "c"


def test_a_store_of_the_first_version_learns_who_challenged_whom(tmp_path):
    store = fresh(tmp_path)
    with duckdb.connect(str(store.home.database)) as old:
        old.execute("create table schema_versions (version integer, known_at timestamptz)")
        old.execute("insert into schema_versions values (1, now())")
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute(
            "insert into trials values (?, 'policy', 'rsi_swing', 'abc', '2015-01-02', ?, 0.1, 100,"
            " now(), now(), 'a')",
            [store.universe, FRIDAY],
        )
    assert store.write_trials(trial(FRIDAY, champion="def"), run_id="b").restated == 1
    kept = store.read_trials()
    assert kept.select("config_hash", "champion").rows() == [("abc", "def")]


def test_trials_are_read_as_of_a_session(tmp_path):
    store = fresh(tmp_path)
    store.write_trials(trial(FRIDAY), run_id="a", arrived=at(FRIDAY, 22))
    later = trial(FRIDAY, config_hash="abd")
    store.write_trials(later, run_id="b", arrived=at(MONDAY, 1))
    store.write_trials(trial(MONDAY, 0.2), run_id="c", arrived=at(MONDAY, 22))
    names = trial(FRIDAY)["config_hash"].to_list()
    assert store.read_trials(as_of=date(2020, 3, 5)).is_empty()
    assert store.read_trials(as_of=FRIDAY)["config_hash"].to_list() == names
    assert store.read_trials(as_of=MONDAY)["config_hash"].to_list() == [*names, "abd"]
    assert store.read_trials(as_of=at(MONDAY, 1)).height == 1, "a moment stands as it is"
    assert store.read_trials(as_of=MONDAY).equals(store.read_trials())


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "candidate"},
        {"strategy": "ma_cross"},
        {"config_hash": "abd"},
        {"span_start": date(2015, 1, 5)},
    ],
)
def test_each_part_of_a_trials_key_counts(tmp_path, change):
    store = fresh(tmp_path)
    both = pl.concat([trial(FRIDAY), trial(FRIDAY, None, **change)])
    assert store.write_trials(both, run_id="a").new == 2
    assert store.write_trials(both, run_id="a").written == 0
    other = fresh(tmp_path, "other")
    assert other.write_trials(both, run_id="a").new == 2
    assert store.findings() == []
