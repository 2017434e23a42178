"""Imports only go down, and the check that says so can fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import FLOORS, ROOT

PLANTS = {
    "an orchestrator in ml": ("ml/planted.py", "import dagster\n"),
    "ml in backtest": ("backtest/engine/planted.py", "import ml.learner\n"),
    "the roof in the wiring": ("assets/planted.py", "import pipeline.cli\n"),
    "one strategy in another": (
        "backtest/strategies/planted.py",
        "import backtest.strategies.buy_and_hold\n",
    ),
    "a room without a floor": ("backtest/planted_room.py", "X = 1\n"),
}


def contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the tree at ``root``."""
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        "sys.exit(lint_imports(config_filename='importlinter.toml', no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_every_contract_is_kept():
    result = contracts(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_found(plant: str, tmp_path: Path):
    for floor in FLOORS:
        shutil.copytree(
            ROOT / floor, tmp_path / floor, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "importlinter.toml", tmp_path)
    where, text = PLANTS[plant]
    (tmp_path / where).write_text(text)
    result = contracts(tmp_path)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout or "planted_room" in result.stdout
