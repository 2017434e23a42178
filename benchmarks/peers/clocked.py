"""What every script of this folder needs to say what it cost, from the standard library and NumPy.

For: the market and the sets that ``benchmarks/peers.py`` wrote, one core, CPU time after a warm-up,
the peak of this process, and one line of JSON. Not for: the program, which never imports it.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

CHECKED = 2  # symbols whose every set is handed back, to be compared


def asked(variants: Sequence[str]) -> SimpleNamespace:
    """Stay on one core, and read what to run: prices ``[symbol, bar]`` and parameters ``[set]``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=variants)
    parser.add_argument("market", type=Path)
    for name in ("symbols", "sets", "rounds"):
        parser.add_argument(name, type=int)
    told = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    held = np.load(told.market)
    prices = {name: held[name][: told.symbols] for name in ("open", "close")}
    grid = {name: held[name][: told.sets] for name in ("period", "oversold", "overbought")}
    constants = {name: float(held[name]) for name in ("cost", "year")}
    return SimpleNamespace(variant=told.variant, rounds=told.rounds, **prices, **grid, **constants)


def cheapest(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """CPU and wall seconds of the round that took least CPU time, after one that is not counted."""
    work()
    took = []
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        took.append((time.process_time() - cpu, time.perf_counter() - wall))
    return dict(zip(("cpu_seconds", "wall_seconds"), min(took), strict=True))


def peak_mib() -> int:
    """Peak memory of this program alone; ``ru_maxrss`` would count the one that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def tell(
    took: dict[str, float],
    found: dict[str, Any],
    *,
    packages: Sequence[str],
    metrics: int,
) -> None:
    """Print what was found (``[symbol, set]``, at least the checked symbols) and what it cost."""
    answers = {
        name: np.asarray(table, dtype=float)[:CHECKED].tolist() for name, table in found.items()
    }
    record = {
        **took,
        "peak_mib": peak_mib(),
        "metrics": metrics,
        "versions": {name: version(name) for name in packages},
        "answers": answers,
    }
    print(json.dumps(record))


def wilder(close: Sequence[float], period: int, *, missing: float) -> list[float]:
    """RSI of Wilder in plain Python, for peers that bring none; ``missing`` before its first."""
    up = down = 0.0
    out = [missing] * len(close)
    for t in range(1, len(close)):
        move = close[t] - close[t - 1]
        gain, loss = max(move, 0.0), max(-move, 0.0)
        if t <= period:
            up, down = up + gain / period, down + loss / period
        else:
            up, down = (up * (period - 1) + gain) / period, (down * (period - 1) + loss) / period
        if t >= period:
            out[t] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    return out
