"""For: the files and syntax trees that the architecture tests look at. Not for: the rules."""

import ast
import gc
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("pipeline", "assets", "ml", "backtest")


def modules(*folders: str) -> list[Path]:
    """All Python files of the given top-level folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """Syntax tree of one file."""
    # A finaliser that runs half way, of a connection of an earlier test, say, makes Python 3.11
    # lose count of its depth ("AST constructor recursion depth mismatch").
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    finally:
        gc.enable()


def name_of(path: Path) -> str:
    """Path from the project's root, for messages."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tracked_files() -> list[Path]:
    """Files under version control and new ones that are not ignored.

    Without version control (an unpacked archive) every file outside hidden folders.
    """
    asked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0 and asked.stdout:
        found = [ROOT / line for line in asked.stdout.splitlines()]
        return sorted(path for path in found if path.is_file())
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(ROOT).parts[:-1])
    )
