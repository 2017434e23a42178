"""A slice of recorded crawls through ``collect``: every restatement is found, and none made up.

The counts are made a second time by plain Polars and a plain loop; what the whole file gives stands
in ``docs/results/vintages.md``.
"""

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.market.calendar import last_finished_session
from pipeline.config import open_home
from pipeline.feed import QUOTE_COLUMNS
from pipeline.store import content_hash
from tests.pipeline.crawls import (
    CALENDAR,
    FILE,
    TOLERANCE,
    ByHand,
    DatedStore,
    Pass,
    evening,
    read_crawls,
    replay,
    store_of,
)

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
SPLIT = ("LNT", date(2016, 5, 19), date(2016, 5, 20))
BEFORE = date(2016, 5, 19)
CRAWLS, SYMBOLS = 24, 30


@pytest.fixture(scope="module")
def crawls() -> pl.DataFrame:
    """Crawls around a split of two for one, of some symbols."""
    if not FOLDER or not (Path(FOLDER) / f"{FILE}.parquet").exists():
        pytest.skip(f"WEATHERVANE_MARKET_DATA names no folder with {FILE}.parquet")
    whole = read_crawls(Path(FOLDER))
    days = whole["as_of"].unique().sort()
    first = days.index_of(SPLIT[2]) - CRAWLS // 2
    names = ["LNT", *whole["symbol"].unique().sort().head(SYMBOLS - 1)]
    chosen = pl.col("as_of").is_in(days.slice(first, CRAWLS).implode())
    return whole.filter(chosen & pl.col("symbol").is_in(names))


@pytest.fixture(scope="module")
def run(
    crawls: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DatedStore, list[Pass], dict[date, str]]:
    """The store after the last crawl, what each pass did, and the content of early panels then."""
    store, passes, seen = store_of(open_home(tmp_path_factory.mktemp("home"))), [], {}
    for one in replay(crawls, store):
        passes.append(one)
        if one.day <= SPLIT[2]:
            seen[one.day] = content_hash(store.read_quotes().drop("ts"))
    return store, passes, seen


def test_every_restatement_of_the_file_is_detected_and_no_other(crawls, run):
    _, passes, _ = run
    before = pl.col("adj_close").shift(1).over("symbol", "date", order_by="as_of")
    moved = crawls.filter((pl.col("adj_close") / before - 1.0).abs() > TOLERANCE)
    counted = set(moved.select("symbol", "as_of").iter_rows())
    assert len(counted) == 10
    assert ("LNT", SPLIT[2]) in counted
    assert {(name, one.day) for one in passes for name in one.done.restated} == counted


def test_the_split_halves_all_that_came_before_it(run):
    store, _, _ = run
    rows = store.read_quotes(symbols=["LNT"], until=SPLIT[1])
    assert rows.height == CRAWLS // 2 + 1, "the first crawl brings two sessions"
    ratio = rows["adj_close"] / rows["close"]
    assert (ratio - 0.5).abs().max() < 0.5 * TOLERANCE * CRAWLS
    early = store.read_quotes(symbols=["LNT"], as_of=BEFORE)
    assert (early["adj_close"] / early["close"]).min() > 0.9


def test_a_panel_of_the_past_keeps_its_content(run):
    store, passes, seen = run
    assert sum(one.done.changed for one in passes if one.day > BEFORE) > 0
    again = {day: content_hash(store.read_quotes(as_of=day).drop("ts")) for day in seen}
    assert again == seen
    assert len(set(seen.values())) == len(seen)


def test_what_is_known_is_what_a_loop_over_the_rows_says(crawls, run):
    store, _, _ = run
    hand = ByHand()
    for (day,), crawl in crawls.group_by("as_of", maintain_order=True):
        last = last_finished_session(CALENDAR, evening(day))
        for (symbol,), rows in crawl.group_by("symbol", maintain_order=True):
            hand.see(day, last, str(symbol), rows.select(QUOTE_COLUMNS).rows())
    expected = hand.panel()
    assert store.read_quotes().select(expected.columns).equals(expected)
