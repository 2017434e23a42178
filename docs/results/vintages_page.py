"""The tables of docs/results/vintages.md.

For: what ``vintages.py`` found, as text; each function makes one section from frames. Not for:
replaying, reading the store or writing files.
"""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import polars as pl

from backtest.market.calendar import next_session
from tests.pipeline.crawls import CALENDAR, TOLERANCE, VALUES, ByHand, pairs_of

KEY = ["symbol", "date"]
SMALL, LARGE = 0.001, 0.2
OWNERS = {TOLERANCE: "-", SMALL: 1863, LARGE: 20}
"""Restated pairs as the file's own description counts them."""
OTHER = "sp500_daily_sectors_5yr"
LEVELS = ("split_unadjusted", "spike_reverted", "jump_unconfirmed", "adjustment_unmatched")
WHY = (
    "first session of an answer with nothing in common",
    "raw closes move differently",
    "raw closes move alike; the crawls leave the session before unadjusted",
    "both adjust, by different amounts",
)
HEAD = """# A recorded source, replayed crawl by crawl

![Restated pairs and answers with nothing in common, by month](../images/vintages.png)

`{file}`: daily crawls of real US quotes,
{span}. A crawl carries two sessions of each symbol: raw closes, and adjusted
closes as of that day. Every crawl went through the program's own collection on its day, in one
transaction. Beside it stand counts by plain Polars and a loop over the rows that shares no code
with the program (`tests/pipeline/crawls.py`). "Last wins" is what one has without a memory: of
each session the row crawled last.

{lead}
"""
JUDGED = """Judged by looking at the rows, once, by hand:

- CB and JCI: the other copy has the past of the company that took the ticker over. Of the time
  itself the crawls are right. JCI 2016-10-31 is a spin-off that no crawl adjusts.
- NEE and MS: the crawls give the price of something else, for months and for days.
- CF (a split), DRI and VTR (spin-offs): the adjustment is in no crawl. VTR is wrong in the other
  copy as well, which scales the past the wrong way.
- HLT and MPC: a split between two answers that have nothing in common. The store misses it.
- Unadjusted in the crawls: dividends that the source had not worked in on the evening of their day,
  when these crawls saw that session for the last time.
- Different amounts: mostly dividends before a split or a spin-off, which the other copy does not
  scale, and special dividends, which it lacks (EQR, F).
- DGX: the restatement that is missed above."""
LEFT = """CF, MPC, MS and NEE are told above: they are in the crawls, or between two answers. Last
wins has each large split and spin-off as a step on one row. Its filler is ON 2015-04-03, a row of
the answer that was not believed."""
BACK = """The factor that goes back is that of adjusted over raw close, so a price of something else
takes nothing with it. What went back from NEE 2016-11-21 is a dividend of the next day."""
FOOT = "Written by `python docs/results/vintages.py`.\n"


def replay(
    crawls: pl.DataFrame, never: pl.DataFrame, told: list[dict[str, Any]], hand: ByHand
) -> str:
    """What went in and what became of it."""

    def summed(name: str) -> int:
        return sum(row[name] if isinstance(row[name], int) else len(row[name]) for row in told)

    asked = [row for row in told if row["asked"]]
    disputed = ", ".join(f"{symbol} {day}" for symbol, day in hand.disputed)
    apart = {(symbol, row["day"]) for row in told for symbol in row["apart"]}
    odd = apart ^ {(symbol, str(day)) for symbol, day in hand.apart}
    lacking = crawls.join(never, on=KEY, how="semi").unique(KEY, keep="last", maintain_order=True)
    absent = [
        f"{row['symbol']} {row['date']} ({_reason(row, hand)})"
        for row in lacking.sort(KEY).to_dicts()
    ]
    counts = table(
        "what | count",
        [
            ("crawls", len(told)),
            ("of those without a new session: nobody is asked", len(told) - len(asked)),
            ("symbols", crawls["symbol"].n_unique()),
            ("rows", crawls.height),
            ("sessions of symbols", crawls.unique(KEY).height),
            ("questions", summed("asked")),
            ("new quotes", summed("new")),
            ("further versions of quotes", summed("changed")),
            ("known symbols that a crawl lacks", summed("delisted")),
            ("answers without the newest session yet", summed("pending")),
            (f"answers not believed: {disputed}", summed("failed")),
            ("answers with nothing in common with what was known", summed("apart")),
            ("those that the program or the loop has alone", len(odd)),
        ],
    )
    lost = "; ".join(absent) or "none"
    return f"{counts}\n\nSessions of the file that the store does not have: {lost}."


def met(crawls: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Restated versions of sessions that the crawl itself carries."""
    key = [*KEY, "as_of"]
    return held.filter(vintage="restated").join(crawls.select(key).unique(), on=key, how="semi")


def lead(crawls: pl.DataFrame, held: pl.DataFrame, hand: ByHand, back: dict[str, int]) -> str:
    """What came of it, in short."""
    key, pairs, own = [*KEY, "as_of"], pairs_of(crawls), met(crawls, held)
    moved = pairs.filter(pl.col("moved") > TOLERANCE)
    kept = moved.join(own, on=key, how="semi").height
    apart = pl.any_horizontal(differs(name, f"{name}_before") for name in VALUES)
    made_up = own.join(pairs.filter(apart), on=key, how="anti").height
    return (
        f"Of {moved.height:,} restated pairs {kept:,} became a new vintage; {made_up} were "
        f"made up. {back['rows']:,} rows read as of {back['days']} days of the past: "
        f"{back['unequal']} unequal to the loop, {back['later']} from later. What falls short: "
        f"{len(hand.apart):,} answers had nothing in common with what was known, and what was "
        "restated between is missed."
    )


def restatements(crawls: pl.DataFrame, held: pl.DataFrame, hand: ByHand) -> str:
    """Restated pairs as the file has them and as the store found them, and all other versions."""
    key = [*KEY, "as_of"]
    pairs, restated, own = pairs_of(crawls), held.filter(vintage="restated"), met(crawls, held)
    moved = {size: pairs.filter(pl.col("moved") > size) for size in OWNERS}
    kept = {size: rows.join(own, on=key, how="semi").height for size, rows in moved.items()}
    missed = moved[TOLERANCE].join(own, on=key, how="anti")
    sizes = [(f"> {100 * s:g} %", rows.height, OWNERS[s], kept[s]) for s, rows in moved.items()]
    quiet = pairs.filter(pl.col("moved") <= TOLERANCE)
    other = {n: differs(n, f"{n}_before") for n in ("open", "high", "low", "volume")}
    prices = pl.any_horizontal(other["open"], other["high"], other["low"])
    two = [quiet.filter(e) for e in (other["volume"] & ~prices, prices)]
    ours = [rows.join(own, on=key, how="semi").height for rows in two]
    same = sum(ours) + kept[TOLERANCE]
    back, carried = sum(rows for *_, rows in hand.carried), restated.height - own.height
    why = [
        (row["symbol"], row["date"], row["as_of"], row["moved"], _reason(row, hand))
        for row in missed.iter_rows(named=True)
    ]
    head = "missed: symbol | session | crawl | moved by | why"
    return "\n\n".join(
        [
            f"A pair is one session of one symbol in two crawls that follow each other: "
            f"{pairs.height:,} pairs.",
            table(
                "adjusted close moved by | counted here | counted by the owners | new vintages",
                sizes,
            ),
            table(head, why) if why else "None is missed.",
            "All other versions, in the same way:",
            table(
                "version | counted from the file | stored",
                [
                    ("volume only", two[0].height, ours[0]),
                    ("open, high or low", two[1].height, ours[1]),
                    ("earlier sessions, carried back (by the loop)", back, carried),
                    ("of any pair that did not move, or of no pair", 0, own.height - same),
                ],
            ),
            f"{quiet.filter(pl.col('factor') != 1.0).height:,} pairs moved by less than the "
            f"tolerance of {TOLERANCE}: rounding, no restatement.",
        ]
    )


def _reason(row: dict[str, Any], hand: ByHand) -> str:
    """Why no vintage was stored of a pair."""
    at = row["symbol"], row["as_of"]
    if at in hand.disputed:
        return "the crawl has a session twice, and the two differ: the answer is not believed"
    return "known up to that session: not asked" if at in hand.passed_over else "not explained"


def differs(one: str, other: str) -> pl.Expr:
    """Whether a value is off another by more than the tolerance."""
    return (pl.col(one) - pl.col(other)).abs() > TOLERANCE * pl.col(other).abs()


def past(back: dict[str, int]) -> str:
    """What the sampled days read as of then."""
    names = {
        "days": "days read as of then",
        "rows": "rows read",
        "unequal": "rows unequal to the loop by hand, any value",
        "later": "rows later than the day",
        "stale": "rows whose raw close is not the last one crawled",
        "lacking": "crawled rows that are absent, but for those named above",
        "content": "days whose content hash is the one taken right after their crawl",
    }
    return table("what | count", [(told, back[name]) for name, told in names.items()])


def large_moves(crawls: pl.DataFrame, hand: ByHand, found: Sequence[pl.DataFrame]) -> str:
    """Each large move: what it was, how many sessions it went back, and which rules name it."""
    carried = {(symbol, crawl): (factor, rows) for symbol, crawl, factor, rows in hand.carried}
    lines = []
    for row in pairs_of(crawls).filter(pl.col("moved") > LARGE).iter_rows(named=True):
        symbol, day = row["symbol"], row["date"]
        factor, back = carried.get((symbol, row["as_of"]), ("-", 0))
        rules = [_rules(one, symbol, day) for one in found]
        lines.append((symbol, day, row["factor"], _kind(row), factor, back, *rules))
    head = "symbol | session | new over old | kind | factor carried back | sessions | "
    return BACK + "\n\n" + table(head + "rules on last wins | rules on the store", lines)


def _kind(row: dict[str, Any]) -> str:
    """Split, spin-off, or a price of something else."""
    if abs(row["close"] / row["close_before"] - 1.0) > LARGE:
        return "price of something else"
    shares = round(1.0 / row["factor"])
    return f"{shares} for 1" if abs(shares * row["factor"] - 1.0) < SMALL else "spin-off"


def _rules(found: pl.DataFrame, symbol: str, day: date) -> str:
    """Rules that name the session or the one after."""
    near = pl.col("date").is_between(day, next_session(CALENDAR, day))
    level = pl.col("rule").is_in(LEVELS)
    rules = found.filter((pl.col("symbol") == symbol) & near & level)["rule"]
    return ", ".join(f"`{rule}`" for rule in rules.unique().sort()) or "-"


def gaps(crawls: pl.DataFrame, hand: ByHand) -> str:
    """Answers with nothing in common with what was known, and what they still give away."""
    apart = pl.DataFrame(hand.apart, schema=["symbol", "as_of"], orient="row")
    first = crawls.join(apart, on=["symbol", "as_of"]).unique(
        ["symbol", "as_of"], keep="first", maintain_order=True
    )
    days = apart["as_of"].value_counts()
    most = days.filter(pl.col("count") > crawls["symbol"].n_unique() / 2).height
    adjusted = first.filter(differs("adj_close", "close")).height
    return (
        f"{len(hand.apart):,} answers on {days.height} days; on {most} of these days it is more "
        "than half of the symbols, because the crawl before is missing or stale. This source "
        "gives two sessions, so one lost crawl is enough. What was restated in between is not "
        "seen: earlier adjusted closes stay as they were. The check `symbols_were_answered` "
        f"warns. {adjusted} of these answers come with an adjusted first session: something was "
        "restated for certain, and the store does not carry it back. A source that can be asked "
        "for the last `feed.overlap` known sessions again, as `yahoo` and `alpaca` can, loses "
        "nothing this way."
    )


def returns(
    now: pl.DataFrame,
    mixed: pl.DataFrame,
    other: pl.DataFrame,
    crawls: pl.DataFrame,
    hand: ByHand,
) -> pl.DataFrame:
    """Daily returns of both panels beside those of a copy fetched years later, and a first reason.

    The reason is read off the rows; the first that fits counts.
    """
    other = other.unique(KEY, keep="none")
    joined = now.select(*KEY, raw="close").join(mixed.select(*KEY, shown="adj_close"), on=KEY)
    joined = joined.join(other.select(*KEY, theirs="close"), on=KEY)
    frames = {"other": other, "store": now, "mixed": mixed}
    for name, rows in frames.items():
        joined = joined.join(rows.select(*KEY, pl.col("adj_close").alias(name)), on=KEY)
    ratio = (pl.col("shown") / pl.col("raw")).shift(1).over("symbol").alias("adjusted")
    step = [
        (pl.col(n) / pl.col(n).shift(1).over("symbol")).alias(n) for n in (*frames, "raw", "theirs")
    ]
    apart = pl.DataFrame(hand.apart, schema=["symbol", "as_of"], orient="row")
    first = crawls.join(apart, on=["symbol", "as_of"]).group_by("symbol", "as_of")
    met = first.agg(pl.col("date").min()).select(*KEY, apart=pl.lit(True))
    steps = joined.sort(KEY).with_columns(ratio, *step).drop_nulls("other")
    reason = (
        pl.when(pl.col("apart"))
        .then(pl.lit(WHY[0]))
        .when((pl.col("raw") / pl.col("theirs") - 1.0).abs() > SMALL)
        .then(pl.lit(WHY[1]))
        .when((pl.col("adjusted") - 1.0).abs() <= TOLERANCE)
        .then(pl.lit(WHY[2]))
        .otherwise(pl.lit(WHY[3]))
    )
    return steps.join(met, on=KEY, how="left", maintain_order="left").with_columns(why=reason)


def against_another(steps: pl.DataFrame) -> str:
    """Returns that are off those of the other copy, by size and by reason."""
    off = {n: (pl.col(n) / pl.col("other") - 1.0).abs() for n in ("mixed", "store")}
    sizes = (SMALL, 0.01, 0.1)

    def count(where: pl.Expr | bool) -> list[int]:
        rows = steps.filter(where)
        return [rows.filter(off[n] > size).height for size in sizes for n in off]

    worse = steps.filter((off["store"] > SMALL) & (off["mixed"] <= SMALL))
    names = " | ".join(f"> {100 * size:g} %, {n}" for size in sizes for n in ("last wins", "store"))
    three = ["other", "mixed", "store"]
    large = steps.filter(off["store"] > 0.1).select(*KEY, *(pl.col(n) - 1.0 for n in three), "why")
    many = steps.filter(off["store"] > SMALL)["symbol"].value_counts(sort=True).head(3)
    return "\n\n".join(
        [
            f"`{OTHER}` was fetched years later. Daily adjusted returns, {steps.height:,} of "
            f"{steps['symbol'].n_unique()} symbols in both:",
            table(
                f"returns off by | {names}",
                [("all", *count(True)), *((why, *count(pl.col("why") == why)) for why in WHY)],
            ),
            "The first reason that fits counts. Most of the store's come from "
            + ", ".join(f"{symbol} ({n})" for symbol, n in many.iter_rows())
            + ". The store is off and last wins is not: "
            + (", ".join(f"{r['symbol']} {r['date']}" for r in worse.to_dicts()) or "nowhere")
            + ". The store's that are off by more than a tenth:",
            table("symbol | session | other copy | last wins | store | reason", large.rows()),
            JUDGED,
        ]
    )


def quality(ours: dict[str, int], theirs: dict[str, int], found: pl.DataFrame) -> str:
    """Findings by rule on both panels, and each finding about a level in the store's."""
    rules = sorted(ours | theirs)
    level = found.filter(pl.col("rule").is_in(LEVELS)).sort("symbol", "date", "rule")
    return "\n\n".join(
        [
            table(
                "rule | last wins | store",
                [(f"`{rule}`", theirs.get(rule, 0), ours.get(rule, 0)) for rule in rules],
            ),
            "What the rules about a price level still say of the store's panel:",
            table(
                "symbol | session | rule | detail",
                [
                    (row["symbol"], row["date"], f"`{row['rule']}`", row["detail"])
                    for row in level.iter_rows(named=True)
                ],
            ),
            LEFT,
        ]
    )


def wrapped(text: str) -> str:
    """Lines of the page, none too long but those of tables."""
    lines = [
        textwrap.wrap(line, 100, break_long_words=False, break_on_hyphens=False)
        if len(line) > 100 and line[0] != "|"
        else [line]
        for line in text.split("\n")
    ]
    return "\n".join(one for some in lines for one in some)


def table(head: str, rows: Iterable[Sequence[Any]]) -> str:
    """Lines of a table; numbers stand to the right."""
    rows = list(rows)
    names = head.split(" | ")
    lines = ["---:" if isinstance(value, int | float) else "---" for value in rows[0]]
    told = [[_cell(value) for value in row] for row in rows]
    rule = "|" + "|".join(lines) + "|"
    text = ["| " + " | ".join(row) + " |" for row in (names, *told)]
    return "\n".join([text[0], rule, *text[1:]])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
