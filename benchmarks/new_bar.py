"""From a new bar to its exported document, against the first run of the same chain.

Run it: python benchmarks/new_bar.py

The embedded market in an empty home: the chain up to the session before the last, then the same
command with one more bar of each symbol, start of the program included. With
$WEATHERVANE_MARKET_DATA set, the S&P panel of that folder is run as well.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from measured import ROOT, keep

from backtest.market.bars import panel_of
from backtest.market.calendar import last_finished_session, sessions

LIMIT_S = 60.0


def run_seconds(home: Path, day: object, *arguments: str) -> float:
    """Wall time of ``weathervane run`` up to one session, and that its document is there."""
    told = ("--home", str(home), "--session", str(day), *arguments)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *told],
        cwd=ROOT,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    took = time.perf_counter() - started
    if not (home / "exports" / "parameters" / f"{day}.json").is_file():
        raise SystemExit(f"no document of {day}")
    return took


def measure(name: str, days: list[object], *arguments: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = (run_seconds(Path(folder), day, *arguments) for day in days)
    keep(
        f"new_bar_{name}",
        {"new_bar_over_first_run": second / first, "limit_s": LIMIT_S, "within": second <= LIMIT_S},
        seconds={"first_run": first, "new_bar": second},
    )


def main() -> None:
    today = datetime.now(UTC)
    last = last_finished_session("XNYS", today)
    measure("demo", sessions("XNYS", last.replace(year=last.year - 1), last)[-2:])
    folder = os.environ.get("WEATHERVANE_MARKET_DATA")
    if folder:
        source = Path(folder, "sp500_daily_sectors_5yr.parquet")
        dates = [day.item() for day in panel_of(source)[0].dates[-2:]]
        measure("sp500", dates, "--data", str(source))


if __name__ == "__main__":
    main()
