"""What a feed is to the asset graph: a provider whose history lies in the store.

For: ``fetch``, which asks for what is missing and answers with everything. Not for: asking
(``collect``) or the shapes of rows (``rows``).
"""

from datetime import date
from typing import TYPE_CHECKING

from backtest.errors import DataError
from pipeline.collecting.collect import Report, collect
from pipeline.collecting.rows import raw_bars
from pipeline.feed import Feed
from pipeline.provider import Fetched

if TYPE_CHECKING:
    import polars as pl

    from pipeline.config import Settings
    from pipeline.store import Store


def fetch(
    feed: Feed,
    settings: "Settings",
    store: "Store",
    *,
    run_id: str,
    until: date,
    report: Report | None = None,
) -> Fetched:
    """Ask a feed for what the store does not have, and hand over all that it has.

    Raises
    ------
    DataError
        ``E_DATA_EMPTY``: the source has nothing of any symbol up to ``until``.
    ConfigError, ProviderUnavailable
        As :func:`collect`.
    """
    labels = labels_of(settings)
    exchanges = dict(labels.select("symbol", "exchange").iter_rows())
    done = collect(feed, settings, store, exchanges, run_id=run_id, until=until, report=report)
    raw = raw_bars(store, labels, until=until)
    if raw.is_empty():
        raise DataError(
            f"no bars up to {until} of {len(exchanges)} symbols",
            where=f"provider {settings.data.provider}",
            fix="check the symbols, or ask for a later session",
            code="E_DATA_EMPTY",
        )
    return Fetched(
        raw=raw,
        source=settings.data.provider,
        synthetic=False,
        place=settings.feed.endpoint or settings.data.provider,
        collected=done.plain(),
    )


def labels_of(settings: "Settings") -> "pl.DataFrame":
    """Symbols to ask for, each with its exchange where that is known.

    They are the members of the table, if there is one, and else those that are named. Other
    labels depend on the date and are put on the bars where those are judged.
    """
    import polars as pl

    members = settings.data.read_members()
    if members is None:
        return pl.DataFrame(
            {"symbol": settings.data.symbols, "exchange": None},
            schema=dict.fromkeys(("symbol", "exchange"), pl.String),
        )
    latest = members.group_by("symbol", maintain_order=True).last()
    exchange = pl.col("exchange") if "exchange" in members.columns else pl.lit(None, pl.String)
    return latest.select("symbol", exchange.alias("exchange"))
