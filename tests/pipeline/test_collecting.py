from datetime import date, timedelta
from functools import partial
from time import sleep

import polars as pl
import pytest

from backtest.errors import ConfigError, ProviderUnavailable
from backtest.market.bars import prepare
from pipeline.collecting import collect, raw_bars
from pipeline.collecting.compare import carry_back, compare
from pipeline.commands.doctor import examine
from pipeline.feed import RateLimited, no_actions
from pipeline.store import content_hash
from pipeline.store.quotes import midnight
from tests.pipeline.paper_feed import (
    FIRST,
    LAST,
    PaperFeed,
    days_before,
    evening,
    failing,
    one_pass,
    settings_of,
)
from tests.pipeline.stored import fresh

NAMES = ["A", "B", "C", "D"]


go = partial(one_pass, names=NAMES)


def labels(names=NAMES) -> pl.DataFrame:
    return pl.DataFrame({"symbol": names, "sector": "Energy", "exchange": "XNYS"})


def test_the_first_pass_keeps_everything_and_the_second_asks_nothing(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    done = go(feed, store)
    assert (done.symbols, done.asked, done.new) == (4, 4, 4 * 61)
    assert feed.closed == 1
    before = store.home.database.read_bytes()
    again = go(feed, store)
    assert (again.asked, again.new, again.changed) == (0, 0, 0)
    assert sum(feed.asked.values()) == 4
    assert store.home.database.read_bytes() == before


def test_the_next_session_asks_for_the_overlap_only(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    yesterday = days_before(LAST, 1)
    go(feed, store, day=yesterday)
    done = go(feed, store)
    assert (done.asked, done.new, done.changed) == (4, 4, 0)
    assert {q.first for q in feed.questions[4:]} == {days_before(yesterday, 9)}
    assert done.restated == []


def test_one_delisted_among_many_is_named_and_asked_again_only_for_a_later_session(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    yesterday = days_before(LAST, 1)
    done = go(feed, store, day=yesterday, names=[*NAMES, "GONE"])
    assert done.unknown == ["GONE"]
    assert go(feed, store, day=yesterday, names=[*NAMES, "GONE"]).asked == 0
    assert go(feed, store, names=[*NAMES, "GONE"]).unknown == ["GONE"]
    assert feed.asked["GONE"] == 2


def test_a_symbol_that_a_source_forgets_keeps_what_was_known(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    feed.symbols = ["A", "B", "C", "-"]
    done = go(feed, store)
    assert (done.delisted, done.failed) == (["D"], {})
    assert store.read_quotes(symbols=["D"]).height == 60


@pytest.mark.parametrize(
    "error", [ProviderUnavailable("truncated JSON"), RateLimited("429", after_s=3.0)]
)
def test_what_passes_by_itself_is_asked_again(tmp_path, error):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    feed.faults["B"] = failing(3, error)
    done = go(feed, store)
    assert (done.failed, done.new) == ({}, 4 * 61)
    assert feed.asked["B"] == 4


def test_a_symbol_without_an_answer_fails_alone_and_a_re_run_heals_to_the_same_content(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path / "hurt")
    feed.faults["B"] = failing(99, ProviderUnavailable("HTTP 500"))
    feed.faults["C"] = failing(99, ProviderUnavailable("truncated JSON"))
    done = go(feed, store)
    assert sorted(done.failed) == ["B", "C"]
    assert "HTTP 500" in done.failed["B"]
    assert (feed.asked["A"], feed.asked["B"]) == (1, 4)
    feed.faults.clear()
    healed = go(feed, store, run="again")
    assert (healed.asked, healed.new) == (2, 2 * 61)
    clean = fresh(tmp_path / "clean")
    go(PaperFeed(NAMES), clean)
    frames = [raw_bars(s, labels(), until=LAST) for s in (store, clean)]
    assert content_hash(frames[0]) == content_hash(frames[1])


def feed_check(store):
    return next(check for check in examine(store.home.root) if check.name == "feed")


def test_doctor_names_a_symbol_without_an_answer_while_it_is_asked_for(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    feed.faults["B"] = failing(99, ProviderUnavailable("HTTP 500"))
    for back in (2, 1):
        go(feed, store, day=days_before(LAST, back))
        found = feed_check(store)
        assert (found.ok, "no answer for B of u" in found.found) == (False, True)
        assert "it asks for those alone" in found.heal
    go(feed, store, names=["A", "C"])
    found = feed_check(store)
    assert (found.ok, found.found) == (True, "symbols asked for: 2 complete"), "B and D have left"


@pytest.mark.parametrize(("day", "ok"), [(date(2024, 5, 28), False), (date(2024, 5, 29), True)])
def test_a_holiday_of_its_exchange_excuses_no_symbol(tmp_path, day, ok):
    """New York is closed on Monday 27 May 2024, Tokyo is not."""
    store = fresh(tmp_path, calendar=None)
    rows = [("A", date(2024, 5, 24), "failed"), ("B.T", day - timedelta(days=1), "complete")]
    schema = ["symbol", "until", "outcome"]
    answers = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        timeframe=pl.lit("1d"), detail=pl.lit(None, pl.String)
    )
    actions = no_actions().with_columns(symbol=pl.lit("A"))
    quotes = store.read_quotes().drop("ts")
    store.write_answers(quotes, actions, answers, run_id="r", source="s")
    assert feed_check(store).ok is ok


def test_a_source_that_is_down_is_left_alone_and_what_it_answered_is_kept(tmp_path):
    names = [f"S{i:02d}" for i in range(30)]
    feed, store = PaperFeed(names), fresh(tmp_path)
    for name in names[5:]:
        feed.faults[name] = failing(99, ProviderUnavailable("HTTP 503"))
    with pytest.raises(ProviderUnavailable, match=r"symbols had no answer .*HTTP 503") as error:
        go(feed, store, names=names, told=["feed.give_up_after=3", "feed.attempts=2"])
    assert "\n" not in str(error.value)
    assert sum(feed.asked.values()) <= 5 + 2 * (3 + 2 * 4), "nobody asks once the breaker is open"
    assert store.read_quotes()["symbol"].unique().sort().to_list() == names[:5]
    feed.faults.clear()
    assert go(feed, store, names=names).asked == 25


def test_a_dividend_restates_the_whole_symbol_and_the_old_vintage_stays(tmp_path):
    ex = days_before(LAST, 2)
    feed, store = PaperFeed(NAMES, actions={"B": [(ex, "dividend", 2.0)]}), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 3))
    old = raw_bars(store, labels(), until=days_before(LAST, 3))
    done = go(feed, store, run="later")
    assert done.restated == ["B"]
    assert (done.new, done.changed) == (4 * 3, 58)
    assert feed.asked == {"A": 2, "B": 3, "C": 2, "D": 2}
    b = store.read_quotes(symbols=["B"])
    ratio = (b["adj_close"] / b["close"]).round(9)
    assert ratio.to_list() == [0.98] * 58 + [1.0] * 3
    first = b.row(0, named=True)
    assert (first["close"], first["adj_close"]) == (110.0, 110.0 * 0.98)
    assert store.read_actions().rows() == [("B", ex, "dividend", 2.0)]
    cut = evening(days_before(LAST, 3)) + timedelta(days=3650)
    assert content_hash(raw_bars(store, labels(), until=LAST, as_of=cut)) == content_hash(
        raw_bars(store, labels(), until=LAST)
    )
    moment = store.batches().filter(pl.col("run_id") == "later")["ingested_at"][0]
    again = raw_bars(store, labels(), until=days_before(LAST, 3), as_of=moment)
    assert content_hash(again) == content_hash(old)


def test_an_action_that_a_source_tells_late_was_not_known_when_the_home_kept_none(tmp_path):
    """Answers are witnesses enough: no bar was judged here yet."""
    ex = days_before(LAST, 8)
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    feed.actions = {"B": [(ex, "dividend", 2.0)]}
    go(feed, store, run="later")
    assert store.read_actions().height == 1
    moment = store.batches().filter(pl.col("run_id") == "later")["ingested_at"].min()
    assert not store.kept_bars(moment)
    assert store.read_actions(as_of=moment).is_empty()


def test_a_split_is_seen_as_traded_and_makes_no_jump(tmp_path):
    ex = days_before(LAST, 1)
    feed, store = PaperFeed(NAMES, actions={"A": [(ex, "split", 2.0)]}), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 2))
    done = go(feed, store, run="later")
    assert done.restated == ["A"]
    a = store.read_quotes(symbols=["A"])
    assert a["close"].to_list() == [100.0 + i for i in range(61)], "as traded"
    assert a["volume"].to_list() == [1000.0] * 61
    bars = raw_bars(store, labels(), until=LAST).filter(pl.col("symbol") == "A")
    assert bars["volume"].to_list() == [2000.0] * 59 + [1000.0] * 2, "in today's shares"
    good = prepare(bars, calendar="XNYS", min_bars=1).bars
    assert good["close"][0] == 50.0
    assert good["close_raw"][0] == 100.0


def test_rounding_is_no_restatement(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    known = store.read_quotes()
    feed.edits["B"] = lambda rows: rows.with_columns(pl.col("adj_close", "close") * 1.00009)
    done = go(feed, store)
    assert (done.restated, done.changed, done.new) == ([], 0, 4)
    assert store.read_quotes(until=days_before(LAST, 1)).equals(known)
    feed.edits["B"] = lambda rows: rows.with_columns(pl.col("adj_close") * 1.00011)
    store = fresh(tmp_path / "other")
    go(PaperFeed(NAMES), store, day=days_before(LAST, 1))
    assert go(feed, store).restated == ["B"]


def test_the_newest_bar_without_a_price_is_pending_and_asked_for_again(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    last = pl.col("date") == LAST
    prices = ["open", "high", "low", "close", "adj_close", "volume"]
    feed.edits["C"] = lambda rows: rows.with_columns(pl.when(~last).then(pl.col(prices)))
    done = go(feed, store)
    assert done.pending == {"C": f"no bar of {LAST} yet, the last is of {days_before(LAST, 1)}"}
    assert done.new == 4 * 61 - 1
    feed.edits.clear()
    healed = go(feed, store)
    assert (healed.asked, healed.new, healed.pending) == (1, 1, {})


def test_a_hole_in_the_middle_stays_to_be_judged_and_is_filled_when_it_comes(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    hole = days_before(LAST, 3)
    feed.edits["C"] = lambda rows: rows.with_columns(
        pl.when(pl.col("date") != hole).then(pl.exclude("date"))
    )
    go(feed, store, day=days_before(LAST, 1))
    prepared = prepare(raw_bars(store, labels(), until=LAST), calendar="XNYS")
    assert prepared.accounting()["price_missing"] == 1
    feed.edits.clear()
    done = go(feed, store)
    assert done.restated == ["C"]
    assert prepare(raw_bars(store, labels(), until=LAST), calendar="XNYS").quarantined.is_empty()


def test_a_bar_of_a_session_under_way_is_not_kept(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    noon = evening(LAST) - timedelta(hours=6)
    done = collect(
        feed, settings_of(), store, dict.fromkeys(NAMES), run_id="r", until=LAST, now=noon
    )
    assert store.read_quotes()["date"].max() == days_before(LAST, 1)
    assert done.pending == {}


def test_a_thinned_answer_is_not_believed(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    known = store.read_quotes(symbols=["A"])
    feed.edits["A"] = lambda rows: rows.gather_every(3)
    done = go(feed, store)
    assert "lacks 6 of 10 sessions" in done.failed["A"]
    assert store.read_quotes(symbols=["A"]).equals(known)


def test_a_session_that_is_listed_twice_and_differently_fails_its_symbol_alone(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    known = store.read_quotes(symbols=["B"])
    feed.edits["A"] = lambda rows: pl.concat([rows, rows.tail(2)])
    feed.edits["B"] = lambda rows: pl.concat(
        [rows, rows.tail(1).with_columns(pl.col("adj_close") * 0.99)]
    )
    done = go(feed, store)
    assert list(done.failed) == ["B"]
    assert f"2 rows that share their bar and differ, the first of {LAST}" in done.failed["B"]
    assert done.new == 3, "A, listed twice alike, is kept once"
    assert store.read_quotes(symbols=["B"]).equals(known)


def test_a_quote_that_the_source_takes_back_is_withdrawn_and_can_be_read_as_of_then(tmp_path):
    feed, store = PaperFeed(NAMES), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 1))
    gone = days_before(LAST, 4)
    feed.edits["A"] = lambda rows: rows.filter(pl.col("date") != gone)
    done = go(feed, store, run="later")
    assert (done.withdrawn, done.new) == (1, 4)
    assert gone not in store.read_quotes(symbols=["A"])["date"].to_list()
    moment = store.batches().filter(pl.col("run_id") == "later")["ingested_at"][0]
    assert gone in store.read_quotes(symbols=["A"], as_of=moment)["date"].to_list()
    assert store.findings() == []


def test_a_source_with_two_sessions_only_carries_its_restatement_back(tmp_path):
    ex = LAST
    feed, store = PaperFeed(NAMES, actions={"B": [(ex, "dividend", 2.0)]}), fresh(tmp_path)
    two = days_before(LAST, 1)
    go(feed, store, day=two)
    feed.edits["B"] = lambda rows: rows.filter(pl.col("date") >= two)
    assert go(feed, store, run="later").restated == ["B"]
    b = store.read_quotes(symbols=["B"])
    assert (b["adj_close"] / b["close"]).round(9).to_list() == [0.98] * 60 + [1.0]


def test_an_answer_without_a_session_in_common_is_named(tmp_path):
    feed, store = PaperFeed(NAMES, actions={"B": [(LAST, "dividend", 2.0)]}), fresh(tmp_path)
    go(feed, store, day=days_before(LAST, 3))
    feed.edits["B"] = lambda rows: rows.filter(pl.col("date") >= days_before(LAST, 1))
    done = go(feed, store, run="later")
    assert (done.apart, done.restated, done.failed) == (["B"], [], {})
    b = store.read_quotes(symbols=["B"])
    ratio = (b["adj_close"] / b["close"]).round(9).to_list()
    assert ratio == [1.0] * 58 + [0.98, 1.0], "what was known stays, the gap is not bridged"


def test_no_symbols_are_a_users_mistake(tmp_path):
    with pytest.raises(ConfigError, match=r"^E_CONFIG: no symbols to ask for"):
        go(PaperFeed(NAMES), fresh(tmp_path), names=[])


def quotes(rows: list[tuple[date, float, float]], symbol: str = "A") -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["date", "close", "adj_close"], orient="row")
    same = {n: pl.col("close") for n in ("open", "high", "low")}
    return frame.with_columns(
        **same, symbol=pl.lit(symbol), volume=pl.lit(1.0), ts=midnight("date")
    )


def test_comparing_keeps_what_stands_and_counts_what_moved():
    a, b, c = (FIRST + timedelta(days=i) for i in range(3))
    known = pl.concat(
        [quotes([(a, 10.0, 10.0), (b, 11.0, 11.0)]), quotes([(a, 5.0, 5.0), (b, 6.0, 6.0)], "B")]
    )
    answer = quotes([(a, 10.0, 9.0), (b, 11.0005, 11.0005), (c, 12.0, 12.0)])
    found = compare(answer, known, tolerance=1e-4)
    assert found.symbols.rows(named=True) == [
        {
            **{"symbol": "A", "first": a, "moved": 1, "factor": pytest.approx(0.9)},
            **{"span": 2, "gone": 0, "holes": 0, "apart": False, "thinned": False},
            "tolerance": 1e-4,
        }
    ]
    assert found.rows.sort("date")["close"].to_list() == [10.0, 11.0, 12.0]
    assert found.rows.sort("date")["adj_close"].to_list() == [9.0, 11.0, 12.0]
    assert found.gone.is_empty(), "B was not asked for"
    told = pl.DataFrame({"symbol": ["A"], "first": [b], "factor": [0.9], "tolerance": [1e-4]})
    back = carry_back(known, told)
    assert back.select("symbol", "date", "adj_close").rows() == [("A", a, 9.0)]
    close = told.with_columns(factor=pl.lit(1.00005))
    assert carry_back(known, close).is_empty()
    assert carry_back(known, close.with_columns(tolerance=0.0)).height == 1


def test_each_symbol_is_compared_with_itself():
    days = [FIRST + timedelta(days=i) for i in range(10)]
    known = pl.concat(
        [quotes([(day, 10.0, 10.0) for day in days], symbol) for symbol in ("A", "B", "C")]
    )
    answer = pl.concat(
        [
            quotes([(day, 10.0, 10.0) for day in days[:8]], "A"),
            quotes([(day, 10.0, 10.0) for day in (days[0], *days[4:])], "B"),
            quotes([(day, 10.0, 10.0) for day in (days[0], *days[2:])], "C"),
        ]
    )
    found = compare(answer, known, tolerance=1e-4)
    told = found.symbols.select("symbol", "span", "gone", "thinned").rows()
    assert told == [("A", 8, 0, False), ("B", 10, 3, True), ("C", 10, 1, False)]
    assert found.gone.select("symbol").to_series().to_list() == ["B"] * 3 + ["C"]


def test_who_is_refused_waits_for_questions_under_way_alone(tmp_path):
    names = [f"S{n:02d}" for n in range(60)]
    feed, store = PaperFeed(names), fresh(tmp_path)
    feed.faults = dict.fromkeys(names, lambda _: sleep(0.2))
    feed.faults["S00"] = failing(1, ConfigError("no key"))
    with pytest.raises(ConfigError, match="no key"):
        go(feed, store, names=names)
    assert sum(feed.asked.values()) < 30
