"""What the sweep is measured against is no part of the project, and knows nothing of it."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import FLOORS, ROOT, modules, name_of, tree

PEERS = {"vectorbt", "vectorbt_rust", "backtesting"}
SCRIPTS = modules("benchmarks/peers")
OURS = {"backtest", "ml", "assets", "pipeline", "measured", "sweep"}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


def test_nothing_of_the_project_imports_a_peer():
    everything = modules(*FLOORS, "examples", "benchmarks", "tests", "docs")
    bad = {name_of(path) for path in everything if imported(path) & PEERS}
    assert bad == {"benchmarks/peers/backtesting_sweep.py", "benchmarks/peers/vectorbt_sweep.py"}


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock", ".ci/tools.lock"])
def test_no_list_of_dependencies_names_a_peer(name: str):
    text = (ROOT / name).read_text(encoding="utf-8").replace("-", "_")
    assert not {word for word in PEERS if re.search(rf"\b{word}\b", text)}


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_peer_knows_nothing_of_the_project(path: Path):
    assert not imported(path) & OURS or path.name == "weathervane_sweep.py"
