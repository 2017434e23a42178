"""Who may open the planted truth: the proofs that are handed markets, and nobody who decides."""

import ast
import re

from tests.architecture.source_tree import FLOORS, modules, name_of, tree

READERS = {"pipeline/boards.py", "pipeline/scorecards.py"}
OPENS = re.compile(r"""["']truth\.parquet["']""")


def test_only_one_module_knows_where_the_truth_lies_and_one_writes_it() -> None:
    found = {name_of(path) for path in modules(*FLOORS) if OPENS.search(path.read_text("utf-8"))}
    assert found == {
        "backtest/market/world_files.py",
        "pipeline/commands/markets.py",  # names what was written
        "pipeline/planted.py",
    }


def test_only_proofs_read_the_truth() -> None:
    found = {
        name_of(path)
        for path in modules(*FLOORS)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.ImportFrom) and node.module == "pipeline.planted")
        or (isinstance(node, ast.Import) and any(a.name == "pipeline.planted" for a in node.names))
    }
    assert found == READERS
