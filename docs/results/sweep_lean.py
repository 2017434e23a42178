"""Make the page of sweeps over twelve real US names beside this file, luck counted.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/sweep_lean.py`, a minute on two cores.
Not for: choosing a set; the page says why its top rows are not to be traded.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from backtest.engine.sweep import backtest, sweep_metrics
from backtest.evidence.sharpe import (
    deflated_benchmark,
    deflated_best,
    expected_maximum,
    luck_variance,
    moments,
)
from backtest.market.bars import panel_of
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES
from backtest.tables import account_returns

HERE = Path(__file__)
COST = 0.0005
LEAST = 756
"""Bars that a symbol must have in both halves: a short one's Sharpe ratio is anything."""
YEAR = 252.0**0.5
GRIDS = {
    "rsi_reversion": {
        "period": list(range(5, 51)),
        "oversold": list(range(10, 51)),
        "overbought": list(range(50, 91)),
    },
    "momentum": {
        "sides": ["long", "both"],
        "lookback": list(range(20, 253, 2)),
        "skip": list(range(0, 22, 3)),
        "threshold": [round(0.01 * i, 2) for i in range(21)],
    },
    "rsi_swing": {
        "direction": ["reversion", "momentum"],
        "period": list(range(3, 41)),
        "width": [5 + 0.5 * i for i in range(41)],
        "smoothing": [1, 3],
    },
}


@dataclass(frozen=True)
class Ran:
    """What one sweep said of itself, its tables, and what the process took."""

    strategy: str
    about: dict
    metrics: pl.DataFrame
    wall: float
    peak: float


def sweep(strategy: str, source: Path, folder: Path) -> Ran:
    """Run the command in a process of its own."""
    grid, out = folder / f"{strategy}.json", folder / strategy
    grid.write_text(json.dumps(GRIDS[strategy]), encoding="utf-8")
    words = ["-m", "pipeline", "sweep", "--strategy", strategy, "--grid", grid, "--data", source]
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *words, "--out", out],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the sweep of {strategy} ended with {status}")
    return Ran(
        strategy,
        json.loads((out / "sweep.json").read_text(encoding="utf-8")),
        pl.read_parquet(out / "metrics.parquet"),
        time.perf_counter() - started,
        used.ru_maxrss / 1024,
    )


def shown(row: dict, names: list[str]) -> str:
    """Parameters of a row in one cell."""
    return ", ".join(f"{name} {row[name]}".removesuffix(".0") for name in names)


def halves(ran: Ran, panel: Panel) -> str:
    """Best set of the first half by mean Sharpe ratio, followed into the second."""
    rule, cut = STRATEGIES.get(ran.strategy), panel.shape[1] // 2
    grid = ParamGrid.product(rule.params, GRIDS[ran.strategy])
    early = pl.col("date") < pl.lit(panel.dates[cut]).cast(pl.Date)
    kept = [
        symbol
        for symbol, row in zip(panel.symbols, panel.tradable, strict=True)
        if min(row[:cut].sum(), row[cut:].sum()) >= LEAST
    ]
    frame = panel.frame().filter(pl.col("symbol").is_in(kept))
    first, second = (
        sweep_metrics(Panel.from_frame(frame.filter(half)), rule, grid, cost=COST)["sharpe"].mean(
            axis=1
        )  # [P]
        for half in (early, ~early)
    )
    best = int(first.argmax())
    beaten = 100 * float((second < second[best]).mean())
    return (
        f"{len(kept)} | {first[best]:+.2f} | {second[best]:+.2f} | {np.median(second):+.2f} "
        f"| {beaten:.0f} %"
    )


def luckiest(ran: Ran, panel: Panel) -> str:
    """Best single row, deflated by the number of sets that were tried on its symbol."""
    row = ran.metrics.sort("sharpe", descending=True).row(0, named=True)
    rule, s = STRATEGIES.get(ran.strategy), panel.symbols.index(row["symbol"])
    fields = rule.params.model_fields
    accounts = backtest(panel, rule, rule.params(**{n: row[n] for n in fields}), cost=COST)
    given = moments(account_returns(accounts[s]))
    assert given is not None
    trials = ran.metrics.filter(symbol=row["symbol"])["sharpe"].to_numpy() / YEAR
    variance = luck_variance(trials, given.observations)
    luck = deflated_benchmark(len(trials), variance) * YEAR
    floor = deflated_benchmark(len(trials), 1.0 / given.observations) * YEAR
    whole = deflated_benchmark(ran.metrics.height, 1.0 / given.observations) * YEAR
    held = STRATEGIES.get("buy_and_hold")
    hold = sweep_metrics(panel, held, held.candidates(), cost=COST)["sharpe"][0, s]
    return (
        f"{row['symbol']}, {shown(row, ['set', *fields])} | {row['sharpe']:+.2f} | "
        f"{row['trades']} | {hold:+.2f} | {floor:.2f} | {luck:.2f} | {whole:.2f} | "
        f"{deflated_best(given, trials):.3f}"
    )


def top(ran: Ran) -> list[str]:
    """Five best sets by mean Sharpe ratio over symbols, and the spread of all of them."""
    names = list(STRATEGIES.get(ran.strategy).params.model_fields)
    columns = [pl.col(n).mean() for n in ("sharpe", "cagr", "max_drawdown", "trades", "turnover")]
    by_set = ran.metrics.group_by("set", *names).agg(columns)
    best = by_set.sort("sharpe", "set", descending=[True, False]).head(5).to_dicts()
    spread = by_set["sharpe"]
    rows = [
        f"| {shown(r, ['set', *names])} | {r['sharpe']:+.3f} | {100 * r['cagr']:+.1f} % | "
        f"{100 * r['max_drawdown']:.0f} % | {r['trades']:.0f} | {r['turnover']:.1f} |"
        for r in best
    ]
    return [
        f"### {ran.strategy}",
        "",
        f"Mean Sharpe ratio of all {spread.len():,} sets: median {spread.median():+.3f}, a tenth "
        f"above {spread.quantile(0.9):+.3f}; {100 * (spread > 0.0).mean():.0f} % are above 0.",
        "",
        "| set | Sharpe | CAGR | drawdown | trades | turnover a year |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def page(runs: list[Ran], panel: Panel) -> str:
    """Put the whole page together."""
    bars, about = int(panel.tradable.sum()), runs[0].about
    held = STRATEGIES.get("buy_and_hold")
    hold = sweep_metrics(panel, held, held.candidates(), cost=COST)
    costs = [
        f"| `{r.strategy}` | {r.about['sets']:,} | {r.about['infeasible']} | "
        f"{r.about['sets'] * bars / 1e9:.2f} G | {r.about['seconds']:.1f} s | {r.wall:.1f} s | "
        f"{r.peak:.0f} MiB |"
        for r in runs
    ]
    best = [luckiest(r, panel) for r in runs]
    none = all(float(cells.rsplit("|", 1)[1]) < 0.95 for cells in best)
    verdict = "none can be made" if none else "look again: one passes"
    return f"""# Three sweeps over twelve US names and funds, and how much of it is luck

Made by `python docs/results/sweep_lean.py`: `weathervane sweep --strategy NAME --grid FILE
--data lean_us_daily_1998_2021.parquet`, 5 bp per side, one process each, on two cores of a machine
on which others worked, too: seconds vary by a factor of two.
{about["symbols"]} symbols, {about["sessions"]:,} sessions from
{about["first"]} to {about["last"]}, {bars:,} bars ({about["rows"]["rows_in"]:,} rows in,
{about["rows"]["rows_in"] - about["rows"]["rows_out"]} set aside). The names are survivors of their
time, so whatever is long is flattered: buy and hold has a mean Sharpe ratio of
{hold["sharpe"].mean():+.2f} over the symbols, and a drawdown of
{100 * hold["max_drawdown"].mean():.0f} %.

| strategy | sets | infeasible | set-bars | sweep, files included | whole process | peak memory |
|---|---:|---:|---:|---:|---:|---:|
{chr(10).join(costs)}

## What the top rows look like

Means over the twelve symbols, each with its own account.

{chr(10).join(line for r in runs for line in top(r))}
## The best single row, and what luck alone would show

The best of N is a large number whatever the strategy. Of N worthless sets the luckiest is expected
{expected_maximum(1000):.1f} standard errors above 0 for N = 1,000, and
{expected_maximum(100000):.1f} for N = 100,000, if they were independent, which neighbours in a grid
are not: so this is strict (`expected_maximum` in `backtest/evidence/sharpe.py`). *Luck* is that
maximum a year over the sets tried on the symbol: with the sampling error of its bars alone; with
the spread of the sets' own Sharpe ratios where that is larger; and with the sampling error over
all rows of the file. DSR is the probability that the true Sharpe ratio is above the second of
these. A claim needs .95, so {verdict}.

| strategy | best row | Sharpe | trades | buy, hold | luck | luck, spread | luck, all rows | DSR |
|---|---|---:|---:|---:|---:|---:|---:|---:|
{chr(10).join(f"| `{r.strategy}` | {cells} |" for r, cells in zip(runs, best, strict=True))}

## The best of the first half, in the second

By mean Sharpe ratio over the symbols with at least {LEAST} bars in both halves.

| strategy | symbols | first half | same set, second half | median set, second | sets it beats |
|---|---:|---:|---:|---:|---:|
{chr(10).join(f"| `{r.strategy}` | {halves(r, panel)} |" for r in runs)}
"""


if __name__ == "__main__":
    source = Path(os.environ["WEATHERVANE_MARKET_DATA"]) / "lean_us_daily_1998_2021.parquet"
    with tempfile.TemporaryDirectory() as made:
        runs = [sweep(strategy, source, Path(made)) for strategy in GRIDS]
    HERE.with_suffix(".md").write_text(page(runs, panel_of(source)[0]), encoding="utf-8")
