"""Every example runs as it is written, in a plain interpreter, and knows no orchestrator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, modules, name_of

EXAMPLES = modules("examples")


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_runs(path: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_stays_on_the_two_lower_floors(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not any(word in text for word in ("import dagster", "from pipeline", "from assets"))
