"""What a day, a first fill and a read of the past cost, each against the barest way to do it.

For: the ingest job on one more session of 500 symbols, asked of a server in its own process,
against asking alone; the ingest job on seven million rows from a file, with its peak memory,
against DuckDB's own copy of that file; reading 500 symbols x 2,520 sessions as of a day, against
all rows of the table. Not for: research, which ``new_bar`` and ``walk_forward`` measure.

``--part day|fill|past`` measures one of the three.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb
import numpy as np
import polars as pl
from measured import ROOT, keep, median_seconds

from backtest.market.calendar import sessions

SYMBOLS, SESSIONS = 500, 2_520
FILL_SYMBOLS, FILL_SESSIONS = 2_800, 2_520
LAST = date(2024, 3, 28)


def bars(symbols: int, days: list[date]) -> pl.DataFrame:
    """Random walks of ``symbols`` over ``days``, adjusted as traded."""
    rng = np.random.default_rng(0)
    shape = (symbols, len(days))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, shape), axis=1))
    opened = close * (1.0 + rng.normal(0.0, 0.003, shape))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) / 1.002
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{n:04d}" for n in range(symbols)], len(days)),
            "date": pl.Series(days * symbols, dtype=pl.Date),
            **{
                name: values.ravel().round(4)
                for name, values in (
                    ("open", opened),
                    ("high", high),
                    ("low", low),
                    ("close", close),
                )
            },
            "volume": rng.integers(1, 10**6, shape).ravel().astype(float),
        }
    )


def ingest(*told: str) -> dict[str, Any]:
    """Run the ingest job in a process of its own; its seconds, peak GiB, and seconds by step."""
    done = subprocess.run(
        [sys.executable, __file__, "--ingest", *told],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _ingest(home: str, *overrides: str) -> None:
    """Be that process."""
    from pipeline.chain import _execute
    from pipeline.config import load_settings, open_home
    from pipeline.instance import run_history

    opened = open_home(home)
    files = [told for told in overrides if told.startswith("data.path=")]
    settings = load_settings("files" if files else "yahoo", overrides=overrides)
    told = {"document": settings.model_dump_json(), "home": home, "session": "", "as_of": ""}
    started = time.perf_counter()
    with run_history(opened.dagster) as instance:
        run_id = _execute(instance, "ingest", told).run_id
        seconds = time.perf_counter() - started
        steps = {
            step.step_key: step.end_time - step.start_time
            for step in instance.get_run_step_stats(run_id)
            if step.start_time and step.end_time
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told = {"seconds": seconds, "gib": peak, "steps": steps}
    sys.stdout.write(f"\n{json.dumps(told)}\n")


@contextmanager
def serving(market: Path, now: date):
    """Serve a market as of a day from a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.pipeline.yahoo_server", "--port", str(port)]
    command += ["--market", str(market), "--now", str(now)]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def ask_alone(address: str, names: list[str], day: date) -> None:
    """Ask for a fortnight of each symbol by bare HTTP, four at a time."""
    end = int(time.mktime(day.timetuple())) + 2 * 86_400
    query = f"?period1={end - 16 * 86_400}&period2={end}&interval=1d&events=div,splits"

    def one(name: str) -> int:
        with urlopen(f"{address}/v8/finance/chart/{name}{query}") as reply:
            return len(reply.read())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, names))


def measure_day(folder: Path, days: list[date]) -> None:
    """One more session of 500 symbols from a loopback source."""
    market = folder / "market"
    market.mkdir()
    frame = bars(SYMBOLS, days)
    frame.write_parquet(market / "bars.parquet")
    names = frame["symbol"].unique().sort().to_list()
    (folder / "members.csv").write_text(
        "symbol,valid_from,valid_to\n" + "".join(f"{name},2000-01-03,\n" for name in names)
    )
    home = str(folder / "home")
    told = [
        "data.universe=bench",
        f"data.members={folder / 'members.csv'}",
        f"feed.first={days[0]}",
        "feed.rate_per_s=10000",
        "feed.burst=10000",
    ]
    with serving(market, days[-2]) as address:
        first = ingest(home, *told, f"feed.endpoint={address}")
    with serving(market, days[-1]) as address:
        # First, so that the server has read its market before the day is timed, too.
        bare = median_seconds(lambda: ask_alone(address, names, days[-1]), rounds=3)
        day = ingest(home, *told, f"feed.endpoint={address}")
    longest = ("raw_bars", "judged_bars")
    others = sum(took for step, took in day["steps"].items() if step not in longest)
    seconds = {
        "first fill": first["seconds"],
        "one more session": day["seconds"],
        **{f"of it {step}": day["steps"][step] for step in longest},
        "of it all other steps": others,
        "asking": bare,
    }
    found = {
        "symbols": SYMBOLS,
        "sessions": len(days),
        "baseline": "asking for a fortnight of each symbol by bare HTTP",
        "ratio": round(day["seconds"] / bare, 2),
        "peak_gib": round(day["gib"], 2),
    }
    keep("ingest_day", found, seconds=seconds)


def measure_fill(folder: Path, days: list[date]) -> None:
    """Seven million rows from a file into a new home."""
    source = folder / "fill.parquet"
    bars(FILL_SYMBOLS, days).write_parquet(source)
    with duckdb.connect(str(folder / "bare.duckdb")) as bare:
        started = time.perf_counter()
        bare.execute(f"create table bars as select * from '{source}' order by symbol, date")
        bare.execute("checkpoint")
        copied = time.perf_counter() - started
    done = ingest(str(folder / "home"), f"data.path={source}", "data.universe=fill")
    found = {
        "rows": FILL_SYMBOLS * len(days),
        "baseline": "DuckDB: create table as select, sorted, with a checkpoint",
        "ratio": round(done["seconds"] / copied, 1),
        "peak_gib": round(done["gib"], 2),
    }
    keep("ingest_fill", found, seconds={"ingest job": done["seconds"], "copy": copied})


def measure_past(folder: Path, days: list[date]) -> None:
    """Read what was known a year before the end."""
    from pipeline.config import open_home
    from pipeline.store import Store

    source = folder / "past.parquet"
    bars(SYMBOLS, days).write_parquet(source)
    ingest(str(folder / "home"), f"data.path={source}", "data.universe=past")
    home = open_home(folder / "home")
    store = Store(home, universe="past")
    rows = store.read_bars(as_of=days[-1]).height
    assert rows == SYMBOLS * len(days)
    reading = median_seconds(lambda: store.read_bars(as_of=days[-1]))

    def bare() -> None:
        with duckdb.connect(str(home.database), read_only=True) as connection:
            assert connection.sql("select * from bars").pl().height == rows

    plain = median_seconds(bare)
    found = {
        "rows": rows,
        "baseline": "DuckDB: every column and row of the table",
        "ratio": round(reading / plain, 2),
    }
    keep("ingest_past", found, seconds={"as of a day": reading, "table": plain})


def main() -> None:
    """Measure all parts, or one."""
    parts = {"day": measure_day, "fill": measure_fill, "past": measure_past}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=sorted(parts))
    parser.add_argument("--ingest", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ingest:
        _ingest(*chosen.ingest)
        return
    known = sessions("XNYS", date(2010, 1, 4), LAST)
    for name in [chosen.part] if chosen.part else parts:
        folder = Path(tempfile.mkdtemp())
        try:
            count = FILL_SESSIONS if name == "fill" else SESSIONS
            parts[name](folder, known[-count - (name == "day") :])
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
