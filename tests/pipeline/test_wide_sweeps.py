"""Grids of very many sets: measured some at a time, with the files of one go.

For: memory that does not grow with the grid's results, and the order of rows on disk. Not for:
speed (`benchmarks/sweep.py`).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.commands import sweeps
from pipeline.commands.sweeps import Asked, run_sweep
from tests.pipeline.small_bars import bars, grid_file, saved

VALUES = {
    "period": list(range(5, 51)),
    "oversold": [10.0 + 0.5 * i for i in range(80)],
    "overbought": [50.5 + 0.5 * i for i in range(79)],
    "smoothing": list(range(1, 8)),
}
SETS = 46 * 80 * 79 * 7
MIB_MORE = 500

MEASURED = """
import re, sys
from pathlib import Path
from pipeline.commands.sweeps import Asked, run_sweep
data, small, wide, out = (Path(word) for word in sys.argv[1:])
peaks = []
for grid in (small, wide):
    run_sweep("rsi_reversion", Asked(grid=grid), data, out=out / grid.parent.name, calendar="data")
    # Of this process alone: the peak of rusage may be that of the process which started it.
    peaks.append(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
print((peaks[1] - peaks[0]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is told in KiB on Linux alone")
def test_two_million_sets_are_measured_in_bounded_memory(tmp_path: Path):
    """Some 300 MiB more than a sweep of a few; 750 in one go, 1,230 with the sets as plain rows."""
    picks = [0, 1, 131_071, 131_072, 1_000_003, SETS - 1]
    places = np.unravel_index(picks, [len(v) for v in VALUES.values()])
    rows = [
        {name: values[int(p[i])] for (name, values), p in zip(VALUES.items(), places, strict=True)}
        for i in range(len(picks))
    ]
    data = saved(bars("AB", 40), tmp_path / "bars")
    grids = []
    for name, content in (("small", rows), ("wide", VALUES)):
        (tmp_path / name).mkdir()
        grids.append(grid_file(tmp_path / name, content))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, data, *grids, tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < MIB_MORE
    small, wide = tmp_path / "out" / "small", tmp_path / "out" / "wide"
    assert json.loads((wide / "sweep.json").read_text())["sets"] == SETS > 2_000_000
    keys = pl.scan_parquet(wide / "metrics.parquet").select("symbol", "set").collect()
    assert keys["symbol"].rle().struct.unnest().rows() == [(SETS, symbol) for symbol in "AB"]
    assert (keys["set"].to_numpy().reshape(2, SETS) == np.arange(SETS)).all()
    picked = pl.scan_parquet(wide / "metrics.parquet").filter(pl.col("set").is_in(picks)).collect()
    alone = pl.read_parquet(small / "metrics.parquet")
    assert picked.drop("set").equals(alone.drop("set"))
    assert alone.height == 12


def test_sets_measured_some_at_a_time_leave_the_files_of_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = saved(bars("ABC"), tmp_path / "bars")
    told: dict[int, list[tuple[int, int]]] = {}
    done = {}
    for at_once in (2**18, 16, 7, 1):
        monkeypatch.setattr(sweeps, "SETS_AT_ONCE", at_once)
        told[at_once] = []
        done[at_once] = run_sweep(
            *("rsi_swing", Asked(samples=16, seed=3), data),
            **{"out": tmp_path / str(at_once), "calendar": "data", "book": "long-only", "top": 6},
            progress=lambda *step, seen=told[at_once]: seen.append(step),
        )
    whole = tmp_path / str(2**18)
    for at_once in (16, 7, 1):
        assert done[at_once].best == done[2**18].best
        for name in ("metrics", "parameters", "book"):
            part = pl.read_parquet(tmp_path / str(at_once) / f"{name}.parquet")
            assert part.equals(pl.read_parquet(whole / f"{name}.parquet")), name
    assert told[7][:9] == [(step, 9) for step in range(1, 10)]
    best = done[2**18].best
    assert len(best) == 6
    assert best == sorted(best, key=lambda row: (-row["mean_sharpe"], row["set"]))
