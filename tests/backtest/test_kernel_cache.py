"""Compiled kernels follow their sources, also those of other files that they call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from backtest import kernel_cache
from tests.architecture.source_tree import ROOT

ASKED = (
    "import numpy as np; from backtest.indicators.bands import distance;"
    "print(distance(np.array([1.0, 2.0, 4.0]), np.array([2]))[0, 2])"
)


def told(home: Path) -> str:
    quiet = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=home,
        env=quiet | {"PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_change_in_a_file_that_is_called_is_compiled(tmp_path: Path):
    shutil.copytree(
        ROOT / "backtest", tmp_path / "backtest", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert told(tmp_path) == "1.0"
    called = tmp_path / "backtest" / "indicators" / "averages.py"
    text = called.read_text()
    assert text.count("totals[t] / w") == 1
    called.write_text(text.replace("totals[t] / w", "totals[t] / (w + 1)"))
    assert float(told(tmp_path)) == pytest.approx(1.6**0.5)
    folders = list((tmp_path / "backtest" / "__pycache__").glob(f"{kernel_cache.PREFIX}*"))
    assert len(folders) == 2


def test_the_folder_is_in_the_one_that_was_asked_for_and_others_can_go(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    before = numba.config.CACHE_DIR
    kernel_cache.keep_apart()
    kernel_cache.keep_apart()
    chosen = Path(os.environ["NUMBA_CACHE_DIR"])
    monkeypatch.setattr(numba.config, "CACHE_DIR", before)
    assert chosen.parent == tmp_path
    for name in (chosen.name, f"{kernel_cache.PREFIX}old", "somebody"):
        (tmp_path / name).mkdir()
    kernel_cache.drop_others()
    assert {p.name for p in tmp_path.iterdir()} == {chosen.name, "somebody"}
