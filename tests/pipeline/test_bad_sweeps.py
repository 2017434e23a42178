"""Parameters, grids and options that are wrong: one line, exit code 1, nothing written.

For: what `sweep`, `backtest` and the functions below them refuse, and what they accept at the
edge. Not for: broken bars (`test_bad_bars.py`) or wide grids (`test_wide_sweeps.py`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from backtest.engine import books
from backtest.engine import sweep as engine
from backtest.errors import ParameterError
from backtest.params import MOST_SETS, ParamGrid
from backtest.strategy import STRATEGIES
from pipeline.commands.sweeps import Asked, run_sweep
from tests.backtest.markets import random_panel
from tests.pipeline.cli_runner import weathervane
from tests.pipeline.small_bars import bars, grid_file, saved

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(bars("ABC"), tmp_path_factory.mktemp("bars"))


def options(command: str, data: Path, out: Path, **changed: Any) -> list[Any]:
    """Words of a command that works, some of its options changed."""
    params = ("--params", "{}") if command == "backtest" else ("--samples", 4)
    given = dict([params]) | {"--strategy": "rsi_reversion", "--data": data, "--calendar": "data"}
    given |= {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    if "--grid" in given:
        given.pop("--samples", None)
    return [command, *(word for pair in given.items() for word in pair), "--out", out]


def refused(words: list[Any], out: Path, said: str) -> None:
    ran = weathervane(*words)
    assert ran.code == 1, ran.err
    assert ran.error_line.startswith(said)
    assert ran.out == ""
    assert not out.exists()


@pytest.mark.parametrize("command", ["backtest", "sweep"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cost_bps": 10_000}, "E_COST: cost per side 10000 bps is outside [0, 10000)"),
        ({"cost_bps": 25_000}, "E_COST"),
        ({"cost_bps": -1}, "E_COST: cost per side -1 bps"),
        ({"cost_bps": "nan"}, "E_COST: cost per side nan bps"),
        ({"cost_bps": "inf"}, "E_COST"),
        ({"symbols": "A,BB"}, "E_SYMBOL: no bars of symbol 'BB'"),
        ({"strategy": "rsi_revresion"}, "E_UNKNOWN: unknown strategy 'rsi_revresion', did you"),
        ({"calendar": "XNYSE"}, "E_CALENDAR"),
    ],
)
def test_a_wrong_option_is_one_line_and_no_file(
    command: str, changed: dict[str, Any], said: str, data: Path, tmp_path: Path
):
    refused(options(command, data, tmp_path / "out", **changed), tmp_path / "out", said)


def test_an_engine_that_nobody_knows_is_one_line(data: Path, tmp_path: Path):
    ran = weathervane(*options("backtest", data, tmp_path / "out", engine="lane"))
    assert (ran.code, ran.out) == (1, "")
    assert ran.error_line.startswith("E_UNKNOWN: 'lane' is not one of 'events', ")
    assert not (tmp_path / "out").exists()


GRIDS = [
    ('{"period": [5, 9}', "E_JSON: not JSON"),
    ("", "E_JSON: not JSON"),
    (DEEP, "E_JSON: not JSON"),
    ([], "E_PARAMETER: the grid holds no parameter set, give at least one"),
    ({"period": []}, "E_PARAMETER: the grid holds no parameter set"),
    ({"perod": []}, "E_PARAMETER: unknown parameter 'perod', did you mean 'period'"),
    ({"perod": [5]}, "E_PARAMETER: unknown parameter 'perod', did you mean 'period'"),
    ([{"period": 5}, {"over": 60}], "E_PARAMETER: unknown parameter 'over', did you mean 'over"),
    ({"period": 5}, "E_PARAMETER: a grid is a list of parameter objects"),
    ([5], "E_PARAMETER: a grid is a list of parameter objects"),
    ("null", "E_PARAMETER: a grid is a list of parameter objects"),
    ({"period": [4]}, "E_PARAMETER: parameter 'period' = 4: "),
    ({"period": [5, 51]}, "E_PARAMETER: parameter 'period' = 51: "),
    ({"period": [-5]}, "E_PARAMETER: parameter 'period' = -5: "),
    ({"period": [5.5]}, "E_PARAMETER: parameter 'period' = 5.5: "),
    ({"period": ["five"]}, "E_PARAMETER: parameter 'period' = 'five': "),
    ({"period": [[5]]}, "E_PARAMETER: parameter 'period' = [5]: "),
    ([{"period": None}], "E_PARAMETER: parameter 'period' = None: "),
    ('{"oversold": [NaN]}', "E_PARAMETER: parameter 'oversold' = nan: "),
    ('{"oversold": [1e999]}', "E_PARAMETER: parameter 'oversold' = inf: "),
    ({"oversold": [50], "overbought": [50]}, "E_PARAMETER: all 1 parameter sets break a rule"),
    ([{"oversold": 50, "overbought": 50}] * 3, "E_PARAMETER: all 3 parameter sets break a rule"),
]


@pytest.mark.parametrize(("content", "said"), GRIDS, ids=range(len(GRIDS)))
def test_a_wrong_grid_is_one_line_and_no_file(content: Any, said: str, data: Path, tmp_path: Path):
    grid = grid_file(tmp_path, content)
    refused(options("sweep", data, tmp_path / "out", grid=grid), tmp_path / "out", said)


def test_a_grid_that_is_no_text_is_one_line(data: Path, tmp_path: Path):
    for grid, said in ((tmp_path, "E_FILE: Is a directory"), (data, "E_JSON: not JSON")):
        refused(options("sweep", data, tmp_path / "out", grid=grid), tmp_path / "out", said)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (DEEP, "E_PARAMETER: not JSON"),
        ("null", "E_PARAMETER: parameters must be an object"),
        ('{"oversold": NaN}', "E_PARAMETER: parameter 'oversold' = nan"),
        ('{"period": 51}', "E_PARAMETER: parameter 'period' = 51"),
        ('{"oversold": 50, "overbought": 50}', "E_PARAMETER: parameters {"),
    ],
)
def test_wrong_parameters_are_one_line_and_no_file(
    params: str, said: str, data: Path, tmp_path: Path
):
    refused(options("backtest", data, tmp_path / "out", params=params), tmp_path / "out", said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": -3}, "E_PARAMETER: samples = -3, give at least 1"),
        ({"samples": MOST_SETS + 1}, "E_TOO_WIDE: 16,777,217 parameter sets, a grid holds at most"),
        ({"samples": 10**15}, "E_TOO_WIDE: 1,000,000,000,000,000 parameter sets"),
        ({"top": -1}, "E_PARAMETER: --top -1, give at least 1"),
        ({"samples": 5000, "book": "long-only"}, "E_TOO_WIDE: "),
        ({"samples": 5000, "book": "long-only", "top": 4097}, "E_TOO_WIDE: 4097 sets"),
        ({"book": "sector-neutral"}, "E_BOOK: a sector-neutral book needs sectors"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_line_and_no_file(
    changed: dict[str, Any], said: str, data: Path, tmp_path: Path
):
    refused(options("sweep", data, tmp_path / "out", **changed), tmp_path / "out", said)


def test_the_edges_are_allowed(data: Path, tmp_path: Path):
    """No value at all is the default set; a cost just below everything; more best than sets."""
    grid = grid_file(tmp_path, {})
    words = options("sweep", data, tmp_path, grid=grid, cost_bps=9999.9, top=99, book="long-only")
    assert weathervane(*words).code == 0
    sets = pl.read_parquet(tmp_path / "parameters.parquet")
    assert sets.row(0, named=True) == {
        "set": 0,
        **STRATEGIES.get("rsi_reversion").params().model_dump(),
    }
    about = json.loads((tmp_path / "sweep.json").read_text())
    assert (sets.height, about["sets"], about["book_sets"]) == (1, 1, "all")


def test_a_sweep_without_books_leaves_no_book_of_an_earlier_one(data: Path, tmp_path: Path):
    for book in ({"book": "long-only"}, {}):
        assert weathervane(*options("sweep", data, tmp_path, **book)).code == 0
        assert (tmp_path / "book.parquet").exists() is bool(book)
        assert ("book" in json.loads((tmp_path / "sweep.json").read_text())) is bool(book)


def test_a_fault_in_the_middle_leaves_the_earlier_files_and_no_other(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = options("sweep", data, tmp_path)
    assert weathervane(*words).code == 0
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def broken(*_: object, **__: object) -> Any:
        yield np.zeros((14, 4))
        raise MemoryError

    monkeypatch.setattr(engine, "stream_metrics", broken)
    ran = weathervane(*words)
    assert ran.code == 1
    assert ran.error_line.startswith("E_MEMORY: ")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_functions_refuse_what_the_commands_refuse(data: Path, tmp_path: Path):
    panel, rule = random_panel(2, 30, seed=1), STRATEGIES.get("rsi_swing")
    grid = rule.candidates().take(np.arange(2))
    for cost in (1.0, 2.5, -0.1, np.nan, np.inf):
        for run in (
            lambda cost=cost: engine.sweep_metrics(panel, rule, grid, cost=cost),
            lambda cost=cost: books.sweep_book(panel, rule, grid, kind="long-only", cost=cost),
            lambda cost=cost: engine.backtest(panel, rule, grid.set(0), cost=cost),
        ):
            with pytest.raises(ParameterError, match=r"^E_COST: "):
                run()
    with pytest.raises(ParameterError, match=r"^E_BOOK: .*did you mean 'long-only'"):
        books.sweep_book(panel, rule, grid, kind="longonly", cost=0.0)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^E_BOOK: "):
        run_sweep("rsi_swing", Asked(samples=2), data, out=tmp_path / "out", book="short-only")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [n for n in STRATEGIES.names() if n != "buy_and_hold"])
def test_no_set_and_no_session_are_empty_results(name: str):
    panel, rule = random_panel(3, 30, seed=1), STRATEGIES.get(name)
    grid: ParamGrid = rule.candidates()
    none = grid.take(np.array([], dtype=np.int64))
    assert {v.shape for v in engine.sweep_metrics(panel, rule, none, cost=0.0).values()} == {(0, 3)}
    assert books.sweep_book(panel, rule, none, kind="long-only", cost=0.0).net_return.size == 0
    past = engine.sweep_metrics(panel.until(0), rule, grid, cost=0.0)
    assert (past["trades"] == 0.0).all()
    assert np.isnan(past["turnover"]).all()
    assert all(
        a.equity.size == 0 for a in engine.backtest(panel.until(0), rule, grid.set(0), cost=0.0)
    )
