"""How fast the store takes bars, as ratios within one run.

For: 369 symbols x 1,003 sessions into a fresh store, the same again, and one more session, each
against writing the same frame as plain Parquet. Not for: seconds, which belong to one machine.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from backtest.market.bars import Prepared, prepare
from backtest.market.calendar import sessions
from backtest.market.synthetic import WorldConfig, generate
from pipeline.config import open_home
from pipeline.store import Store

RESULTS = Path(__file__).parent / "results" / "store.json"
SYMBOLS, SESSIONS = 369, 1003


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def history() -> tuple[Prepared, Prepared, date, date]:
    """Bars of all sessions but the last, all bars, and the last two sessions."""
    days = sessions("XNYS", date(2015, 1, 2), date(2020, 1, 10))[:SESSIONS]
    raw = generate(WorldConfig(symbols=SYMBOLS), days).bars
    short = prepare(raw.filter(pl.col("date") < days[-1]), calendar="XNYS")
    return short, prepare(raw, calendar="XNYS"), days[-2], days[-1]


def main() -> None:
    """Measure, print one line each, and keep the ratios."""
    short, whole, before, last = history()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(open_home(folder), universe="bench", calendar="XNYS")

        def write(prepared: Prepared, until: date) -> None:
            store.write_bars(prepared, run_id="bench", source="synthetic", until=until)

        found["parquet"] = seconds(lambda: short.bars.write_parquet(Path(folder) / "x.parquet"))
        found["first write"] = seconds(lambda: write(short, before))
        found["same again"] = seconds(lambda: write(short, before))
        found["one more session"] = seconds(lambda: write(whole, last))
        found["read"] = seconds(store.read_bars)
        found["snapshot hash"] = seconds(store.snapshot_hash)
    ratios = {name: round(value / found["parquet"], 2) for name, value in found.items()}
    for name, value in found.items():
        sys.stdout.write(f"{name:18} {value:7.2f} s {ratios[name]:8.1f} x parquet\n")
    RESULTS.parent.mkdir(exist_ok=True)
    kept = {"rows": short.bars.height, "at": datetime.now(UTC).date().isoformat(), **ratios}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
