"""The store: every version kept, every row accounted for, the past read as it was known."""

import hashlib
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import StoreError
from backtest.market.bars import Prepared, prepare, read_bars
from pipeline.store import RowAccount, Store, content_hash
from pipeline.store.upsert import Slice
from tests.pipeline.stored import FRIDAY, MONDAY, TUESDAY, at, bars_of, fresh, prepared_of, raw_of


def keep(store: Store, prepared: Prepared, day: date, hour: int = 22) -> RowAccount:
    return store.write_bars(
        prepared, run_id=f"run-{day}", source="test", until=day, arrived=at(day, hour)
    )


def test_bars_come_back_sorted_with_their_labels(tmp_path):
    store = fresh(tmp_path)
    raw = raw_of(["B", "A"], 30, until=MONDAY).with_columns(pl.lit("Energy").alias("sector"))
    account = keep(store, prepare(raw, calendar="XNYS"), MONDAY)
    assert account == RowAccount("bars", rows_in=60, new=60, restated=0, unchanged=0)
    read = store.read_bars()
    assert read["symbol"].to_list() == ["A"] * 30 + ["B"] * 30
    assert read["date"].head(30).is_sorted()
    assert read["sector"].unique().to_list() == ["Energy"]
    assert read["close"].dtype == pl.Float64
    assert read.schema["date"] == pl.Date
    symbols = store.symbols()
    assert symbols["source"].to_list() == ["test", "test"]
    assert symbols["synthetic"].to_list() == [False, False]


def test_a_later_label_does_not_restate_a_symbol(tmp_path):
    store = fresh(tmp_path)
    last = pl.col("date") == TUESDAY
    sector = pl.when(last).then(pl.lit("Gold")).when(pl.col("date") < FRIDAY).then(pl.lit(""))
    raw = raw_of(["A"], 31, until=TUESDAY)
    raw = raw.with_columns(sector=sector.otherwise(pl.lit("Energy"))).sort("date", descending=True)
    keep(store, prepare(raw.filter(~last), calendar="XNYS"), MONDAY)
    before = store.snapshot_hash(until=MONDAY)
    keep(store, prepare(raw, calendar="XNYS"), TUESDAY)
    assert store.symbols()["sector"].to_list() == ["Energy"]
    assert store.snapshot_hash(until=MONDAY) == before


def keep_from(store: Store, symbols: list[str], place: str) -> RowAccount:
    return store.write_bars(
        prepared_of(symbols, 30, until=MONDAY),
        **{"run_id": "r", "source": "bars.parquet", "place": place, "until": MONDAY},
    )


def test_another_data_set_of_the_same_name_is_refused_whole(tmp_path):
    store = fresh(tmp_path)
    store.admit(["X"], place="/m2/bars.parquet")
    keep_from(store, ["A", "B", "C", "D"], "/m1/bars.parquet")
    before = store.snapshot_hash(), store.home.database.read_bytes()
    line = (
        "E_UNIVERSE: 2 of 3 symbols of /m2/bars.parquet are new to a universe of 4 symbols from"
        " /m1/bars.parquet, universe u, give this data set its own name by"
        " --set data.universe=NAME, or another --home"
    )
    for refused in (
        lambda: keep_from(store, ["A", "X", "Y"], "/m2/bars.parquet"),
        lambda: store.admit(["A", "X", "Y"], place="/m2/bars.parquet"),
    ):
        with pytest.raises(StoreError) as error:
            refused()
        assert str(error.value) == line
        assert (store.snapshot_hash(), store.home.database.read_bytes()) == before
    assert keep_from(fresh(tmp_path, "v"), ["A", "X", "Y"], "/m2/bars.parquet").new == 90


def test_a_data_set_may_move_and_may_grow_where_it_lies(tmp_path):
    store = fresh(tmp_path)
    keep_from(store, ["A", "B"], "/m1/bars.parquet")
    name = store.snapshot_hash()
    assert keep_from(store, ["A", "B"], "/m2/bars.parquet").written == 0
    assert store.snapshot_hash() == name, "where a file lies is no content"
    assert keep_from(store, list("ABCDEF"), "/m1/bars.parquet").new == 120
    assert keep_from(store, list("ABCUVW"), "/m2/bars.parquet").withdrawn == 90, "half is enough"


def test_the_same_rows_again_change_nothing_not_even_a_byte(tmp_path):
    store = fresh(tmp_path)
    prepared = prepared_of(["A", "B"], 30, until=MONDAY)
    keep(store, prepared, MONDAY)
    database = store.home.database
    before = hashlib.sha256(database.read_bytes()).hexdigest()
    account = keep(store, prepared, MONDAY, hour=23)
    assert (account.written, account.unchanged) == (0, 60)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert store.batches().height == 2


def test_a_new_session_adds_only_its_rows(tmp_path):
    store = fresh(tmp_path)
    whole = raw_of(["A", "B"], 31, until=TUESDAY)
    keep(store, prepare(whole.filter(pl.col("date") < TUESDAY), calendar="XNYS"), MONDAY)
    account = keep(store, prepare(whole, calendar="XNYS"), TUESDAY)
    assert (account.new, account.restated, account.unchanged) == (2, 0, 60)


def test_rows_quarantined_are_kept_with_the_rule_and_counted(tmp_path):
    store = fresh(tmp_path)
    raw = raw_of(["A"], 30, until=MONDAY)
    bad = raw.with_row_index().with_columns(
        pl.when(pl.col("index") == 3).then(-1.0).otherwise("low").alias("low"),
        pl.when(pl.col("index") == 5).then(float("nan")).otherwise("open").alias("open"),
    )
    bad = pl.concat([bad.drop("index"), raw.head(1), raw.head(1)])
    account = keep(store, prepare(bad, calendar="XNYS"), MONDAY)
    assert account.rows_in == 32
    assert account.new == 28
    assert sum(account.reasons.values()) == account.quarantined == 4
    assert account.reasons == {
        "duplicate_agreeing": 2,
        "price_not_finite": 1,
        "price_not_positive": 1,
    }
    held = store.quarantine()
    assert sorted(held["rule"]) == sorted(
        ["duplicate_agreeing", "duplicate_agreeing", "price_not_finite", "price_not_positive"]
    )
    assert keep(store, prepare(bad, calendar="XNYS"), MONDAY, hour=23).written == 0
    assert store.quarantine().height == 4


def test_a_mended_file_heals_the_quarantine(tmp_path):
    store = fresh(tmp_path)
    raw = raw_of(["A"], 30, until=MONDAY)
    bad = raw.with_columns(
        pl.when(pl.col("date") == FRIDAY).then(0.0).otherwise("low").alias("low")
    )
    keep(store, prepare(bad, calendar="XNYS"), MONDAY)
    assert store.read_bars().height == 29
    account = keep(store, prepare(raw, calendar="XNYS"), TUESDAY)
    assert (account.new, account.withdrawn) == (1, 0)
    assert store.quarantine().is_empty()
    assert store.read_bars().height == 30
    assert store.quarantine(as_of=MONDAY).height == 1, "the past still shows what it held back"


def test_a_row_held_back_later_is_not_shown_at_a_time_when_the_home_kept_none(tmp_path):
    store, year_later = fresh(tmp_path), date(2021, 3, 9)
    raw = raw_of(["A"], 30, until=MONDAY)
    bad = raw.with_columns(
        pl.when(pl.col("date") == FRIDAY).then(0.0).otherwise("low").alias("low")
    )
    keep(store, prepare(raw, calendar="XNYS"), MONDAY)
    store.write_bars(
        prepare(bad, calendar="XNYS"),
        **{"run_id": "r", "source": "test", "until": MONDAY, "arrived": at(year_later, 22)},
    )
    assert store.quarantine()["date"].to_list() == [FRIDAY]
    for then in (MONDAY, at(MONDAY, 23)):
        assert store.kept_bars(then)
        assert store.read_bars(as_of=then).height == 30
        assert store.quarantine(as_of=then).is_empty()
    assert not store.kept_bars(FRIDAY)
    assert store.quarantine(as_of=FRIDAY).height == 1, "nobody saw it: what could be known"


def test_a_row_without_symbol_or_date_is_kept_in_quarantine(tmp_path):
    store = fresh(tmp_path)
    raw = raw_of(["A"], 30, until=MONDAY)
    strays = raw.head(2).with_columns(
        pl.Series("symbol", [None, "A"]), pl.Series("date", [MONDAY, None])
    )
    account = keep(store, prepare(pl.concat([raw, strays]), calendar="XNYS"), MONDAY)
    assert account.quarantined == 2
    assert store.quarantine()["rule"].sort().to_list() == ["date_missing", "symbol_missing"]


def test_a_restated_bar_keeps_what_was_known_before(tmp_path):
    store = fresh(tmp_path)
    keep(store, bars_of("A", {FRIDAY: 10.0, MONDAY: 11.0}), MONDAY)
    account = keep(store, bars_of("A", {FRIDAY: 10.0, MONDAY: 11.5, TUESDAY: 12.0}), TUESDAY)
    assert (account.new, account.restated, account.unchanged) == (1, 1, 1)
    assert store.read_bars()["close"].to_list() == [10.0, 11.5, 12.0]
    assert store.read_bars(as_of=MONDAY)["close"].to_list() == [10.0, 11.0]
    assert store.read_bars(until=MONDAY)["close"].to_list() == [10.0, 11.5]
    assert store.read_bars(as_of=at(TUESDAY, 21))["close"].to_list() == [10.0, 11.0]
    assert store.snapshot_hash(as_of=MONDAY) != store.snapshot_hash(until=MONDAY)


def test_a_bar_that_goes_and_comes_back(tmp_path):
    store = fresh(tmp_path)
    both = {FRIDAY: 10.0, MONDAY: 11.0}
    keep(store, bars_of("A", both), MONDAY)
    gone = keep(store, bars_of("A", {FRIDAY: 10.0}), TUESDAY)
    assert (gone.withdrawn, gone.unchanged) == (1, 1)
    assert store.read_bars()["date"].to_list() == [FRIDAY]
    back = keep(store, bars_of("A", both), TUESDAY, hour=23)
    assert (back.new, back.restated) == (0, 1)
    assert store.read_bars()["close"].to_list() == [10.0, 11.0]
    assert store.read_bars(as_of=MONDAY)["close"].to_list() == [10.0, 11.0]


def test_a_run_up_to_an_earlier_session_withdraws_nothing_later(tmp_path):
    store = fresh(tmp_path)
    keep(store, bars_of("A", {FRIDAY: 10.0, MONDAY: 11.0}), MONDAY)
    account = store.write_bars(
        bars_of("A", {FRIDAY: 10.0}), run_id="r", source="s", until=FRIDAY, arrived=at(MONDAY, 23)
    )
    assert account.written == 0
    assert store.read_bars().height == 2


def test_universes_do_not_mix(tmp_path):
    one, two = fresh(tmp_path, "one"), fresh(tmp_path, "two")
    keep(one, bars_of("A", {FRIDAY: 10.0}), MONDAY)
    account = keep(two, bars_of("B", {FRIDAY: 20.0}), MONDAY)
    assert (account.new, account.withdrawn) == (1, 0)
    assert one.read_bars()["symbol"].to_list() == ["A"]
    assert two.read_bars()["symbol"].to_list() == ["B"]
    assert one.findings() == two.findings() == []


def test_history_loaded_today_can_be_read_as_of_any_past_session(tmp_path):
    store = fresh(tmp_path)
    keep(store, prepared_of(["A"], 60, until=MONDAY), MONDAY)
    assert store.read_bars(as_of=date(2020, 2, 3))["date"].max() == date(2020, 2, 3)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 3), max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_the_history_each_moment_reads_back_as_it_was(tmp_path_factory, moments):
    """Live rows only: every write's rows are the truth until the next write."""
    store = fresh(tmp_path_factory.mktemp("home"))
    cuts = []
    for i, moment in enumerate(moments):
        arrived = at(MONDAY, 21) + timedelta(minutes=i)
        prepared = bars_of("", {}) if not moment else None
        for symbol, price in sorted(moment.items()):
            one = bars_of(symbol, {MONDAY: float(price)})
            prepared = one if prepared is None else joined(prepared, one)
        account = store.write_bars(
            prepared, run_id=str(i), source="s", until=MONDAY, arrived=arrived
        )
        assert account.rows_in == account.new + account.restated + account.unchanged
        cuts.append(arrived + timedelta(seconds=1))
    for cut, moment in zip(cuts, moments, strict=True):
        read = store.read_bars(as_of=cut)
        assert dict(read.select("symbol", "close").iter_rows()) == {
            symbol: float(price) for symbol, price in moment.items()
        }
    assert store.findings() == []


def joined(first: Prepared, second: Prepared) -> Prepared:
    return Prepared(
        pl.concat([first.bars, second.bars]),
        first.quarantined,
        first.missing,
        (),
        first.rows_in + second.rows_in,
    )


def test_rows_that_do_not_add_up_are_refused(tmp_path):
    store = fresh(tmp_path)
    with pytest.raises(StoreError, match=r"^E_STORE_ROWS: 5 rows came in, 3 went out"):
        RowAccount("bars", 5, new=2, restated=1, unchanged=0, reasons={"x": 1}).check()
    later = bars_of("A", {FRIDAY: 1.0, MONDAY: 1.0})
    with pytest.raises(StoreError, match=r"^E_STORE_ROWS: 2 rows were handed over and 1 can"):
        keep(store, later, FRIDAY)
    assert store.read_bars().is_empty()
    twice = joined(bars_of("A", {FRIDAY: 1.0}), bars_of("A", {FRIDAY: 2.0}))
    with pytest.raises(StoreError, match=r"^E_STORE_ROWS: 2 rows share their key.*A, 2020-03-06"):
        keep(store, twice, FRIDAY)
    assert store.read_bars().is_empty()


def test_the_database_itself_refuses_an_impossible_price(tmp_path):
    store = fresh(tmp_path)
    good = bars_of("A", {FRIDAY: 1.0})
    for price in (0.0, -1.0, float("nan"), float("inf"), None):
        bad = good.bars.with_columns(pl.lit(price, dtype=pl.Float64).alias("open"))
        with pytest.raises(StoreError, match=r"^E_STORE: the store refused"):
            keep(store, Prepared(bad, good.quarantined, good.missing, (), 1), MONDAY)
    assert store.read_bars().is_empty()


def test_the_snapshot_hash_follows_content_only():
    bars = prepared_of(["A", "B"], 30, until=MONDAY).bars
    first = content_hash(bars)
    assert len(first) == 64
    assert content_hash(bars.sample(fraction=1.0, shuffle=True, seed=1)) == first
    assert content_hash(bars.select(sorted(bars.columns))) == first
    at_three = pl.int_range(pl.len()) == 3
    for change in (
        pl.when(at_three).then(pl.col("close") * (1 + 1e-15)).otherwise("close").alias("close"),
        pl.when(at_three).then(None).otherwise("volume").alias("volume"),
        pl.when(at_three).then(pl.lit("EUR")).otherwise("currency").alias("currency"),
    ):
        assert content_hash(bars.with_columns(change)) != first
    assert content_hash(bars.head(59)) != first
    zero = pl.DataFrame({"symbol": ["A"], "date": [FRIDAY], "close": [0.0]})
    assert content_hash(zero) == content_hash(zero.with_columns(-pl.col("close")))
    assert content_hash(zero) != content_hash(
        zero.with_columns(pl.lit(None, dtype=pl.Float64).alias("close"))
    )


def test_the_store_reads_back_what_its_batches_say(tmp_path):
    store = fresh(tmp_path)
    keep(store, prepared_of(["A"], 30, until=MONDAY), MONDAY)
    assert store.findings() == []
    part = Slice(universe="u", run_id="r", arrived=at(TUESDAY, 22))
    with store.writing(part) as (open_store, _):
        open_store.execute("delete from bars where date = (select min(date) from bars)")
    assert len(store.findings()) == 1
    assert store.findings()[0].startswith("E_STORE_LOST: table bars holds 29 rows")


def test_every_table_says_when_a_row_was_known(tmp_path):
    with fresh(tmp_path).reading() as open_store:
        rows = open_store.execute(
            "select table_name from duckdb_tables() where table_name not in"
            " (select table_name from duckdb_columns() where column_name = 'known_at')"
        ).fetchall()
    assert rows == []


def test_now_is_taken_where_no_arrival_is_given(tmp_path):
    store = fresh(tmp_path)
    before = datetime.now(UTC)
    store.write_bars(bars_of("A", {FRIDAY: 1.0}), run_id="r", source="s", until=MONDAY)
    assert before <= store.batches()["ingested_at"][0] <= datetime.now(UTC)


PANELS = os.environ.get("WEATHERVANE_MARKET_DATA", "")


@pytest.mark.skipif(not PANELS, reason="$WEATHERVANE_MARKET_DATA names no folder of panels")
@pytest.mark.parametrize("name", ["dax_daily_2000_2017", "lean_us_daily_1998_2021"])
def test_real_panels_are_kept_whole_and_as_of(tmp_path, name):
    prepared = prepare(read_bars(Path(PANELS) / f"{name}.parquet"))
    store = fresh(tmp_path, name, calendar=None)
    until = date(2021, 12, 31)
    account = store.write_bars(prepared, run_id="r", source=name, until=until)
    assert account.rows_in == prepared.rows_in == account.new + account.quarantined
    assert store.read_bars().height == account.new
    assert store.quarantine().height == account.quarantined
    again = store.write_bars(prepared, run_id="r", source=name, until=until)
    assert (again.written, again.unchanged) == (0, account.new)
    past = store.read_bars(as_of=date(2008, 10, 10))
    assert past["date"].max() == date(2008, 10, 10)
    assert past.equals(store.read_bars(until=date(2008, 10, 10)))
