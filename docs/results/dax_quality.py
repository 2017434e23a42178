"""Make the page of real panels' quality beside this file.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/dax_quality.py`, half a minute on two
cores. Not for: the panels themselves, which belong to their owners and are not in this repository.
"""

import os
from pathlib import Path

import polars as pl

from backtest.market.bars import Prepared, prepare, read_bars

ALSO = (
    *("jump_unconfirmed", "spike_reverted", "split_unadjusted", "adjustment_unmatched"),
    *("session_repeated", "price_not_positive", "duplicate_conflicting"),
)
HEAD = """# Quality of real panels, finding by finding

Made by `python docs/results/dax_quality.py` with the thresholds of the profile. The judgements
were made by looking at the rows, once, by hand.
"""
JUDGED = """## Judgement: the DAX panel

Its README names 264 all-null rows, 41 fillers per symbol, 3 missing sessions per symbol, 254 rows
with the close outside low to high, bad ticks of FME, SIE and FRE in 2001, and fillers of HEN3 at
a third of the price. All are found.

- The 41 off-calendar rows of a symbol with the whole history are fillers or all-null; both are
  out.
- FRE 2001-03-14 is a spike (1.5 times); FRE 2001-03-05 and 06 are sound. The second defect of FRE
  is 2001-06-11, where the level halves for good: read "2001-03/06" as months.
- Of SIE, 2001-03-14 is the bad print (0.65 times); 03-15 is sound and only looks like +55 % after
  it.
- HEN3 has 18 fillers at a third, not 11: 16 on closed days, and 2006-06-15 and 16, sessions on
  which most symbols have none.
- 10 rows are quarantined for the close (BMW 1, FME 4, FRE 2, HEN3 2, SIE 1): each lies 5 % to 17
  % outside the range of its own day. They are among the 254.

Beyond the README, nothing is quarantined. Flagged, and each a defect:

- DB1 2007-06-11 and SIE 2001-04-30 halve (and lose a third) overnight at a usual volume and stay
  there, in `close` and `adj_close` alike.
- FRE, six dividends 2001 to 2006: the factor steps by 10 % to 29 %, the price does not: dividends
  not scaled by later splits. TKA 2009-01-26: twice the step of one dividend.
- BAYN 2009-07-23 to 09-18: 36.86, flat, without volume, but for one day, then 47.52.
- BMW, FME and FRE 2001-12-03 are copies of 11-30.
- 519 rows without volume on sessions: on 31 dates in 2000-2006 twelve or more symbols have one at
  once.

## Judgement: the others

- 12 US names: AAPL 2009-09-21, 2010-08-31 and 2011-01-03 have a low near a tenth of the price.
  The hole of QQQ is reported as missing sessions, and no split is seen across it. Without
  `adj_close` every split is found but one: the reverse split of USO on 2020-04-29 came with a 6 %
  move overnight; it is held back as a jump and not named a split. No finding is anything but a
  split.
- 369 US names: COL has three days of another instrument after its delisting (spikes). CA
  2018-09-24 is called a split and is none: four days of another instrument at 0.0002 times the
  usual volume. The defect is real, the name is wrong.
- VIX: nothing but opens outside the range, a holiday row and 4 missing sessions. Of its rows
  without a volume on XNYS holidays all but one have a range, so they stay.
- Crawls of 2015-2017, the last vintage of each key: mixing vintages leaves adjusted closes that
  step on one row (19 findings), which is what it is. NEE is another instrument for months in
  2016: called "5 for 1", which is none. MS 2017-02-14 and 15 is another one, too.
"""


def figures(title: str, prepared: Prepared) -> str:
    """Counts by rule and, of the rules that speak about single rows, every finding."""
    found = prepared.findings
    counted = found.group_by("rule", "severity").len().sort("rule", "severity")
    lines = [
        f"## {title}",
        "",
        f"{prepared.rows_in:,} rows in = {prepared.bars.height:,} bars + "
        f"{prepared.quarantined.height:,} quarantined.",
        "",
        "| rule | verdict | findings |",
        "|---|---|---:|",
        *(f"| `{rule}` | {verdict} | {n:,} |" for rule, verdict, n in counted.iter_rows()),
        "",
    ]
    single = found.filter(pl.col("rule").is_in(ALSO))
    if single.height:
        lines += ["| symbol | date | rule | detail |", "|---|---|---|---|"]
        lines += [
            f"| {row['symbol']} | {row['date']} | `{row['rule']}` | {row['detail']} |"
            for row in single.iter_rows(named=True)
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Judge every panel and write the page."""
    folder = Path(os.environ["WEATHERVANE_MARKET_DATA"])

    def raw(name: str) -> pl.DataFrame:
        return read_bars(folder / f"{name}.parquet")

    us = raw("lean_us_daily_1998_2021")
    crawled = pl.read_parquet(folder / "pystock_us_vintages_2015_2017.parquet")
    last = crawled.sort("as_of").unique(["symbol", "date"], keep="last").drop("as_of")
    panels = {
        "21 DAX names, 2000-2017": raw("dax_daily_2000_2017"),
        "12 US names and funds, 1998-2021": us,
        "The same without `adj_close`": us.drop("adj_close"),
        "369 US names, 2015-2020": raw("sp500_daily_sectors_5yr"),
        "VIX, 1990-2026": raw("vix_daily_1990_2026"),
        "333 US names as crawled, 2015-2017, last vintage of each key": last,
    }
    parts = [figures(title, prepare(one)) for title, one in panels.items()]
    page = Path(__file__).with_suffix(".md")
    page.write_text("\n".join([HEAD, JUDGED, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
