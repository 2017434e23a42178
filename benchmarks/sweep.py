"""The sweep against a hand-written one, on a thousand sets and on a full grid, one core and two.

For: bar-evaluations (symbols x sets x bars) per second and core, with ratios in one run, and peak
memory of a process that does nothing else. Not for: other packages, each of which needs an
environment of its own, and not for writing results to files.

``--part sweep_thousand|sweep_grid`` measures one of them.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys

import numpy as np
from measured import ROOT, best_seconds, keep
from plain_sweep import PlainSweep

from backtest.engine.sweep import stream_metrics, sweep_metrics
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES

COST, YEAR, BARS = 0.0005, 252, 2_520
TENS = (range(7, 27, 2), range(24, 44, 2), range(56, 76, 2))
WHOLE = (range(5, 51), range(10, 51), range(50, 91))


def market(symbols: int) -> Panel:
    """Random walks with small gaps overnight."""
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.015, (symbols, BARS)), axis=1))
    opened = close * (1.0 + rng.normal(0.0, 0.003, close.shape))
    return Panel(
        symbols=tuple(f"S{n:03d}" for n in range(symbols)),
        dates=np.arange(BARS).astype("datetime64[D]"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.ones_like(close),
        tradable=np.ones(close.shape, dtype=bool),
        sectors=("",) * symbols,
        periods_per_year=YEAR,
        member=np.ones(close.shape, dtype=bool),
    )


def rsi_grid(spans: tuple[range, range, range]) -> tuple[ParamGrid, PlainSweep]:
    """The same feasible sets for both."""
    periods, lows, highs = (np.array(span) for span in spans)
    index = np.array(
        [
            (k, i, j)
            for k, i, j in itertools.product(*(range(len(span)) for span in spans))
            if lows[i] < highs[j]
        ]
    )
    columns = {
        "period": periods[index[:, 0]],
        "overbought": highs[index[:, 2]].astype(float),
        "oversold": lows[index[:, 1]].astype(float),
        "smoothing": np.ones(len(index), dtype=np.int64),
    }
    grid = ParamGrid(STRATEGIES.get("rsi_reversion").params, columns)
    return grid, PlainSweep(periods, lows.astype(float), highs.astype(float), index)


def on_cores(count: int) -> None:
    """Leave this process so many cores."""
    os.sched_setaffinity(0, sorted(ALL_CORES)[:count])


def compared(grid: ParamGrid, plain: PlainSweep) -> float:
    """Refuse to time two engines that differ; trades of a set on a symbol, on average."""
    few, out = market(2), np.empty((2, grid.size, 14))
    plain.measure(few.open, few.close, COST, YEAR, out)
    mine = sweep_metrics(few, STRATEGIES.get("rsi_reversion"), grid, cost=COST)
    out[~np.isfinite(out)] = np.nan  # the yardstick divides by nothing where ours says so
    for m, values in enumerate(mine.values()):
        np.testing.assert_allclose(values.T, out[:, :, m], rtol=1e-6, atol=1e-9)
    return float(mine["trades"].mean())


def measure(name: str, symbols: int, spans: tuple[range, range, range], rounds: int) -> None:
    """Ours and the yardstick on one grid."""
    panel, rule = market(symbols), STRATEGIES.get("rsi_reversion")
    grid, plain = rsi_grid(spans)
    evaluations = symbols * grid.size * BARS

    def ours() -> None:
        for _ in stream_metrics(panel, rule, grid, cost=COST):
            pass

    out = np.empty((min(symbols, 50), grid.size, 14))

    def yardstick() -> None:
        for start in range(0, symbols, len(out)):
            rows = slice(start, start + len(out))
            plain.measure(panel.open[rows], panel.close[rows], COST, YEAR, out)

    trades = compared(grid, plain)
    on_cores(1)
    one, plainly = best_seconds(ours, rounds), best_seconds(yardstick, rounds)
    on_cores(len(ALL_CORES))
    all_cores = best_seconds(ours, rounds)
    keep(
        name,
        {
            "symbols": symbols,
            "sets": grid.size,
            "bars": BARS,
            "trades_per_pair": round(trades, 1),
            "giga_bar_evaluations_per_second_one_core": round(evaluations / one / 1e9, 2),
            "yardstick_giga": round(evaluations / plainly / 1e9, 2),
            "over_yardstick": round(plainly / one, 2),
            "all_cores_over_one": round(one / all_cores, 2),
            "peak_mib": peak(name),
        },
        seconds={"one core": one, "all cores": all_cores, "yardstick": plainly},
    )


def peak(name: str) -> int:
    """Peak memory of a process that sweeps and does nothing else, MiB."""
    done = subprocess.run(
        [sys.executable, __file__, "--alone", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return int(json.loads(done.stdout.splitlines()[-1]))


def alone(name: str) -> None:
    """Be that process."""
    symbols, spans, _ = PARTS[name]
    grid, _ = rsi_grid(spans)
    for _ in stream_metrics(market(symbols), STRATEGIES.get("rsi_reversion"), grid, cost=COST):
        pass
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}\n")


ALL_CORES = os.sched_getaffinity(0)
PARTS = {"sweep_thousand": (50, TENS, 9), "sweep_grid": (50, WHOLE, 3)}


def main() -> None:
    """Measure both grids, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=sorted(PARTS))
    parser.add_argument("--alone", choices=sorted(PARTS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        alone(chosen.alone)
        return
    for name in [chosen.part] if chosen.part else PARTS:
        measure(name, *PARTS[name])


if __name__ == "__main__":
    main()
