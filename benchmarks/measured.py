"""Where a benchmark's numbers go, and what machine they come from.

Ratios within one run are the result; seconds stand beside them for orientation only. Running this
file alone measures nothing.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def median_seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """Median time of one call, over several."""
    return median(_timed(work, rounds))


def best_seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """Shortest of several calls: what the machine can do when nothing else asks for it."""
    return min(_timed(work, rounds))


def _timed(work: Callable[[], object], rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return took


def keep(name: str, found: dict[str, Any], *, seconds: dict[str, float]) -> None:
    """Write one benchmark's result, and print it."""
    record = {
        "benchmark": name,
        **found,
        "seconds": {key: round(value, 4) for key, value in seconds.items()},
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(text, end="")
