"""The feed of Yahoo through the real client, against a loopback server with faults."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from backtest.errors import ConfigError, ProviderUnavailable
from backtest.market.calendar import calendar_of
from pipeline.config import load_settings
from pipeline.config.settings import PROFILES
from pipeline.feed import QUOTE_COLUMNS, Question, RateLimited, SymbolUnknown
from pipeline.provider import PROVIDERS
from pipeline.providers.yahoo.wire import rewritten
from tests.pipeline.yahoo_market import Listing
from tests.pipeline.yahoo_server import YahooServer, live_row, nothing_at, restated

UNIVERSE = PROFILES.parent / "universes" / "large_names.csv"
FIXTURES = Path(__file__).parent / "fixtures" / "yahoo"
DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7, 8)]
CLOSES = (100.0, 102.0, 104.0, 52.0, 53.0)
ROWS = tuple(
    (day, close - 1.0, close + 1.0, close - 2.0, close, 1000.0)
    for day, close in zip(DAYS, CLOSES, strict=True)
)
ACTIONS = ((DAYS[1], "dividend", 1.0), (DAYS[3], "split", 2.0))
LISTED = Listing("ABC", ROWS, ACTIONS)


@pytest.fixture
def server():
    with YahooServer({"ABC": LISTED}, now=DAYS[-1]) as made:
        yield made


@pytest.fixture
def line(server):
    opened = opened_at(server)
    yield opened
    opened.close()


def opened_at(server, *overrides: str):
    settings = load_settings("demo", overrides=[f"feed.endpoint={server.address}", *overrides])
    return PROVIDERS.get("yahoo").open(settings)


def week(symbol: str = "ABC", timeframe: str = "1d") -> Question:
    return Question(symbol, DAYS[0], DAYS[-1], timeframe)


def test_prices_volumes_and_dividends_are_as_traded(line):
    answer = line.ask(week())
    assert tuple(answer.quotes.columns) == QUOTE_COLUMNS
    assert answer.quotes["date"].to_list() == DAYS
    assert answer.quotes["close"].to_list() == list(CLOSES)
    assert answer.quotes["open"].to_list() == [close - 1.0 for close in CLOSES]
    assert answer.quotes["volume"].to_list() == [1000.0] * 5
    # Paid 1.00 on a close of 100, then halved: 100 / 2 x 0.99.
    assert answer.quotes["adj_close"].to_list() == pytest.approx([49.5, 51.0, 52.0, 52.0, 53.0])
    assert answer.actions.rows() == [(DAYS[1], "dividend", 1.0), (DAYS[3], "split", 2.0)]
    assert (answer.symbol, answer.currency, answer.zone) == ("ABC", "USD", "America/New_York")
    assert set(answer.quotes.dtypes[1:]) == {pl.Float64}


def test_yahoo_itself_says_half_of_it(server):
    chart = LISTED.chart(0, 2**40, "1d", DAYS[-1])
    assert chart["indicators"]["quote"][0]["close"] == [50.0, 51.0, 52.0, 52.0, 53.0]
    assert [row["amount"] for row in chart["events"]["dividends"].values()] == [0.5]


def test_a_split_after_the_span_is_undone_and_not_told(line):
    answer = line.ask(Question("ABC", DAYS[0], DAYS[1]))
    assert answer.quotes["close"].to_list() == [100.0, 102.0]
    assert answer.actions.rows() == [(DAYS[1], "dividend", 1.0)]


def test_a_fixture_in_pence_with_a_gap_and_a_dividend_on_a_day_without_a_quote(server, line):
    server.payloads["VOD.L"] = json.loads((FIXTURES / "vod_l.json").read_text())
    answer = line.ask(Question("VOD.L", date(2024, 6, 3), date(2024, 6, 7)))
    assert (answer.currency, answer.zone) == ("GBp", "Europe/London")
    days = [date(2024, 6, day) for day in (3, 4, 6, 7)]
    assert answer.quotes["date"].to_list() == days
    assert answer.quotes["close"].to_list() == [70.0, None, 72.0, 73.0]
    assert answer.quotes["volume"].to_list() == [500.0, None, None, 0.0]
    assert answer.actions.rows() == [(date(2024, 6, 5), "dividend", 4.5)]


def test_rows_without_values_stay(server, line):
    server.edit("ABC", nothing_at(1))
    server.edit("ABC", nothing_at(-1))
    quotes = line.ask(week()).quotes
    assert quotes["date"].to_list() == DAYS
    assert quotes["close"].to_list() == [100.0, None, 104.0, 52.0, None]
    assert quotes["volume"].to_list() == [1000.0, None, 1000.0, 1000.0, None]
    assert quotes["adj_close"].null_count() == 2


def test_a_live_row_replaces_the_listed_one(server, line):
    server.edit("ABC", live_row(54.5))
    quotes = line.ask(week()).quotes
    assert quotes["date"].to_list() == DAYS
    assert quotes.row(-1) == (DAYS[-1], 54.5, 54.5, 54.5, 54.5, 77.0, 54.5)


def test_history_is_restated_from_one_question_to_the_next(server, line):
    server.now = DAYS[2]
    assert line.ask(Question("ABC", DAYS[0], DAYS[2])).quotes["adj_close"][0] == 99.0
    server.now = DAYS[3]
    assert line.ask(Question("ABC", DAYS[0], DAYS[2])).quotes["adj_close"][0] == 49.5
    server.edit("ABC", restated(0.5))
    assert line.ask(Question("ABC", DAYS[0], DAYS[2])).quotes["adj_close"][0] == 24.75


def test_a_changed_time_zone_is_told(server, line):
    assert line.ask(week()).zone == "America/New_York"
    server.listings["ABC"] = replace(LISTED, zone="Asia/Tokyo")
    answer = line.ask(week())
    assert answer.zone == "Asia/Tokyo"
    assert answer.quotes["date"].to_list() == DAYS


@pytest.mark.parametrize(
    ("timeframe", "bars", "first", "volume"),
    [("1h", 7, (15, 30), 142.5), ("5m", 78, (14, 35), 12.5)],
)
def test_finer_bars_carry_their_close_in_utc(line, timeframe, bars, first, volume):
    quotes = line.ask(week(timeframe=timeframe)).quotes
    assert quotes.columns == ["ts", *QUOTE_COLUMNS]
    assert quotes.schema["ts"] == pl.Datetime("us", "UTC")
    assert quotes.height == 5 * bars
    day = quotes.filter(pl.col("date") == DAYS[0])
    assert day["ts"][0] == datetime(2024, 3, 4, *first, tzinfo=UTC)
    # 9:30 plus seven hours would be 16:30; the session closes at 16:00, 21:00 in UTC.
    assert day["ts"][-1] == datetime(2024, 3, 4, 21, 0, tzinfo=UTC)
    assert day["close"].to_list() == [100.0] * bars
    # Yahoo's 2,000 shares are 285 in each of 7 bars, or 25 in each of 78; half as many were traded.
    assert day["volume"].to_list() == [volume] * bars
    assert quotes["adj_close"].null_count() == quotes.height


@pytest.mark.parametrize(("header", "after_s"), [(7, 7.0), (None, None), ("soon", None)])
def test_too_many_questions(server, line, header, after_s):
    server.fault("ABC", "429", retry_after=header)
    with pytest.raises(RateLimited, match=r"^E_RATE: .*ABC") as error:
        line.ask(week())
    assert error.value.after_s == after_s
    assert server.asked["ABC"] == 1, "the client would have asked once more"


@pytest.mark.parametrize("kind", ["delisted", "empty"])
def test_a_symbol_that_yahoo_has_nothing_of(server, line, kind):
    server.fault("ABC", kind)
    with pytest.raises(SymbolUnknown, match=r"^E_SYMBOL: .*ABC"):
        line.ask(week())
    assert server.asked["ABC"] == 1


def test_no_row_in_the_span_and_no_such_symbol(line):
    with pytest.raises(SymbolUnknown, match="from 2024-03-09 to 2024-03-10"):
        line.ask(Question("ABC", date(2024, 3, 9), date(2024, 3, 10)))
    with pytest.raises(SymbolUnknown, match="may be delisted"):
        line.ask(week("NONE"))


UNREADABLE = [
    ("status", {}),
    ("status", {"status": 503}),
    ("html", {}),
    ("html", {"status": 404}),
    ("html", {"status": 502}),
    ("truncated", {}),
    ("cut", {}),
    ("json", {"body": None}),
    ("json", {"body": []}),
    ("json", {"body": {"status": "ok"}}),
    ("json", {"body": {"chart": {"result": [{"meta": {}}], "error": None}}}),
]


@pytest.mark.parametrize(("kind", "options"), UNREADABLE)
def test_what_cannot_be_read_is_no_answer_and_is_not_remembered(server, line, kind, options):
    server.fault("ABC", kind, **options)
    with pytest.raises(ProviderUnavailable, match=r"^E_PROVIDER: .*ABC at http") as error:
        line.ask(week())
    assert not isinstance(error.value, RateLimited)
    assert "\n" not in str(error.value)
    assert line.ask(week()).quotes.height == 5


def test_connections_that_are_dropped_or_refused(server, line):
    server.fault("ABC", "drop", times=2)  # on a used connection, the library itself tries twice
    with pytest.raises(ProviderUnavailable):
        line.ask(week())
    server.shutdown()
    server.server_close()
    with pytest.raises(ProviderUnavailable):
        opened_at(server).ask(week())


def test_a_hang_ends_with_the_timeout(server):
    server.fault("ABC", "hang")
    with pytest.raises(ProviderUnavailable, match="Timeout"):
        opened_at(server, "feed.timeout_s=0.3").ask(week())


def test_no_request_leaves_for_another_host(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with YahooServer({"ABC": LISTED}) as other:
        line = opened_at(server)
        server.fault("ABC", "redirect", location=f"{other.address}/v8/finance/chart/ABC")
        with pytest.raises(ProviderUnavailable, match="status 302"):
            line.ask(week())
        assert line.ask(week()).quotes.height == 5
        assert other.paths == []
    for host in ("fc.yahoo.com", "guce.yahoo.com", "query1.finance.yahoo.com"):
        moved = rewritten(f"https://{host}/a/b?c=d%20e", "http://127.0.0.1:1/base/")
        assert moved == "http://127.0.0.1:1/base/a/b?c=d%20e"


def test_two_lines_do_not_ask_at_each_others_address(server):
    with YahooServer({"ABC": replace(LISTED, currency="EUR")}, now=DAYS[-1]) as other:
        first, second = opened_at(server), opened_at(other)
        assert [one.ask(week()).currency for one in (first, second, first)] == ["USD", "EUR", "USD"]
        assert (server.asked["ABC"], other.asked["ABC"]) == (2, 1)
        assert (first.place, second.place) == (server.address, other.address)


def test_one_request_a_question_once_the_cookie_is_there(server, line):
    line.ask(week())
    assert [path.split("?")[0] for path in server.paths[-2:]] == [
        "/v1/test/getcrumb",
        "/v8/finance/chart/ABC",
    ]
    before = len(server.paths)
    line.ask(week())
    assert len(server.paths) == before + 1, "no cache, no time zone, no cookie"
    assert "crumb=crumb" in server.paths[-1]


@pytest.mark.parametrize("symbol", ["BRK-B", "BF.B", "^VIX", "EURUSD=X", "7203.T", "M&M.NS"])
def test_symbols_that_look_odd(server, line, symbol):
    server.listings[symbol] = replace(LISTED, symbol=symbol)
    answer = line.ask(week(symbol))
    assert answer.symbol == symbol
    assert answer.quotes["close"].to_list() == list(CLOSES)
    assert server.asked == {symbol: 1}


@pytest.mark.parametrize("symbol", ["", "../x", "a b", "A/B", "A?x=1", "A#", "A%2F", "x" * 40])
def test_what_is_no_symbol_is_never_sent(server, line, symbol):
    with pytest.raises(SymbolUnknown, match="is no symbol of Yahoo"):
        line.ask(week(symbol))
    assert server.paths == []


def test_questions_that_cannot_be_asked(server, line):
    with pytest.raises(SymbolUnknown, match="no session from 2024-03-08 to 2024-03-04"):
        line.ask(Question("ABC", DAYS[-1], DAYS[0]))
    with pytest.raises(ConfigError, match="'1w'"):
        line.ask(week(timeframe="1w"))
    assert server.paths == []


def test_a_single_bar(server, line):
    server.listings["ONE"] = Listing("ONE", ROWS[:1])
    answer = line.ask(week("ONE"))
    assert answer.quotes["close"].to_list() == [100.0]
    assert answer.actions.rows() == []


def test_threads_get_their_own_answers(server, line):
    server.listings |= {
        f"S{i}": Listing(f"S{i}", tuple((day, i, i, i, float(i), i) for day in DAYS))
        for i in range(1, 9)
    }
    symbols = [f"S{i}" for i in range(1, 9)] * 4 + ["ABC", "ABC"]
    gate = threading.Barrier(8)

    def ask(place: int) -> float:
        if place < 8:
            gate.wait(timeout=10)  # the first eight leave at once
        return line.ask(week(symbols[place])).quotes["close"][0]

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, range(len(symbols))))
    assert told == [*[float(i) for i in range(1, 9)] * 4, 100.0, 100.0]


def test_the_plain_client_gets_along_with_the_server(server):
    """Time zone first, then the chart, as ``Ticker`` asks."""
    import yfinance

    line = opened_at(server)
    frame = yfinance.Ticker("ABC", session=line._session).history(
        start="2024-03-04", end="2024-03-09", auto_adjust=False
    )
    assert frame["Close"].to_list() == [50.0, 51.0, 52.0, 52.0, 53.0]
    charts = [path for path in server.paths if "/chart/" in path]
    assert "range=1d" in charts[0]
    assert "period1=" in charts[1]


def test_the_universe_that_comes_with_the_profile():
    table = pl.read_csv(UNIVERSE, try_parse_dates=True)
    assert table.columns == [
        *("symbol", "valid_from", "valid_to", "sector"),
        *("region", "currency", "exchange", "asset_class"),
    ]
    assert table["symbol"].is_unique().all()
    assert dict(table["region"].value_counts().rows()) == {"US": 64, "Europe": 30}
    assert table["sector"].n_unique() == 11
    assert table["valid_from"].unique().to_list() == [load_settings("yahoo").feed.first]
    for symbol, exchange in table.select("symbol", "exchange").rows():
        assert calendar_of(symbol) == exchange


def test_the_profile_asks_yahoo():
    settings = load_settings("yahoo")
    assert (settings.data.provider, settings.universe) == ("yahoo", "yahoo-large-names")
    assert settings.feed.endpoint is None


def test_the_provider_loads_nothing_heavy():
    code = (
        "import pipeline.providers.yahoo, sys;"
        "sys.exit(bool({'yfinance', 'pandas', 'polars', 'curl_cffi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
