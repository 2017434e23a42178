"""US shares from Alpaca's market data API, as its free plan sees them: the venue IEX.

For: bars, dividends and splits of one symbol. Not for: retries, limits or what is known already
(``pipeline.collecting``), and not for orders or any other part of Alpaca.
"""

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from backtest.errors import ConfigError, ProviderUnavailable
from pipeline.feed import (
    DAILY,
    QUOTE_COLUMNS,
    Answer,
    Limits,
    Question,
    RateLimited,
    SymbolUnknown,
    no_actions,
    retry_after_s,
)
from pipeline.provider import PROVIDERS

if TYPE_CHECKING:
    import polars as pl

    from pipeline.config import Settings

ADDRESS = "https://data.alpaca.markets"
ZONE = "America/New_York"
KEYS = {"APCA-API-KEY-ID": "APCA_API_KEY_ID", "APCA-API-SECRET-KEY": "APCA_API_SECRET_KEY"}
"""Header by environment variable."""

TIMEFRAMES = {
    DAILY: ("1Day", timedelta(0)),
    "1m": ("1Min", timedelta(minutes=1)),
    "5m": ("5Min", timedelta(minutes=5)),
    "15m": ("15Min", timedelta(minutes=15)),
    "30m": ("30Min", timedelta(minutes=30)),
    "1h": ("1Hour", timedelta(hours=1)),
}
"""Alpaca's name, and the length of a bar."""

BARS_A_PAGE, ACTIONS_A_PAGE = 10_000, 1_000
MOST_PAGES = 1_000
CALLS_A_QUESTION, CALLS_A_MINUTE = 3, 200
"""Traded bars, adjusted bars, actions; what the free plan allows."""

PROCESSING = timedelta(days=180)
"""Actions are searched by the day they were processed, months around the ex-date at most."""

_SPELLING = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,23}")
_WRONG = (KeyError, TypeError, ValueError, OverflowError)
_FIELDS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


class AlpacaFeed:
    """Alpaca's historical bars and corporate actions."""

    # 60 questions and a burst of 5 are 195 calls in the worst minute.
    limits = Limits(rate_per_s=1.0, burst=5, concurrent=4)
    needs = "two keys, APCA_API_*"

    def open(self, settings: "Settings") -> "AlpacaLine":
        """Take the keys from the environment; no question goes out yet."""
        keys = {header: _key(variable) for header, variable in KEYS.items()}
        return AlpacaLine(settings.feed.endpoint or ADDRESS, keys, settings.feed.timeout_s)


class AlpacaLine:
    """An open feed, safe to use from several threads; ``timeout_s`` bounds each call."""

    def __init__(self, address: str, keys: Mapping[str, str], timeout_s: float):
        import urllib3

        parts = urlsplit(address)
        self.place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self._keys = dict(keys)
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(maxsize=AlpacaFeed.limits.concurrent)

    def ask(self, question: Question) -> Answer:
        """Ask for traded bars, adjusted bars and actions; see ``pipeline.feed.Line``."""
        symbol = question.symbol
        if not _SPELLING.fullmatch(symbol):
            raise _unknown(symbol, "not how Alpaca spells a symbol")
        if question.timeframe not in TIMEFRAMES:
            raise ConfigError(
                f"Alpaca has no timeframe {question.timeframe!r}",
                fix="one of " + ", ".join(TIMEFRAMES),
            )
        traded = self._bars(question, "raw")
        if not traded:
            raise _unknown(symbol, f"no bar from {question.first} to {question.last}")
        adjusted = self._bars(question, "all")
        if traded.keys() != adjusted.keys():
            raise self._unreadable(
                f"{len(traded)} traded and {len(adjusted)} adjusted bars do not match", symbol
            )
        closes = {stamp: bar["close"] for stamp, bar in adjusted.items()}
        quotes = _frame(traded, closes, question)
        return Answer(symbol, quotes, self._actions(question), currency="USD", zone=ZONE)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()

    def _bars(self, question: Question, adjustment: str) -> dict[datetime, dict[str, float | None]]:
        """Bars by their start, within the sessions that were asked for."""
        name, _ = TIMEFRAMES[question.timeframe]
        params = {
            "timeframe": name,
            "start": _midnight(question.first).isoformat(),
            "end": (
                _midnight(question.last + timedelta(days=1)) - timedelta(seconds=1)
            ).isoformat(),
            "adjustment": adjustment,
            "feed": "iex",
            "limit": str(BARS_A_PAGE),
            "sort": "asc",
        }
        path = f"/v2/stocks/{quote(question.symbol, safe='')}/bars"
        found: dict[datetime, dict[str, float | None]] = {}
        for page in self._pages(path, params, question.symbol):
            if page.get("symbol", question.symbol) != question.symbol:
                raise self._unreadable("bars of another symbol", question.symbol)
            for bar in self._list(page.get("bars"), question.symbol):
                try:
                    start = _instant(bar["t"])
                    values = {column: _number(bar[key]) for column, key in _FIELDS.items()}
                except _WRONG as error:
                    fault = f"a bar that is none ({type(error).__name__})"
                    raise self._unreadable(fault, question.symbol) from None
                if start in found:
                    raise self._unreadable(f"the bar of {start} twice", question.symbol)
                if question.first <= _session(start) <= question.last:
                    found[start] = values
        return found

    def _actions(self, question: Question) -> "pl.DataFrame":
        """Dividends and splits with an ex-date in the span; several of one day as one."""
        import polars as pl

        params = {
            "symbols": question.symbol,
            "types": "cash_dividend,forward_split,reverse_split",
            "start": (question.first - PROCESSING).isoformat(),
            "end": (question.last + PROCESSING).isoformat(),
            "limit": str(ACTIONS_A_PAGE),
            "sort": "asc",
        }
        found: dict[tuple[date, str], float] = {}
        for page in self._pages("/v1/corporate-actions", params, question.symbol):
            kinds = page.get("corporate_actions")  # an empty object where there were none
            if not isinstance(kinds, dict):
                raise self._unreadable("no corporate actions in the answer", question.symbol)
            for name in ("cash_dividends", "forward_splits", "reverse_splits"):
                for row in self._list(kinds.get(name), question.symbol):
                    try:
                        _add(found, name, row, question)
                    except _WRONG as error:
                        fault = f"one of the {name} that is none ({type(error).__name__})"
                        raise self._unreadable(fault, question.symbol) from None
        rows = [(day, kind, value) for (day, kind), value in sorted(found.items())]
        return pl.DataFrame(rows, schema=no_actions().schema, orient="row")

    def _pages(self, path: str, params: Mapping[str, str], symbol: str) -> Iterator[dict[str, Any]]:
        """Follow ``next_page_token`` to the end."""
        seen: set[str] = set()
        asked = dict(params)
        for _ in range(MOST_PAGES):
            page = self._get(f"{path}?{urlencode(asked)}", symbol)
            yield page
            token = page.get("next_page_token")
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise self._unreadable("pages that lead in a circle", symbol)
            seen.add(token)
            asked["page_token"] = token
        raise self._unreadable(f"more than {MOST_PAGES} pages", symbol)

    def _get(self, target: str, symbol: str) -> dict[str, Any]:
        """One call: an object of JSON, or one typed error."""
        status, headers, body = self._call(target, symbol)
        if status != 200:
            raise self._refusal(status, headers, body, symbol)
        try:
            page = json.loads(body)
        except (ValueError, RecursionError):
            raise self._unreadable("not JSON, or cut off", symbol) from None
        if not isinstance(page, dict):
            raise self._unreadable("JSON, but no object", symbol)
        return page

    def _call(self, target: str, symbol: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body; a trickle of bytes ends at the timeout like silence does."""
        import urllib3

        deadline = time.monotonic() + self._timeout_s
        try:
            # A redirect would carry the keys to another host.
            response = self._pool.request(
                "GET",
                self.place + target,
                headers={**self._keys, "Accept": "application/json"},
                timeout=urllib3.Timeout(total=self._timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            pieces = []
            with response:
                while piece := response.read1(1 << 16):
                    pieces.append(piece)
                    if time.monotonic() > deadline:
                        raise TimeoutError
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ProviderUnavailable(
                f"Alpaca gave no answer ({type(error).__name__})",
                where=f"{symbol} at {self.place}",
                fix="try again later",
            ) from None
        return response.status, response.headers, b"".join(pieces)

    def _refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, symbol: str
    ) -> Exception:
        """What a status other than 200 means to whoever asked."""
        said = self._said(body)
        where = f"{symbol} at {self.place}"
        if status == 429:
            wait = patience(headers, time.time())
            return RateLimited("Alpaca asks for patience", where=where, after_s=wait)
        if status in (401, 403):
            return ConfigError(
                f"Alpaca refuses the keys or what they may ask (HTTP {status}{said})",
                where=where,
                fix="check " + " and ".join(KEYS.values()) + ", and the plan of the account",
                code="E_KEYS",
            )
        if status in (404, 422) or (status == 400 and "symbol" in said.lower()):
            return _unknown(symbol, f"HTTP {status}{said}")
        return ProviderUnavailable(
            f"Alpaca answers HTTP {status}{said}", where=where, fix="try again later"
        )

    def _said(self, body: bytes) -> str:
        """The server's own words, short and without a key that it may have echoed."""
        try:
            message = json.loads(body)["message"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return ""
        text = str(message)
        for key in self._keys.values():
            text = text.replace(key, "***")
        return f": {text[:160]}"

    def _list(self, rows: Any, symbol: str) -> list[Any]:
        """Rows of an answer; Alpaca writes null for none."""
        if rows is None:
            return []
        if not isinstance(rows, list):
            raise self._unreadable("no list where rows are due", symbol)
        return rows

    def _unreadable(self, fault: str, symbol: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"Alpaca's answer cannot be read: {fault}",
            where=f"{symbol} at {self.place}",
            fix="try again later",
        )


def patience(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait after ``now`` (since 1970): ``Retry-After``, or ``X-RateLimit-Reset``."""
    after, reset = headers.get("Retry-After"), headers.get("X-RateLimit-Reset")
    if after:
        return retry_after_s(after, datetime.fromtimestamp(now, UTC))
    try:
        seconds = float(reset or "nan") - now
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _key(variable: str) -> str:
    """A key from the environment; one that no header can carry is refused unseen."""
    value = os.environ.get(variable, "").strip()
    if re.fullmatch(r"[!-~]+", value):
        return value
    fault = "holds characters that no key has" if value else "is not set"
    raise ConfigError(
        f"{variable} {fault}",
        where="the environment",
        fix="export both keys of your Alpaca account: " + ", ".join(KEYS.values()),
        code="E_KEYS",
    )


def _unknown(symbol: str, why: str) -> SymbolUnknown:
    return SymbolUnknown(
        f"Alpaca has nothing of {symbol!r}: {why}",
        fix="check the spelling and the span, or leave it out",
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE))


def _session(start: datetime) -> date:
    return start.astimezone(ZoneInfo(ZONE)).date()


def _instant(text: Any) -> datetime:
    """A stamp of the API; one without a zone is refused."""
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError
    return stamp.astimezone(UTC)


def _number(value: Any) -> float | None:
    """A finite number; null and NaN are what the source leaves empty."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    number = float(value)
    if math.isinf(number):
        raise ValueError
    return None if math.isnan(number) else number


def _positive(value: Any) -> float:
    number = _number(value)
    if number is None or number <= 0.0:
        raise ValueError
    return number


def _add(
    found: dict[tuple[date, str], float], name: str, row: Mapping[str, Any], question: Question
) -> None:
    """Add one action: dividends of one ex-date add up, splits multiply."""
    if row["symbol"] != question.symbol:
        return
    day = date.fromisoformat(row["ex_date"])
    if not question.first <= day <= question.last:
        return
    if name == "cash_dividends":
        at = (day, "dividend")
        found[at] = found.get(at, 0.0) + _positive(row["rate"])
    else:
        at = (day, "split")
        ratio = _positive(row["new_rate"]) / _positive(row["old_rate"])
        found[at] = found.get(at, 1.0) * ratio


def _frame(
    traded: Mapping[datetime, Mapping[str, float | None]],
    closes: Mapping[datetime, float | None],
    question: Question,
) -> "pl.DataFrame":
    """Bars as ``Answer.quotes``; the close of a finer bar is its start and its length."""
    import polars as pl

    _, length = TIMEFRAMES[question.timeframe]
    rows = [
        {
            "ts": start + length,
            "date": _session(start),
            **traded[start],
            "adj_close": closes[start],
        }
        for start in sorted(traded)
    ]
    schema: dict[str, Any] = {"ts": pl.Datetime("us", "UTC"), "date": pl.Date}
    schema |= dict.fromkeys(QUOTE_COLUMNS[1:], pl.Float64)
    quotes = pl.DataFrame(rows, schema=schema)
    return quotes.drop("ts") if question.timeframe == DAILY else quotes


PROVIDERS.register("alpaca")(AlpacaFeed())
