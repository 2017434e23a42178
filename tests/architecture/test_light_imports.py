"""Importing the definitions loads nothing heavy and costs little more than Dagster itself."""

import json
import subprocess
import sys

from tests.architecture.source_tree import ROOT

HEAVY = {
    "torch",
    "mlflow",
    "pandas",
    "matplotlib",
    "numba",
    "scipy",
    "exchange_calendars",
    "yfinance",
}


def loaded_by(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter holds after a statement."""
    code = f"{statement}; import json, sys; sys.stdout.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_definitions_load_nothing_heavy_and_few_modules_more_than_dagster():
    bare = loaded_by("import dagster")
    full = loaded_by("import pipeline.definitions")
    heavy = {name.split(".")[0] for name in full} & HEAVY
    assert heavy - {name.split(".")[0] for name in bare} == set()
    assert len(full) <= 1.5 * len(bare), f"{len(full)} modules against {len(bare)} of dagster alone"


def test_the_command_line_starts_without_any_library_of_the_science():
    names = {name.split(".")[0] for name in loaded_by("import pipeline.cli")}
    assert names & (HEAVY | {"dagster", "numpy", "polars", "duckdb", "pydantic"}) == set()
