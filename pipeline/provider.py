"""The socket of market data: what a provider is asked, what it answers, who they are.

For: ``Provider``, ``Fetched`` and ``PROVIDERS``. Not for: judging bars (``backtest.market.bars``)
or keeping them (``store``).
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backtest.registry import Registry

if TYPE_CHECKING:
    import polars as pl

    from pipeline.config import Home, Settings
    from pipeline.feed import Feed


@dataclass(frozen=True)
class Fetched:
    """What a provider has up to a session.

    Parameters
    ----------
    raw : polars.DataFrame
        Bars as they came, neither sorted nor judged.
    source : str
        Where they came from, for people.
    synthetic : bool
        Whether the market is made up; every page that shows it says so.
    truth : polars.DataFrame, optional
        ``date, state, symbol, conditional_mean`` of a synthetic market; see :func:`keep_truth`.
    place : str, optional
        Where the source lies, to tell two of one name apart; part of no content hash.
    collected : dict, optional
        What asking a feed came to, as plain values; none for a source that hands over everything.
    """

    raw: "pl.DataFrame"
    source: str
    synthetic: bool
    truth: "pl.DataFrame | None" = None
    place: str | None = None
    collected: "dict[str, Any] | None" = None


class Provider(Protocol):
    """A source of bars that hands over its whole history each time; others are a ``Feed``."""

    def fetch(self, settings: "Settings", until: date) -> Fetched:
        """Return all bars with a session date up to and including ``until``.

        Raises
        ------
        DataError
            The source holds nothing that can be read as bars.
        ProviderUnavailable
            The source does not answer now; a later try may succeed.
        """
        ...


PROVIDERS: "Registry[Provider | Feed]" = Registry("provider", "pipeline.providers")


def keep_truth(home: "Home", fetched: Fetched, *, universe: str) -> Path | None:
    """Publish the truth of a synthetic market apart from its bars; nothing for a real one."""
    if fetched.truth is None:
        return None
    from pipeline.publish import publish_frame

    return publish_frame(home.truth / f"{universe}.parquet", fetched.truth).path
