"""Sizes, names, openings and imports that the house guide asks for."""

import ast
import re
from pathlib import Path

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
EXEMPT = {"data", "predict_optimal_parameters"}
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
MODULE_LINES, FUNCTION_LINES = 400, 60
LEFT_OVER = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
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


def test_names():
    bad = []
    for path in EVERYTHING:
        bad += [
            f"{name_of(path)} line {line}: {name}"
            for line, name in sorted(set(named(path)) - fields(path))
            if name.lower() not in EXEMPT and REFUSED & set(name.lower().strip("_").split("_"))
        ]
        classes = [n.name for n in ast.walk(tree(path)) if isinstance(n, ast.ClassDef)]
        bad += [f"{name_of(path)}: {n}" for n in classes if REFUSED_IN_CLASSES.search(n)]
    assert bad == []


def test_sizes():
    bad = []
    for path in EVERYTHING:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_LINES:
            bad.append(f"{name_of(path)}: {lines} lines")
        for function in functions(path):
            long = (function.end_lineno or 0) - function.lineno + 1
            if long > FUNCTION_LINES:
                bad.append(f"{name_of(path)}: {function.name} has {long} lines")
    assert bad == []


def test_a_module_says_what_it_is_for_and_what_it_is_not():
    bad = []
    for path in CODE:
        opening = " ".join((ast.get_docstring(tree(path)) or "").split())
        if path.name != "__init__.py" and not ("For:" in opening and "Not for:" in opening):
            bad.append(name_of(path))
    assert bad == []


def test_future_annotations_by_floor():
    bad = []
    for path in CODE:
        has = any(
            isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree(path).body
        )
        if path.relative_to(ROOT).parts[0] in ("pipeline", "assets"):
            if has:
                bad.append(f"{name_of(path)}: Dagster reads annotations at run time")
        elif not has and path.name != "__init__.py":
            bad.append(f"{name_of(path)}: lacks the import")
    assert bad == []


def test_heavy_imports_only_inside_functions():
    bad = []
    for path in modules("pipeline", "assets"):
        for node in tree(path).body:
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            bad += [f"{name_of(path)}: {name}" for name in names & HEAVY]
    assert bad == []


def test_no_print_no_bare_except_nothing_left_to_do():
    bad = []
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
                bad.append(f"{name_of(path)} line {node.lineno}: print")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                bad.append(f"{name_of(path)} line {node.lineno}: bare except")
        text = path.read_text(encoding="utf-8")
        bad += [f"{name_of(path)}: {word}" for word in LEFT_OVER if word in text]
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
