"""The socket of remote sources: one question about one symbol, one answer, typed errors.

For: ``Feed``, what it is asked and what it answers; a new source is one file in
``pipeline.providers`` that implements ``ask`` and registers itself. Not for: concurrency, retries,
limits, what is known already or what changed since (``pipeline.collecting`` does that for every
feed alike), and not for sources that hand over everything at once (``provider.Provider``).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from backtest.errors import DataError, ProviderUnavailable

if TYPE_CHECKING:
    import polars as pl

    from pipeline.config import Settings

DAILY = "1d"

QUOTE_COLUMNS = ("date", "open", "high", "low", "close", "volume", "adj_close")
"""Of ``Answer.quotes``, in this order; finer timeframes have ``ts`` before them."""

ACTIONS = ("dividend", "split")
"""Kinds of corporate action."""


@dataclass(frozen=True)
class Limits:
    """What a source allows.

    Parameters
    ----------
    rate_per_s : float
        Questions per second in the long run.
    burst : int
        Questions that may go out at once after a pause.
    concurrent : int
        Questions under way at the same time.
    """

    rate_per_s: float
    burst: int
    concurrent: int


@dataclass(frozen=True)
class Question:
    """What is wanted of one symbol.

    Parameters
    ----------
    symbol : str
        As the source spells it.
    first, last : date
        Sessions, both included.
    timeframe : str
        ``1d``, or a finer one that the source has.
    """

    symbol: str
    first: date
    last: date
    timeframe: str = DAILY


@dataclass(frozen=True)
class Answer:
    """What a source has of one symbol.

    Parameters
    ----------
    symbol : str
    quotes : polars.DataFrame
        ``QUOTE_COLUMNS`` sorted by session, one row for each that the source lists: ``date`` Date,
        the others Float64. Prices and volume are as traded on the day (a split since then is
        undone); ``adj_close`` is adjusted for every split and dividend up to now. What the source
        leaves empty (null, NaN) is null and the row stays. Finer timeframes have ``ts`` first,
        ``Datetime("us", "UTC")``, the close of the bar.
    actions : polars.DataFrame
        ``date, kind, value``: the ex-date; ``dividend`` per share as traded on the day, or
        ``split`` as new shares per old one.
    currency : str, optional
        As the source spells it; pence stay pence (``GBp``).
    zone : str, optional
        Time zone of the exchange.
    """

    symbol: str
    quotes: "pl.DataFrame"
    actions: "pl.DataFrame"
    currency: str | None = None
    zone: str | None = None


@runtime_checkable
class Feed(Protocol):
    """A remote source that is asked symbol by symbol, from several threads at once."""

    limits: Limits

    def open(self, settings: "Settings") -> "Line":
        """Prepare to ask: keys, address, caches; no question goes out yet.

        Raises
        ------
        ConfigError
            A key or an address is missing.
        """
        ...


class Line(Protocol):
    """An open feed."""

    place: str
    """Where it asks, for people and to tell two sources apart."""

    def ask(self, question: Question) -> Answer:
        """Ask once; never retry, wait or cache: whoever collects does that.

        Raises
        ------
        SymbolUnknown
            The source says that it has no such symbol, or nothing of it in the span.
        RateLimited
            The source asks for patience.
        ProviderUnavailable
            No answer, or one that cannot be read; a later try may succeed.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class SymbolUnknown(DataError):
    """A source has nothing of a symbol (delisted, misspelt, not listed yet). The user must act."""

    code = "E_SYMBOL"


class RateLimited(ProviderUnavailable):
    """A source asks for patience; ``after_s`` says how long, where it does."""

    code = "E_RATE"

    def __init__(self, what: str, *, where: str = "", fix: str = "", after_s: float | None = None):
        super().__init__(what, where=where, fix=fix or "wait, or lower the rate of questions")
        self.after_s = after_s


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for; nothing if it is neither a number nor a moment.

    Parameters
    ----------
    header : str, optional
        Seconds, or a moment as HTTP writes it; one that is past asks for no wait.
    now : datetime
        With a time zone.

    Examples
    --------
    >>> retry_after_s("30", datetime(2024, 1, 1, tzinfo=UTC))
    30.0
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def no_actions() -> "pl.DataFrame":
    """Actions of a symbol that had none."""
    import polars as pl

    return pl.DataFrame(schema={"date": pl.Date, "kind": pl.String, "value": pl.Float64})


def undo_splits(quotes: "pl.DataFrame", actions: "pl.DataFrame") -> "pl.DataFrame":
    """Turn prices that a source has divided by later splits into those traded on the day.

    Parameters
    ----------
    quotes : polars.DataFrame
        ``date, open, high, low, close, volume``, prices split-adjusted; other columns stay.
    actions : polars.DataFrame
        As in ``Answer``; must hold every split since the first quote.

    Returns
    -------
    polars.DataFrame
        Prices times, and volume over, the product of all splits with a later ex-date.

    Examples
    --------
    A close of 50 the day before a split of 2 for 1 was traded at 100.
    """
    import polars as pl

    if actions.is_empty():
        return quotes
    prices = ("open", "high", "low", "close")
    splits = actions.filter(pl.col("kind") == "split").select("date", "value").rows()
    factor = pl.lit(1.0)
    for day, ratio in splits:
        factor = factor * pl.when(pl.col("date") < day).then(ratio).otherwise(1.0)
    return quotes.with_columns(
        *((pl.col(name) * factor).alias(name) for name in prices),
        (pl.col("volume") / factor).alias("volume"),
    )
