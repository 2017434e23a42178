"""Yahoo's daily and finer bars through yfinance, one symbol a question.

For: the feed ``yahoo``: what goes over the wire, what each reply means, and turning it into prices
as traded. Not for: pace, retries, what changed since (``pipeline.collecting``), and not for
judging the bars.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from backtest.errors import ConfigError, ProviderUnavailable, WeathervaneError
from backtest.registry import closest
from pipeline.feed import (
    DAILY,
    QUOTE_COLUMNS,
    Answer,
    Limits,
    Line,
    Question,
    RateLimited,
    SymbolUnknown,
    undo_splits,
)
from pipeline.provider import PROVIDERS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from pipeline.config import Settings

LIMITS = Limits(rate_per_s=2.0, burst=8, concurrent=4)
"""Yahoo publishes no limit and blocks an address for hours; this stays below what is reported to be
blocked, and a day of 100 symbols still takes less than a minute."""

HOST = "https://query2.finance.yahoo.com"
LENGTHS = {DAILY: None, "1h": timedelta(hours=1), "5m": timedelta(minutes=5)}
"""Timeframes that are asked for; the length of a bar where it is shorter than a session."""

_CHART = "/v8/finance/chart/"
_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=&-]{0,31}")
_MARGIN = timedelta(days=1)
_COOKIE_S = 5.0
_COOKIE_PAUSE_S = 60.0
_SHORT_OF_IT = {400, 404, 422}
_log = logging.getLogger(__name__)


class YahooFeed:
    """Yahoo's public chart endpoint."""

    limits = LIMITS

    def open(self, settings: "Settings") -> Line:
        """Prepare a client of its own; ``feed.endpoint`` replaces every host of Yahoo."""
        return YahooLine(settings.feed.endpoint, settings.feed.timeout_s)


class YahooLine:
    """One session and one client of yfinance, shared by the threads that ask.

    Parameters
    ----------
    endpoint : str, optional
        Base address in place of Yahoo's hosts; then no request leaves for another.
    timeout_s : float
        Longest wait for one answer, seconds.
    """

    def __init__(self, endpoint: str | None, timeout_s: float):
        self.place = endpoint or HOST
        self._timeout_s = timeout_s
        self._seen = threading.local()
        self._session = _session_kind()(endpoint, timeout_s, self._judge)
        self._client = _client(self._session)

    def ask(self, question: Question) -> Answer:
        """Ask for one symbol, up to now so that every later split is known, and cut to the span.

        Raises
        ------
        ConfigError
            A timeframe that is never asked for.
        SymbolUnknown
            Yahoo says so, or lists nothing in the span.
        RateLimited
            Status 429; ``after_s`` from ``Retry-After``, where given.
        ProviderUnavailable
            Any other reply that is no chart, and no reply.
        """
        _refuse_unaskable(question)
        self._seen.chart = None
        try:
            frame = self._history(question)
        except WeathervaneError:
            raise
        except Exception as error:
            # Whatever the client trips over (timeouts, half a JSON, a page) is one thing here:
            # no answer that can be read. The name of the error says which.
            raise self._unread(f"{type(error).__name__}: {error}", question.symbol) from error
        if self._seen.chart is None:
            raise self._unread("a reply that is no chart", question.symbol)
        return _answer(question, frame, self._seen.chart)

    def close(self) -> None:
        """Close the connections of all threads."""
        self._session.close()

    def _history(self, question: Question) -> "pd.DataFrame":
        """Ask the client; bounds are moments, hence the same in every time zone.

        The end lies in the future, for two reasons: a reply lists only splits up to its end, and
        the client answers closed spans from a cache of its own that also keeps errors.
        """
        from yfinance.scrapers.history import PriceHistory

        midnight = datetime(
            question.first.year, question.first.month, question.first.day, tzinfo=UTC
        )
        end = datetime.now(UTC) + _MARGIN
        # The class behind ``Ticker.history``: a ``Ticker`` would first ask for the time zone (a
        # second request per symbol, kept on disk for ever) and share one session per process.
        history = PriceHistory(self._client, question.symbol, "UTC", session=self._session)
        return history.history(
            period=None,
            interval=question.timeframe,
            start=min(midnight - _MARGIN, end - _MARGIN),
            end=end,
            prepost=False,
            actions=True,
            auto_adjust=False,
            back_adjust=False,
            repair=False,
            keepna=True,
            rounding=False,
            timeout=self._timeout_s,
            raise_errors=False,
        )

    def _judge(self, url: str, reply: Any) -> None:
        """Read a chart's reply before the client does, which repeats each refusal four times."""
        symbol = urlsplit(url).path.removeprefix(_CHART)
        status = reply.status_code
        if status == 429:
            after_s = retry_after_s(reply.headers.get("Retry-After"), datetime.now(UTC))
            raise RateLimited("Yahoo asks for patience", where=symbol, after_s=after_s)
        if status in (401, 403):
            return  # the client fetches a new cookie and crumb and asks once more
        chart = _chart_of(reply)
        if status not in (200, *_SHORT_OF_IT) or chart is None:
            raise self._unread(f"status {status}, " + _start_of(reply.text), symbol)
        if chart.get("error"):
            raise SymbolUnknown(
                f"Yahoo says: {_reason(chart['error'])}",
                where=symbol,
                fix="check the spelling and the span, or end its membership",
            )
        if not chart.get("result"):
            raise _nothing(symbol)
        self._seen.chart = chart["result"][0]

    def _unread(self, what: str, symbol: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"no readable answer ({what})", where=f"{symbol} at {self.place}", fix="try again later"
        )


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for; a number or a moment, nothing if it is neither.

    Examples
    --------
    >>> retry_after_s("30", datetime(2024, 1, 1, tzinfo=UTC))
    30.0
    """
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _refuse_unaskable(question: Question) -> None:
    if question.timeframe not in LENGTHS:
        fix = closest(question.timeframe, list(LENGTHS))
        raise ConfigError(f"Yahoo is not asked for bars of {question.timeframe!r}", fix=fix)
    if not _SYMBOL.fullmatch(question.symbol):
        fix = "write it as Yahoo does: BRK-B, VOD.L, ^VIX, EURUSD=X"
        raise SymbolUnknown(f"{question.symbol!r} is no symbol of Yahoo", fix=fix)
    if question.first > question.last:
        span = f"{question.first} to {question.last}"
        raise SymbolUnknown(f"no session from {span}", where=question.symbol, fix="mend the span")


def _nothing(symbol: str, span: str = "") -> SymbolUnknown:
    return SymbolUnknown(
        f"Yahoo lists nothing {span}".strip(),
        where=symbol,
        fix="check the spelling and the span, or end its membership",
    )


def _chart_of(reply: Any) -> dict[str, Any] | None:
    """Return the ``chart`` of a reply; nothing if the reply holds none."""
    try:
        content = reply.json()
    except ValueError:
        return None
    chart = content.get("chart") if isinstance(content, dict) else None
    return chart if isinstance(chart, dict) else None


def _reason(error: Any) -> str:
    return str(error.get("description") if isinstance(error, dict) else error)[:200]


def _start_of(text: str) -> str:
    return f"begins with {text[:40]!r}"


def _client(session: Any) -> Any:
    """Make a client of yfinance that is this line's alone.

    The class hands out one client per process, with the session that came last: two lines would
    ask at each other's address.
    """
    import tempfile

    import yfinance
    from yfinance.data import YfData

    with _once:
        if not _caches:
            # Cookies only; a folder that goes with the process, never one in the user's home.
            folder = tempfile.TemporaryDirectory(prefix="yahoo-", ignore_cleanup_errors=True)
            _caches.append(folder)
            yfinance.cache.set_cache_location(folder.name)
        yfinance.config.YfConfig.debug.hide_exceptions = False
        yfinance.config.YfConfig.network.retries = 0
    client = object.__new__(YfData)
    client.__init__(session)
    return client


_once = threading.Lock()
_caches: list[Any] = []


def _session_kind() -> Callable[..., Any]:
    """Class of the session, made on first use: its base is a heavy import."""
    from curl_cffi.requests import Session
    from curl_cffi.requests.exceptions import ConnectionError as NoConnection

    class RewritingSession(Session):  # type: ignore[type-arg]
        """Sends each request to the endpoint, and has each chart judged as it comes in."""

        def __init__(self, endpoint: str | None, timeout_s: float, judge: Callable[..., None]):
            # With an address of one's own: no proxy of the environment, no redirection elsewhere.
            own = {"proxies": {"all": ""}, "trust_env": False} if endpoint else {}
            super().__init__(impersonate="chrome", **own)
            self._endpoint, self._timeout_s, self._judge = endpoint, timeout_s, judge
            self._no_cookie_until = 0.0

        def request(self, method: Any, url: str, **options: Any) -> Any:
            address = url
            if self._endpoint:
                address = rewritten(url, self._endpoint)
                options["allow_redirects"] = False
            if _CHART in urlsplit(url).path:
                options["timeout"] = self._timeout_s
                reply = super().request(method, address, **options)
                self._judge(url, reply)
                return reply
            return self._cookie(method, address, options)

        def _cookie(self, method: Any, address: str, options: dict[str, Any]) -> Any:
            """Fetch cookie or crumb, without which charts are mostly given: never wait for long.

            The client holds a lock meanwhile; without the pause each thread would wait anew.
            """
            if time.monotonic() < self._no_cookie_until:
                raise NoConnection("cookie left out for now")
            options["timeout"] = min(self._timeout_s, _COOKIE_S)
            try:
                reply = super().request(method, address, **options)
                if reply.status_code == 429 or reply.status_code >= 500:
                    raise NoConnection(f"no cookie, status {reply.status_code}")
            except OSError:
                self._no_cookie_until = time.monotonic() + _COOKIE_PAUSE_S
                raise
            return reply

    return RewritingSession


def rewritten(url: str, endpoint: str) -> str:
    """Put an address of Yahoo under the endpoint.

    Examples
    --------
    >>> rewritten("https://fc.yahoo.com/a?b=1", "http://127.0.0.1:80/x/")
    'http://127.0.0.1:80/x/a?b=1'
    """
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint.rstrip('/')}{parts.path or '/'}{query}"


def _answer(question: Question, frame: "pd.DataFrame", chart: Mapping[str, Any]) -> Answer:
    """Turn the client's frame, and what it leaves out of the chart, into an answer."""
    import polars as pl

    meta = chart["meta"]
    zone, currency = str(meta["exchangeTimezoneName"]), meta.get("currency")
    events = _actions(chart.get("events") or {}, ZoneInfo(zone), currency, question.symbol)
    length = LENGTHS[question.timeframe]
    within = pl.col("date").is_between(question.first, question.last)
    quotes = undo_splits(_quotes(frame, chart, length), events).filter(within)
    if quotes.is_empty():
        raise _nothing(question.symbol, f"from {question.first} to {question.last}")
    columns = QUOTE_COLUMNS if length is None else ("ts", *QUOTE_COLUMNS)
    quotes = quotes.sort(columns[0]).select(columns)
    return Answer(question.symbol, quotes, events.filter(within), currency, zone)


def _quotes(
    frame: "pd.DataFrame", chart: Mapping[str, Any], length: timedelta | None
) -> "pl.DataFrame":
    """Rows of the client with Yahoo's own gaps, prices as Yahoo divides them."""
    import polars as pl

    names = {
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "adj_close": "Adj Close",
    }
    columns = {
        name: pl.Series(frame[theirs].to_numpy(dtype="float64"), dtype=pl.Float64)
        for name, theirs in names.items()
    }
    starts = [stamp.to_pydatetime() for stamp in frame.index]
    made = pl.DataFrame({"date": [start.date() for start in starts], **columns}).with_columns(
        pl.col(*names).fill_nan(None)
    )
    # The client turns an empty volume into 0.
    empty = _empty_volumes(chart, daily=length is None)
    keys = [start.date() if length is None else start for start in starts]
    traded = pl.Series([key not in empty for key in keys], dtype=pl.Boolean)
    # So does it for a row that it adds itself, for an action on a day without a quote.
    priced = pl.col("close").is_not_null() | (pl.col("volume") != 0.0)
    made = made.with_columns(pl.when(traded & priced).then(pl.col("volume")).alias("volume"))
    if length is None:
        return made
    ends = _ends(chart["meta"], starts, length)
    adjusted = pl.lit(None, dtype=pl.Float64)  # Yahoo gives none: the client repeats the close
    return made.with_columns(
        pl.Series("ts", ends, dtype=pl.Datetime("us", "UTC")), adjusted.alias("adj_close")
    )


def _empty_volumes(chart: Mapping[str, Any], *, daily: bool) -> set[Any]:
    """Sessions (or starts of bars) for which Yahoo lists no volume, and no other row does."""
    zone = ZoneInfo(chart["meta"]["exchangeTimezoneName"])
    volumes = chart["indicators"]["quote"][0]["volume"]
    last: dict[Any, Any] = {}
    for stamp, volume in zip(chart["timestamp"], volumes, strict=True):
        start = datetime.fromtimestamp(stamp, zone)
        if daily and start.hour in (22, 23) and start.minute == 0:
            start += timedelta(hours=24 - start.hour)  # midnight, where Yahoo misses a clock change
        last[start.date() if daily else start] = volume
    return {key for key, volume in last.items() if volume is None}


def _ends(meta: Mapping[str, Any], starts: list[datetime], length: timedelta) -> list[datetime]:
    """Closes of bars in UTC; the last of a session ends with the session, be it shorter."""
    closes = {}
    for periods in meta.get("tradingPeriods") or []:
        for period in periods:
            opened = datetime.fromtimestamp(period["start"], UTC)
            zone = ZoneInfo(meta["exchangeTimezoneName"])
            closes[opened.astimezone(zone).date()] = datetime.fromtimestamp(period["end"], UTC)
    ends = []
    for start in starts:
        end, close = start.astimezone(UTC) + length, closes.get(start.date())
        ends.append(close if close is not None and start < close < end else end)
    return ends


def _actions(
    events: Mapping[str, Any], zone: ZoneInfo, currency: str | None, symbol: str
) -> "pl.DataFrame":
    """Splits, and dividends as traded: Yahoo divides both prices and dividends by later splits."""
    import polars as pl

    from pipeline.feed import no_actions

    splits: list[tuple[date, float]] = [
        (_day(event, zone), float(event["numerator"]) / float(event["denominator"]))
        for event in (events.get("splits") or {}).values()
    ]
    rows: list[tuple[date, str, float]] = [(day, "split", ratio) for day, ratio in splits]
    for event in (events.get("dividends") or {}).values():
        if (event.get("currency") or currency) != currency:
            _log.warning("%s: a dividend in %s is left out", symbol, event["currency"])
            continue
        day, value = _day(event, zone), float(event["amount"])
        for later, ratio in splits:
            value *= ratio if day < later else 1.0
        rows.append((day, "dividend", value))
    return pl.concat([no_actions(), pl.DataFrame(rows, no_actions().schema, orient="row")]).sort(
        "date", "kind"
    )


def _day(event: Mapping[str, Any], zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(event["date"], zone).date()


PROVIDERS.register("yahoo")(YahooFeed())
