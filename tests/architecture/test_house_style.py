"""Sizes, names, openings and imports that the house guide asks for."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import (
    FLOORS,
    ROOT,
    functions,
    modules,
    name_of,
    tracked_files,
    tree,
)

REFUSED = set(["data", "df", "util", "utils", "helper", "helpers", "manager", "processor"]) | set(
    ["advanced", "enhanced", "smart", "optimal", "ticker", "tickers"]
)
# A word of the published interface stays itself: `--data` becomes an argument called data.
EXEMPT = {"data"}
REFUSED_IN_CLASSES = re.compile(r"Util|Helper|Manager|Processor|Advanced|Enhanced|Smart|Optimal")
HEAVY = {
    "torch",
    "mlflow",
    "matplotlib",
    "exchange_calendars",
    "pandas",
    "yfinance",
    "numba",
    "scipy",
}
CODE = modules(*FLOORS)
EVERYTHING = modules(*FLOORS, "examples", "benchmarks")


def named(path: Path) -> list[tuple[int, str]]:
    """Names that a file gives: functions, arguments, variables, classes, and its own."""
    found = [(1, path.stem)]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.lineno, node.name))
        elif isinstance(node, ast.arg):
            found.append((node.lineno, node.arg))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append((node.lineno, node.id))
    return found


def fields(path: Path) -> set[tuple[int, str]]:
    """Fields declared in class bodies: they may carry the words of a published document."""
    return {
        (item.lineno, item.target.id)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_names(path: Path):
    bad = [
        f"{name} (line {line})"
        for line, name in sorted(set(named(path)) - fields(path))
        if name not in EXEMPT and REFUSED & set(name.lower().strip("_").split("_"))
    ]
    classes = [n.name for n in ast.walk(tree(path)) if isinstance(n, ast.ClassDef)]
    assert bad + [name for name in classes if REFUSED_IN_CLASSES.search(name)] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_sizes(path: Path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{name_of(path)} has {lines} lines, 400 are allowed"
    long = [
        f"{f.name}: {f.end_lineno - f.lineno + 1} lines"
        for f in functions(path)
        if f.end_lineno is not None and f.end_lineno - f.lineno + 1 > 60
    ]
    assert long == []


@pytest.mark.parametrize("path", [p for p in CODE if p.name != "__init__.py"], ids=name_of)
def test_a_module_says_what_it_is_for_and_what_it_is_not(path: Path):
    opening = ast.get_docstring(tree(path)) or ""
    assert "For:" in opening, "the opening docstring lacks 'For:'"
    assert "Not for:" in opening, "the opening docstring lacks 'Not for:'"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_future_annotations_by_floor(path: Path):
    has = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree(path).body
    )
    floor = path.relative_to(ROOT).parts[0]
    if floor in ("pipeline", "assets"):
        assert not has, "Dagster reads annotations at run time"
    elif tree(path).body:
        assert has or path.name == "__init__.py"


@pytest.mark.parametrize("path", modules("pipeline", "assets"), ids=name_of)
def test_heavy_imports_only_inside_functions(path: Path):
    heavy = set()
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            heavy |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            heavy.add((node.module or "").split(".")[0])
    assert heavy & HEAVY == set()


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_no_print_no_bare_except_nothing_left_to_do(path: Path):
    bad = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            bad.append(f"print, line {node.lineno}")
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            bad.append(f"bare except, line {node.lineno}")
    text = path.read_text(encoding="utf-8")
    bad += [
        word for word in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error") if word in text
    ]
    assert bad == []


# Written in pieces, so that this file does not find itself.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "anaconda" + ".org"]
PLACES = ["/wo" + "rk/", "/ro" + "ot/", "/tmp/bo" + "ot", "/Us" + "ers/", "C:" + "\\Users"]
HOME_FOLDER = re.compile("/ho" + r"me/[a-z]")


def test_no_registry_host_and_no_machine_path_in_any_tracked_file():
    bad = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        bad += [f"{name_of(path)}: {word}" for word in HOSTS + PLACES if word in text]
        bad += [f"{name_of(path)}: {hit}" for hit in HOME_FOLDER.findall(text)]
    assert bad == []


def test_the_lock_holds_hashes_and_no_address():
    for name in ("requirements.lock", ".ci/tools.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
        assert all("--hash=sha256:" in block for block in blocks)
