"""A recorded source replayed crawl by crawl: writes docs/results/vintages.md from a real run.

For: ``WEATHERVANE_MARKET_DATA=FOLDER python docs/results/vintages.py [HOME]``, half an hour on two
cores. A HOME keeps the store and ``replay.json``; given again, only the page is made anew. Not
for: the file itself, which belongs to its owners and is not in this repository.
"""

import importlib
import json
import os
import sys
import tempfile
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from pipeline.collecting import raw_bars  # noqa: E402
from pipeline.config import open_home  # noqa: E402
from pipeline.store import content_hash  # noqa: E402
from tests.pipeline.crawls import (  # noqa: E402
    CALENDAR,
    DatedStore,
    pairs_of,
    read_crawls,
    replay,
    store_of,
)

SPREAD = 12
LARGE = 0.2


def sampled(crawls: pl.DataFrame) -> list[date]:
    """Crawl days to look back at: some spread evenly, and each large move's and the one before."""
    days = crawls["as_of"].unique().sort().to_list()
    spread = {days[i * (len(days) - 1) // (SPREAD - 1)] for i in range(SPREAD)}
    moves = set(pairs_of(crawls).filter(pl.col("moved") > LARGE)["as_of"])
    around = {day for two in pairwise(days) if two[1] in moves for day in two}
    return sorted(spread | around)


def panel(store: DatedStore, until: date, as_of: date | None = None) -> pl.DataFrame:
    """All that a run of that session would judge."""
    symbols = store.read_quotes(until=until)["symbol"].unique().sort()
    labels = pl.DataFrame({"symbol": symbols, "exchange": CALENDAR})
    return raw_bars(store, labels, until=until, as_of=as_of)


def replayed(crawls: pl.DataFrame, store: DatedStore) -> list[dict[str, Any]]:
    """What each pass did, with the content of the panel right after it on the sampled days."""
    # One transaction a crawl instead of eleven: nothing is killed here half way.
    importlib.import_module("pipeline.collecting.collect").AT_ONCE = 1000
    wanted, told = set(sampled(crawls)), []
    for one in replay(crawls, store):
        row = {"day": str(one.day), "seconds": one.seconds, **one.done.plain()}
        if one.day in wanted:
            row["content"] = content_hash(panel(store, one.day))
        told.append(row)
    return told


def main(folder: Path) -> None:
    """Replay once, look back, and write the page."""
    crawls = read_crawls(Path(os.environ["WEATHERVANE_MARKET_DATA"]))
    store, kept = store_of(open_home(folder)), folder / "replay.json"
    if not kept.exists():
        kept.write_text(json.dumps(replayed(crawls, store)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
