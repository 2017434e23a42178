"""Yahoo's daily and finer bars through yfinance, one symbol a question.

For: the feed ``yahoo``: what goes over the wire, what each reply means, and turning it into prices
as traded. Not for: pace, retries, what changed since (``pipeline.collecting``), and not for
judging the bars.
"""

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backtest.errors import ConfigError, ProviderUnavailable, WeathervaneError
from backtest.registry import closest
from pipeline.feed import (
    Answer,
    Limits,
    Line,
    Question,
    RateLimited,
    SymbolUnknown,
    retry_after_s,
)
from pipeline.provider import PROVIDERS
from pipeline.providers.yahoo.reading import LENGTHS, nothing, read
from pipeline.providers.yahoo.wire import CHART, own_client, session_kind

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config import Settings

LIMITS = Limits(rate_per_s=2.0, burst=8, concurrent=4)
"""Yahoo publishes no limit and blocks an address for hours; this stays below what is reported to be
blocked, and a day of 100 symbols still takes less than a minute."""

HOST = "https://query2.finance.yahoo.com"
_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=&-]{0,31}")
_MARGIN = timedelta(days=1)
_SHORT_OF_IT = {400, 404, 422}


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
        self._session = session_kind()(endpoint, timeout_s, self._judge)
        self._client = own_client(self._session)

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
            return read(question, frame, self._seen.chart)
        except WeathervaneError:
            raise
        except Exception as error:
            # Whatever client or reading trips over (no reply, half a chart) is one thing here: no
            # answer that can be read. The name of the error says which.
            said = str(error).partition(" See https://")[0]  # curl's, where to read of its codes
            raise self._unread(f"{type(error).__name__}: {said}", question.symbol) from error

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
        symbol = urlsplit(url).path.removeprefix(CHART)
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
            raise nothing(symbol)
        self._seen.chart = chart["result"][0]

    def _unread(self, what: str, symbol: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"no readable answer ({what})", where=f"{symbol} at {self.place}", fix="try again later"
        )


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


PROVIDERS.register("yahoo")(YahooFeed())
