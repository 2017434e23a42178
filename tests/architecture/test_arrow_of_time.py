"""Nothing looks forward in time but the two rooms whose subject it is, and the planted leaks."""

import ast

import pytest

from tests.architecture.source_tree import FLOORS, ROOT, modules, name_of, tree

TIME_ROOMS = {"backtest/engine/fills.py", "ml/labels.py"}
PLANTED = "ml/proof/planted_series.py"
MOVES = {"shift", "diff", "roll", "pct_change"}
BACKWARD = {"backward_fill", "bfill", "filtfilt", "savgol_filter", "interpolate"}
FILLS = {"backward", "bfill", "mean", "min", "max", "nearest"}
STRATEGIES = {
    "fill_null": FILLS,
    "fillna": FILLS,
    "reindex": FILLS,
    "join_asof": {"forward", "nearest"},
}


def called(node: ast.Call) -> str:
    """Last part of the name that a call calls."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def is_negative(node: ast.expr) -> bool:
    """Whether an expression is written with a minus in front."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return True
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
        and node.value < 0
    )


def looks_forward(node: ast.Call) -> str | None:
    """Why a call reads values later than its own row, or None."""
    name, words = called(node), {k.arg: k.value for k in node.keywords}
    if name in BACKWARD:
        return f"{name} fills from later rows"
    steps = {"n", "periods", "shift"}
    if name in MOVES and any(
        is_negative(v) for v in [*node.args[:2], *(v for k, v in words.items() if k in steps)]
    ):
        return f"{name} by a negative number"
    centre = words.get("center")
    if isinstance(centre, ast.Constant) and centre.value is True:
        return f"{name}(center=True)"
    for word in ("strategy", "method"):
        value = words.get(word)
        if isinstance(value, ast.Constant) and value.value in STRATEGIES.get(name, ()):
            return f"{name}({word}={value.value!r})"
    return None


def forward_looks(module: ast.Module) -> list[str]:
    """Every forward look of a module, with its line."""
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
    return [f"line {node.lineno}: {why}" for node in calls if (why := looks_forward(node))]


def test_no_forward_look():
    allowed = {*TIME_ROOMS, PLANTED}
    paths = [path for path in modules(*FLOORS) if name_of(path) not in allowed]
    found = [f"{name_of(path)} {line}" for path in paths for line in forward_looks(tree(path))]
    assert found == []


def test_the_planted_leaks_are_those_that_were_planted():
    found = [line.split(": ")[1] for line in forward_looks(tree(ROOT / PLANTED))]
    assert sorted(found) == [
        "fill_null(strategy='backward')",
        "rolling_mean(center=True)",
        "shift by a negative number",
    ]


def test_only_the_suite_imports_what_is_planted():
    importers = {
        name_of(path)
        for path in modules(*FLOORS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom) and "planted_" in ast.unparse(node)
    }
    assert importers == {"ml/proof/traps.py"}


@pytest.mark.parametrize(
    "leak",
    [
        "pl.col('close').shift(-1)",
        "frame.shift(n=-k)",
        "np.roll(x, -1)",
        "np.roll(x, shift=-1)",
        "x.diff(-2)",
        "pl.col('close').rolling_mean(5, center=True)",
        "frame.rolling(5, center=True).mean()",
        "frame.fill_null(strategy='backward')",
        "frame.fillna(method='bfill')",
        "frame.bfill()",
        "frame.interpolate()",
        "left.join_asof(right, on='date', strategy='forward')",
        "left.join_asof(right, on='date', strategy='nearest')",
        "frame.fill_null(strategy='mean')",
    ],
)
def test_a_planted_leak_is_found(leak: str):
    assert len(forward_looks(ast.parse(leak))) == 1


@pytest.mark.parametrize(
    "clean",
    [
        "pl.col('close').shift(1)",
        "x.diff(1)",
        "np.roll(x, 1)",
        "frame.fill_null(strategy='forward')",
        "left.join_asof(right, on='date', strategy='backward')",
        "frame.rolling(5, center=False)",
        "frame.fill_null(-1)",
    ],
)
def test_what_looks_back_is_left_alone(clean: str):
    assert forward_looks(ast.parse(clean)) == []
