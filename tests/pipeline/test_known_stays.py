"""What an answer may not take away: a price, a currency, a small dividend; and what it may."""

from datetime import date, timedelta

import polars as pl
import pytest

from backtest.errors import ConfigError, ProviderUnavailable
from pipeline.collecting import raw_bars
from tests.pipeline.paper_feed import (
    FIRST,
    LAST,
    PaperFeed,
    days_before,
    failing,
    one_pass,
)
from tests.pipeline.stored import fresh

VALUES = ["open", "high", "low", "close", "volume", "adj_close"]


def adjusted(store) -> list[float]:
    return store.read_quotes()["adj_close"].to_list()


def without(values: list[str], days: list[date]):
    """Answers in which some values of some sessions are absent."""
    absent = pl.when(~pl.col("date").is_in(days))
    return lambda rows: rows.with_columns(absent.then(pl.col(n)).alias(n) for n in values)


@pytest.mark.parametrize("values", [VALUES, ["open"], ["adj_close"], ["volume"]])
def test_a_value_that_is_absent_from_an_answer_stays_as_it_was_known(tmp_path, values):
    feed, store = PaperFeed(["A"]), fresh(tmp_path)
    one_pass(feed, store, day=days_before(LAST, 1))
    before = store.read_quotes()
    feed.edits["A"] = without(values, [days_before(LAST, 3)])
    done = one_pass(feed, store, run="again")
    assert store.read_quotes().head(before.height).equals(before)
    assert store.read_quotes().height == before.height + 1
    assert (done.holed, done.restated, done.failed, done.pending) == (["A"], [], {}, {})
    assert one_pass(feed, store, run="quiet").asked == 0


def test_an_answer_of_holes_is_not_believed(tmp_path):
    feed, store = PaperFeed(["A", "B"]), fresh(tmp_path)
    one_pass(feed, store, day=days_before(LAST, 1))
    before = store.read_quotes()
    feed.edits["A"] = without(VALUES, [days_before(LAST, n) for n in range(1, 60)])
    done = one_pass(feed, store, run="again")
    assert "lacks 10 of 10 sessions that are known" in done.failed["A"]
    ours = pl.col("symbol") == "A"
    assert store.read_quotes().filter(ours).equals(before.filter(ours))


def test_a_source_that_answers_nothing_is_down_however_few_are_asked(tmp_path):
    feed, store = PaperFeed(["A"]), fresh(tmp_path)
    feed.faults["A"] = failing(99, ProviderUnavailable("down"))
    with pytest.raises(ProviderUnavailable, match=r"^E_PROVIDER: 1 of 1 symbols had no answer"):
        one_pass(feed, store)


def test_a_hole_that_was_never_filled_is_kept_to_be_judged(tmp_path):
    feed, store = PaperFeed(["A"]), fresh(tmp_path)
    feed.edits["A"] = without(VALUES, [days_before(LAST, 3)])
    assert one_pass(feed, store).holed == []
    assert store.read_quotes()["close"].null_count() == 1


def test_an_answer_without_a_currency_is_in_the_one_that_was_known(tmp_path):
    feed, store = PaperFeed(["A"], currencies={"A": "GBp"}), fresh(tmp_path)
    one_pass(feed, store, day=days_before(LAST, 1))
    feed.currencies["A"] = None
    one_pass(feed, store, run="again")
    assert set(store.read_quotes()["currency"]) == {"GBp"}
    feed.currencies["A"] = "EUR"
    other = one_pass(feed, fresh(tmp_path / "other"))
    assert other.new > 0


def test_dividends_smaller_than_the_tolerance_add_up(tmp_path):
    """Each moves earlier prices by less than 1e-4; left out, the error would grow with each."""
    days = [days_before(LAST, n) for n in (8, 6, 4, 2)]
    feed = PaperFeed(["A"], actions={"A": [(day, "dividend", 0.009) for day in days]})
    store = fresh(tmp_path)
    for n in range(12, -1, -1):
        done = one_pass(feed, store, day=days_before(LAST, n), run=f"r{n}")
        assert (done.restated == ["A"]) == (days_before(LAST, n) in days)
    clean = fresh(tmp_path / "clean")
    one_pass(feed, clean)
    assert adjusted(store) == adjusted(clean)


@pytest.mark.parametrize(
    "mended", [[], [(days_before(LAST, 4), "split", 2.0)]], ids=["withdrawn", "redated"]
)
def test_a_split_that_was_told_by_mistake_is_taken_back(tmp_path, mended):
    feed = PaperFeed(["A"], actions={"A": [(days_before(LAST, 3), "split", 2.0)]})
    store, names = fresh(tmp_path), pl.DataFrame({"symbol": ["A"], "exchange": ["XNYS"]})
    one_pass(feed, store, day=days_before(LAST, 1))
    seen = raw_bars(store, names, until=LAST)
    feed.actions["A"] = mended
    assert one_pass(feed, store, run="again").restated == ["A"]
    clean = fresh(tmp_path / "clean")
    one_pass(feed, clean)
    expected = raw_bars(clean, names, until=LAST)
    assert raw_bars(store, names, until=LAST).equals(expected)
    assert not seen["volume"].equals(expected["volume"].head(seen.height))
    assert store.read_actions().equals(clean.read_actions())


def test_an_older_action_than_the_answer_speaks_of_stays(tmp_path):
    feed = PaperFeed(["A"], actions={"A": [(days_before(LAST, 30), "split", 2.0)]})
    store = fresh(tmp_path)
    one_pass(feed, store, day=days_before(LAST, 1))
    assert one_pass(feed, store, run="again").restated == []
    assert store.read_actions()["date"].to_list() == [days_before(LAST, 30)]


def test_a_first_session_after_the_last_one_is_refused_and_leaves_no_trace(tmp_path):
    feed, store = PaperFeed(["A"]), fresh(tmp_path)
    late = f"feed.first={LAST + timedelta(days=400)}"
    with pytest.raises(ConfigError, match=r"^E_CONFIG: the first session .* feed\.first, give an"):
        one_pass(feed, store, told=[late])
    assert one_pass(feed, store).new > 0


def test_history_that_is_wanted_later_is_asked_for(tmp_path):
    feed, store = PaperFeed(["A", "B"]), fresh(tmp_path)
    one_pass(feed, store, day=days_before(LAST, 1), told=[f"feed.first={days_before(LAST, 20)}"])
    assert store.read_quotes()["date"].min() == days_before(LAST, 20)
    one_pass(feed, store, day=LAST, run="later", told=[f"feed.first={days_before(LAST, 20)}"])
    done = one_pass(feed, store, run="longer")
    assert (done.asked, done.restated, done.changed) == (2, [], 0)
    assert store.read_quotes()["date"].min() == FIRST
    clean = fresh(tmp_path / "clean")
    one_pass(feed, clean)
    assert store.read_quotes().equals(clean.read_quotes())
    assert one_pass(feed, store, run="quiet").asked == 0
