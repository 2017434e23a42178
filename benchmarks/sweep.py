"""The sweep against a hand-written one, on a thousand sets and on a full grid, one core and two.

For: bar-evaluations (symbols x sets x bars) per second and core, with ratios in one run, and peak
memory of a process that does nothing else; rules with guards and sizes, too, for which there is no
hand-written loop. Not for: other packages (``peers``), and not for writing results to files.

``--part NAME`` measures one of them.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measured import ROOT, best_seconds, keep
from plain_sweep import PlainSweep

from backtest.engine.sweep import stream_metrics, sweep_metrics
from backtest.market.panel import Panel
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES

COST, YEAR, BARS = 0.0005, 252, 2_520
TENS = (range(7, 27, 2), range(24, 44, 2), range(56, 76, 2))
CALM = (range(8, 28, 2), range(20, 40, 2), range(60, 80, 2))
WHOLE = (range(5, 51), range(10, 51), range(50, 91))


def market(symbols: int) -> Panel:
    """Random walks with small gaps overnight, wicks and volume."""
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.015, (symbols, BARS)), axis=1))
    opened = close * (1.0 + rng.normal(0.0, 0.003, close.shape))
    wicks = 1.0 + np.abs(rng.normal(0.0, 0.004, (2, *close.shape)))
    return Panel(
        symbols=tuple(f"S{n:03d}" for n in range(symbols)),
        dates=np.arange(BARS).astype("datetime64[D]"),
        open=opened,
        high=np.maximum(opened, close) * wicks[0],
        low=np.minimum(opened, close) / wicks[1],
        close=close,
        volume=rng.lognormal(10.0, 0.5, close.shape),
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


def compared(grid: ParamGrid, plain: PlainSweep) -> None:
    """Refuse to time two engines that differ."""
    few, out = market(2), np.empty((2, grid.size, 14))
    plain.measure(few.open, few.close, COST, YEAR, out)
    mine = sweep_metrics(few, STRATEGIES.get("rsi_reversion"), grid, cost=COST)
    out[~np.isfinite(out)] = np.nan  # the yardstick divides by nothing where ours says so
    for m, values in enumerate(mine.values()):
        np.testing.assert_allclose(values.T, out[:, :, m], rtol=1e-6, atol=1e-9)


def guarded(*, sizes: bool) -> ParamGrid:
    """Breakouts with stops, targets, trailing stops and longest holding; all cash, or sized."""
    return ParamGrid.product(
        STRATEGIES.get("channel_breakout").params,
        {
            "sides": ["both" if sizes else "long"],
            "entry": [80, 90, 100, 120],
            "exit": [30, 40, 60, 80],
            "stop_loss": [0.0, 0.1, 0.15, 0.2],
            "take_profit": [0.0, 0.3, 0.5],
            "trailing_stop": [0.0, 0.2, 0.25],
            "longest": [0, 120],
            "volatility_target": [0.01] if sizes else [0.0],
        },
    )


def voting(confidence: float) -> ParamGrid:
    """All twelve parameters of ``confluence``."""
    return ParamGrid.product(
        STRATEGIES.get("confluence").params,
        {
            "fast_ma": [5, 10],
            "slow_ma": [30, 50],
            "risk_per_trade": [0.01, 0.02],
            "confidence": [confidence],
            "volume_threshold": [1.0, 1.5],
            "mfi_oversold": [20.0, 30.0],
            "mfi_overbought": [70.0, 80.0],
            "macd_fast": [8, 12],
            "macd_slow": [26],
            "macd_signal": [5, 9],
            "bb_period": [15, 20],
            "bb_width": [1.5, 2.0],
        },
    )


@dataclass(frozen=True)
class Part:
    """What is measured: a rule, its sets, on how many symbols, how often; spans of a yardstick."""

    rule: str
    symbols: int
    rounds: int
    spans: tuple[range, range, range] | None = None
    sets: ParamGrid | None = None

    @property
    def grid(self) -> ParamGrid:
        """Sets of the part."""
        return self.sets if self.spans is None else rsi_grid(self.spans)[0]


ALL_CORES = os.sched_getaffinity(0)
PARTS = {
    "sweep_thousand": Part("rsi_reversion", 50, 9, TENS),
    "sweep_calm": Part("rsi_reversion", 50, 9, CALM),
    "sweep_grid": Part("rsi_reversion", 50, 3, WHOLE),
    "sweep_500": Part("rsi_reversion", 500, 1, WHOLE),
    "sweep_lanes": Part("channel_breakout", 50, 5, sets=guarded(sizes=False)),
    "sweep_lanes_sized": Part("channel_breakout", 50, 5, sets=guarded(sizes=True)),
    "sweep_confluence": Part("confluence", 50, 5, sets=voting(0.8)),
    "sweep_confluence_busy": Part("confluence", 50, 5, sets=voting(0.6)),
}


def measure(name: str) -> None:
    """Measure one part on one core and on all, beside the yardstick if there is one."""
    part = PARTS[name]
    panel, rule, grid = market(part.symbols), STRATEGIES.get(part.rule), part.grid
    evaluations = part.symbols * grid.size * BARS

    def ours() -> None:
        for _ in stream_metrics(panel, rule, grid, cost=COST):
            pass

    few = sweep_metrics(market(2), rule, grid, cost=COST)["trades"]
    on_cores(1)
    one, beside = best_seconds(ours, part.rounds), {}
    found = {
        "symbols": part.symbols,
        "sets": grid.size,
        "bars": BARS,
        "trades_per_pair": round(float(few.mean()), 1),
        "giga_bar_evaluations_per_second_one_core": round(evaluations / one / 1e9, 2),
    }
    if part.spans is not None:
        beside = {"yardstick": yardstick_seconds(part, panel)}
        found["yardstick_giga"] = round(evaluations / beside["yardstick"] / 1e9, 2)
        found["over_yardstick"] = round(beside["yardstick"] / one, 2)
    on_cores(len(ALL_CORES))
    whole = best_seconds(ours, part.rounds)
    found |= {"all_cores_over_one": round(one / whole, 2), "peak_mib": peak(name)}
    keep(name, found, seconds={"one core": one, "all cores": whole, **beside})


def yardstick_seconds(part: Part, panel: Panel) -> float:
    """Time of the hand-written loop, after both engines have told the same."""
    grid, plain = rsi_grid(part.spans)
    compared(grid, plain)
    out = np.empty((min(part.symbols, 50), grid.size, 14))

    def yardstick() -> None:
        for start in range(0, part.symbols, len(out)):
            rows = slice(start, start + len(out))
            plain.measure(panel.open[rows], panel.close[rows], COST, YEAR, out)

    return best_seconds(yardstick, part.rounds)


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
    part = PARTS[name]
    rule = STRATEGIES.get(part.rule)
    for _ in stream_metrics(market(part.symbols), rule, part.grid, cost=COST):
        pass
    # Not the peak of rusage, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    kib = re.search(r"VmHWM:\s+(\d+)", status)[1]
    sys.stdout.write(f"{int(kib) // 1024}\n")


def main() -> None:
    """Measure all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=sorted(PARTS))
    parser.add_argument("--alone", choices=sorted(PARTS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        alone(chosen.alone)
        return
    for name in [chosen.part] if chosen.part else PARTS:
        measure(name)


if __name__ == "__main__":
    main()
