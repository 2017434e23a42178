"""A recorded source replayed crawl by crawl: writes docs/results/vintages.md from a real run.

For: ``WEATHERVANE_MARKET_DATA=FOLDER python docs/results/vintages.py [HOME]``, twenty minutes on
two cores. A HOME keeps the store and ``replay.json``; given again, only the page is made anew. Not
for: the tables (``vintages_page``), nor the file itself, which belongs to its owners and is not in
this repository.
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import vintages_page as page  # noqa: E402

from backtest.market.calendar import last_finished_session  # noqa: E402
from pipeline.collecting import raw_bars  # noqa: E402
from pipeline.commands.quality import judge_quality  # noqa: E402
from pipeline.config import open_home  # noqa: E402
from pipeline.feed import QUOTE_COLUMNS  # noqa: E402
from pipeline.store import content_hash  # noqa: E402
from tests.pipeline.crawls import (  # noqa: E402
    CALENDAR,
    FILE,
    TOLERANCE,
    VALUES,
    ByHand,
    DatedStore,
    evening,
    pairs_of,
    read_crawls,
    replay,
    store_of,
)

IMAGE = ROOT / "docs/images/vintages.png"
SPREAD = 12


def sampled(crawls: pl.DataFrame) -> list[date]:
    """Crawl days to look back at: some spread evenly, and each large move's and the one before."""
    days = crawls["as_of"].unique().sort().to_list()
    spread = {days[i * (len(days) - 1) // (SPREAD - 1)] for i in range(SPREAD)}
    moves = set(pairs_of(crawls).filter(pl.col("moved") > page.LARGE)["as_of"])
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


def versions(store: DatedStore) -> pl.DataFrame:
    """Every version of every quote: ``symbol, date, vintage`` and the crawl that brought it."""
    query = "select symbol, date, vintage, run_id from quotes where universe = $universe"
    with store.reading() as open_store:
        held = open_store.sql(query, params={"universe": store.universe}).pl()
    day = pl.col("run_id").str.strip_prefix("crawl ").str.to_date()
    return held.select("symbol", "date", "vintage", day.alias("as_of"))


def looked_back(
    crawls: pl.DataFrame, store: DatedStore, told: list[dict[str, Any]], never: pl.DataFrame
) -> tuple[ByHand, dict[str, int]]:
    """Read the sampled days as of then, and lay them beside a loop over the crawls up to then."""
    hand, seen = ByHand(), {row["day"]: row.get("content") for row in told}
    out = {"days": 0, "rows": 0, "unequal": 0, "later": 0, "content": 0, "stale": 0, "lacking": 0}
    for (day,), crawl in crawls.group_by("as_of", maintain_order=True):
        last = last_finished_session(CALENDAR, evening(day))
        for (symbol,), rows in crawl.group_by("symbol", maintain_order=True):
            hand.see(day, last, str(symbol), rows.select(QUOTE_COLUMNS).rows())
        if not seen[str(day)]:
            continue
        then, expected = panel(store, day, as_of=day), hand.panel()
        values = then.select("symbol", "date", *VALUES)
        crawled = crawls.filter(pl.col("as_of") <= day).unique(
            page.KEY, keep="last", maintain_order=True
        )
        both = crawled.join(values, on=page.KEY, suffix="_then")
        out["days"] += 1
        out["rows"] += values.height
        out["unequal"] += values.join(expected, on=values.columns, how="anti").height
        out["unequal"] += expected.join(values, on=values.columns, how="anti").height
        out["later"] += then.filter(pl.col("date") > day).height
        out["content"] += content_hash(then) == seen[str(day)]
        out["stale"] += both.filter(page.differs("close_then", "close")).height
        out["lacking"] += crawled.join(never, on=page.KEY, how="anti").height - both.height
    return hand, out


def judged(rows: pl.DataFrame) -> tuple[dict[str, int], pl.DataFrame]:
    """What ``weathervane quality`` says of a panel: findings by rule, and every finding."""
    with tempfile.TemporaryDirectory() as made:
        source, out = Path(made) / "panel.parquet", Path(made) / "out"
        rows.write_parquet(source)
        told = judge_quality(source, out=out, calendar=CALENDAR)
        found = pl.read_parquet(out / "findings.parquet")
        return {row["rule"]: row["findings"] for row in told["rules"]}, found


def draw(crawls: pl.DataFrame, hand: ByHand) -> None:
    """Restated pairs by month, and symbols whose crawl had nothing in common with the last."""
    moved = pairs_of(crawls).filter(pl.col("moved") > TOLERANCE).select(month="as_of")
    apart = pl.DataFrame({"month": [day for _, day in hand.apart]})
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    titles = ("Restated: same session, next crawl", "Nothing in common with what was known")
    for axes, rows, title in zip(figure.subplots(1, 2), (moved, apart), titles, strict=True):
        months = rows.group_by(pl.col("month").dt.truncate("1mo")).len().sort("month")
        axes.bar(months["month"].to_list(), months["len"].to_list(), width=25, color="#0072b2")
        axes.set(title=title, ylabel="symbols x crawls a month")
        dates = AutoDateLocator(maxticks=7)
        axes.xaxis.set_major_locator(dates)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=110, metadata={"Software": None})


def main(home: Path) -> None:
    """Replay once, look back, and write the page."""
    folder = Path(os.environ["WEATHERVANE_MARKET_DATA"])
    crawls, other = read_crawls(folder), pl.read_parquet(folder / f"{page.OTHER}.parquet")
    store, kept = store_of(open_home(home)), home / "replay.json"
    if not kept.exists():
        kept.write_text(json.dumps(replayed(crawls, store)))
    told = json.loads(kept.read_text())
    now = panel(store, crawls["date"].max())
    mixed = crawls.unique(page.KEY, keep="last", maintain_order=True).drop("as_of")
    never = mixed.join(now, on=page.KEY, how="anti")
    hand, back = looked_back(crawls, store, told, never)
    (ours, found), (theirs, naive) = judged(now), judged(mixed)
    steps = page.returns(now, mixed, other, crawls, hand)
    held = versions(store)
    draw(crawls, hand)
    size, faults = store.home.database.stat().st_size / 1e6, store.findings()
    parts = {
        "What was replayed": page.replay(crawls, never, told, hand),
        "Restatements": page.restatements(crawls, held, hand),
        "Read as of then": page.past(back),
        "Moves above 20 %": page.large_moves(crawls, hand, (naive, found)),
        "Nothing in common": page.gaps(crawls, hand),
        "Beside a copy fetched years later": page.against_another(steps),
        "What the rules of quality say": page.quality(ours, theirs, found),
        "The store": f"{size:,.0f} MB for {sum(row['new'] + row['changed'] for row in told):,} "
        f"versions. Its own findings, as `weathervane doctor` lists them: {faults or 'none'}.",
    }
    span = f"{crawls['date'].min()} to {crawls['date'].max()}"
    sections = [f"## {title}\n\n{part}\n" for title, part in parts.items()]
    told_first = page.lead(crawls, held, hand, back)
    text = [page.HEAD.format(file=FILE, span=span, lead=told_first), *sections, page.FOOT]
    Path(__file__).with_suffix(".md").write_text(page.wrapped("\n".join(text)), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
