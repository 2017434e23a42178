"""The feed alpaca against a loopback server: what it gives, and every fault as one typed error."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from backtest.errors import ConfigError, ProviderUnavailable
from pipeline.config import load_settings
from pipeline.feed import QUOTE_COLUMNS, Question, RateLimited, SymbolUnknown
from pipeline.provider import PROVIDERS
from pipeline.providers.alpaca import CALLS_A_MINUTE, CALLS_A_QUESTION, patience
from tests.pipeline.alpaca_server import KEY, SECRET, Exchange, serve

FIRST, LAST = date(2024, 3, 7), date(2024, 3, 12)
# New York changes its clocks on 2024-03-10: midnight is 05:00 UTC before and 04:00 after.
STAMPS = [f"2024-03-{day}T0{hour}:00:00Z" for day, hour in (("07", 5), ("08", 5), (11, 4), (12, 4))]


def bar(stamp, close, volume=100):
    return {"t": stamp, "o": close, "h": close + 1, "l": close - 1, "c": close, "v": volume, "n": 1}


@pytest.fixture
def exchange(monkeypatch):
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    made = Exchange()
    for symbol in ("SPY", "BRK.B"):
        made.bars[symbol, "raw"] = [
            bar(t, c, 7) for t, c in zip(STAMPS, (100, 102, 51, 52), strict=True)
        ]
        made.bars[symbol, "all"] = [
            bar(t, c, 9) for t, c in zip(STAMPS, (49.5, 50.5, 51, 52), strict=True)
        ]
    server = serve(made)
    yield made
    server.shutdown()
    server.server_close()


def line(exchange, *more):
    asked = [f"feed.endpoint={exchange.address}", "feed.timeout_s=5.0", *more]
    return PROVIDERS.get("alpaca").open(load_settings("demo", overrides=asked))


def ask(exchange, symbol="SPY", timeframe="1d", first=FIRST, last=LAST):
    return line(exchange).ask(Question(symbol, first, last, timeframe))


@pytest.mark.parametrize("symbol", ["SPY", "BRK.B"])
def test_pages_and_both_adjustments_become_one_table(exchange, symbol):
    answer = ask(exchange, symbol)
    quotes = answer.quotes
    assert tuple(quotes.columns) == QUOTE_COLUMNS
    assert [day.day for day in quotes["date"]] == [7, 8, 11, 12]
    assert quotes["close"].to_list() == [100.0, 102.0, 51.0, 52.0]
    assert quotes["adj_close"].to_list() == [49.5, 50.5, 51.0, 52.0]
    assert quotes["volume"].to_list() == [7.0] * 4
    assert (answer.symbol, answer.currency, answer.zone) == (symbol, "USD", "America/New_York")
    assert answer.actions.is_empty()
    assert len(exchange.calls) == 2 + 2 + 1


def test_actions_by_ex_date(exchange):
    exchange.actions = {
        "cash_dividends": [
            {"symbol": "SPY", "rate": 0.5, "ex_date": "2024-03-08", "process_date": "2024-04-30"},
            {"symbol": "SPY", "rate": 0.25, "ex_date": "2024-03-08", "special": True},
            {"symbol": "SPY", "rate": 0.5, "ex_date": "2024-02-08"},
            {"symbol": "SPYX", "rate": 9.0, "ex_date": "2024-03-08"},
        ],
        "forward_splits": [
            {"symbol": "SPY", "new_rate": 2, "old_rate": 1, "ex_date": "2024-03-11"}
        ],
        "reverse_splits": [
            {"symbol": "SPY", "new_rate": 1, "old_rate": 10, "ex_date": "2024-03-12"}
        ],
    }
    assert ask(exchange).actions.rows() == [
        (date(2024, 3, 8), "dividend", 0.75),
        (date(2024, 3, 11), "split", 2.0),
        (date(2024, 3, 12), "split", 0.1),
    ]
    path, asked = exchange.calls[-1]
    assert path == "/v1/corporate-actions"
    assert asked["end"] > "2024-04-30", "searched by the day of processing"


def test_a_finer_bar_is_stamped_by_its_close(exchange):
    late = "2024-03-12T00:55:00Z"
    for adjustment in ("raw", "all"):
        exchange.bars["SPY", adjustment] = [bar("2024-03-11T13:30:00Z", 10), bar(late, 11)]
    quotes = ask(exchange, timeframe="5m").quotes
    assert tuple(quotes.columns) == ("ts", *QUOTE_COLUMNS)
    assert quotes["ts"].to_list() == [
        datetime(2024, 3, 11, 13, 35, tzinfo=UTC),
        datetime(2024, 3, 12, 1, 0, tzinfo=UTC),
    ]
    assert quotes["date"].to_list() == [date(2024, 3, 11)] * 2
    assert exchange.calls[0][1]["timeframe"] == "5Min"


def test_the_span_is_whole_days_of_new_york(exchange):
    ask(exchange)
    asked = exchange.calls[0][1]
    assert asked["start"] == "2024-03-07T00:00:00-05:00"
    assert asked["end"] == "2024-03-12T23:59:59-04:00"


def test_what_the_source_leaves_empty_is_null_and_the_row_stays(exchange):
    exchange.bars["SPY", "raw"][1]["o"] = None
    exchange.bars["SPY", "all"][1]["c"] = float("nan")
    quotes = ask(exchange).quotes
    assert quotes.height == 4
    assert (quotes["open"][1], quotes["adj_close"][1]) == (None, None)


def test_a_delisted_symbol_has_its_past_and_nothing_after(exchange):
    assert ask(exchange, last=date(2024, 5, 1)).quotes.height == 4
    with pytest.raises(SymbolUnknown, match=r"^E_SYMBOL: "):
        ask(exchange, first=date(2024, 4, 1), last=date(2024, 5, 1))


@pytest.mark.parametrize("symbol", ["NOPE", "", "../v2", "..", "A/B", "A?b=c", "A\n"])
def test_an_unknown_or_misspelt_symbol(exchange, symbol):
    with pytest.raises(SymbolUnknown):
        ask(exchange, symbol)
    assert len(exchange.calls) == (symbol == "NOPE")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, ConfigError, "E_KEYS"),
        (403, ConfigError, "E_KEYS"),
        (404, SymbolUnknown, "E_SYMBOL"),
        (422, SymbolUnknown, "E_SYMBOL"),
        (429, RateLimited, "E_RATE"),
        (302, ProviderUnavailable, "E_PROVIDER"),
        (400, ProviderUnavailable, "E_PROVIDER"),
        (500, ProviderUnavailable, "E_PROVIDER"),
        (503, ProviderUnavailable, "E_PROVIDER"),
    ],
)
def test_each_status_is_one_typed_error(exchange, status, kind, code):
    exchange.fault = (status, {"Retry-After": "7", "Location": "/elsewhere"}, b"<html>")
    with pytest.raises(kind) as caught:
        ask(exchange)
    assert caught.value.code == code
    assert getattr(caught.value, "after_s", 7.0) == 7.0
    assert len(exchange.calls) == 1, "asked once, never again"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b"",
        b'{"bars": [{"t": "2024-',
        b"[]",
        b"[" * 100_000,
        b'{"bars": 3}',
        b'{"bars": ["x"]}',
        b'{"bars": [{"t": 5}]}',
        b'{"symbol": "QQQ", "bars": []}',
        b"\xff\xfe",
        *(
            json.dumps({"bars": [{**bar(STAMPS[0], 1), **wrong}]}).encode()
            for wrong in ({"c": "1"}, {"c": True}, {"v": []}, {"t": "2024-03-07"}, {"h": 1e999})
        ),
        json.dumps({"bars": [bar(STAMPS[0], 1)] * 2}).encode(),
    ],
)
def test_an_answer_that_cannot_be_read(exchange, body):
    exchange.fault = (200, {}, body)
    with pytest.raises(ProviderUnavailable, match=r"^E_PROVIDER: ") as caught:
        ask(exchange)
    assert not isinstance(caught.value, RateLimited)


def test_a_body_that_is_cut_off(exchange):
    exchange.fault = (200, {"Content-Length": "999", "Connection": "close"}, b'{"bars": [')
    with pytest.raises(ProviderUnavailable):
        line(exchange, "feed.timeout_s=0.3").ask(Question("SPY", FIRST, LAST))


def test_nobody_listens():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APCA_API_KEY_ID", KEY)
        patch.setenv("APCA_API_SECRET_KEY", SECRET)
        with pytest.raises(ProviderUnavailable, match="NewConnectionError"):
            ask(Exchange(address="http://127.0.0.1:1"))


def test_pages_in_a_circle_end(exchange):
    exchange.circle = True
    with pytest.raises(ProviderUnavailable):
        ask(exchange)
    assert len(exchange.calls) <= 2


def test_adjusted_bars_that_do_not_match_the_traded_ones(exchange):
    exchange.bars["SPY", "all"].pop()
    with pytest.raises(ProviderUnavailable, match="4 traded and 3 adjusted bars"):
        ask(exchange)


@pytest.mark.parametrize("actions", [3, {"cash_dividends": [{"symbol": "SPY"}]}])
def test_actions_that_cannot_be_read(exchange, actions):
    exchange.actions = actions
    with pytest.raises(ProviderUnavailable):
        ask(exchange)


@pytest.mark.parametrize("value", [None, "", " ", "two\nlines", "sécret"])
def test_a_key_that_is_missing_or_none_is_refused_unseen(exchange, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("APCA_API_SECRET_KEY")
    else:
        monkeypatch.setenv("APCA_API_SECRET_KEY", value)
    with pytest.raises(ConfigError, match=r"^E_KEYS: APCA_API_SECRET_KEY ") as caught:
        line(exchange)
    assert not value or not value.strip() or value not in str(caught.value)
    assert exchange.calls == []


def test_a_key_is_in_no_text_even_where_the_server_echoes_it(exchange, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("APCA_API_SECRET_KEY", "wrong-secret")
    opened = line(exchange)
    with pytest.raises(ConfigError, match="no account of") as caught:
        opened.ask(Question("SPY", FIRST, LAST))
    text = f"{caught.value} {caught.value.where} {opened.place} {opened!r} {caplog.text}"
    assert KEY not in text
    assert "wrong-secret" not in text


def test_a_login_in_the_address_is_in_no_place(exchange):
    exchange.address = exchange.address.replace("//", "//me:word@")
    assert "word" not in line(exchange).place


def test_a_timeframe_that_is_not_there(exchange):
    with pytest.raises(ConfigError, match="one of 1d, 1m"):
        ask(exchange, timeframe="7m")


def test_eight_threads_on_one_line(exchange):
    opened, wanted = line(exchange), ["SPY", "BRK.B"] * 8
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda s: opened.ask(Question(s, FIRST, LAST)), wanted))
    opened.close()
    assert [answer.symbol for answer in answers] == wanted
    assert all(answer.quotes.equals(answers[0].quotes) for answer in answers)


def test_patience():
    assert patience({"Retry-After": "3"}, 0.0) == 3.0
    assert patience({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0) == 10.0
    assert patience({"X-RateLimit-Reset": "100"}, 70.0) == 30.0
    assert patience({"X-RateLimit-Reset": "100"}, 170.0) == 0.0
    assert patience({"X-RateLimit-Reset": "soon"}, 0.0) is None
    assert patience({}, 0.0) is None


def test_the_worst_minute_is_within_the_free_plan():
    limits = PROVIDERS.get("alpaca").limits
    calls = (60 * limits.rate_per_s + limits.burst) * CALLS_A_QUESTION
    assert calls <= CALLS_A_MINUTE
