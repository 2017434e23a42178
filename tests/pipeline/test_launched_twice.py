"""The same session launched twice at once: one waits, nothing is doubled."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.config import Home
from pipeline.exports import read_ledger
from pipeline.store import Store
from tests.pipeline.small_chain import OVERRIDES, SESSION, small_settings

ROOT = Path(__file__).parents[2]


def test_the_second_waits_and_changes_nothing(tmp_path: Path):
    told = [part for override in OVERRIDES for part in ("--set", override)]
    command = [
        *(sys.executable, "-m", "pipeline", "run", "--home", str(tmp_path)),
        *("--session", str(SESSION), "--json", *told),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=280) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert sum("waiting for a run of process" in err for _, err in said) == 1
    first, second = (json.loads(out) for out, _ in said)
    assert first["snapshot"] == second["snapshot"]
    home = Home(tmp_path)
    assert len(read_ledger(home.exports).entries) == 1
    store = Store(home, universe=small_settings().universe)
    assert store.findings() == []
    assert store.batches().filter(table_name="bars").height == 1
