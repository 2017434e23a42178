"""Many parameter sets over a panel, with their files.

For: ``weathervane sweep``. Not for: choosing a set, which is the business of the decision path.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from backtest.errors import ParameterError
from pipeline.commands.files import (
    read_json,
    results_folder,
    write_json,
    write_parquet,
    write_parquet_parts,
)
from pipeline.commands.panels import PanelOptions, load_panel

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from backtest.market.panel import Panel
    from backtest.params import ParamGrid
    from backtest.strategy import Strategy

WIDEST_BOOK = 4096
"""Most parameter sets whose book returns fit one table."""

SETS_AT_ONCE = 2**17
"""Most parameter sets measured in one go: what a sweep holds in memory does not grow beyond."""

BEST_SHOWN = 5
BOOK_FILE = "book.parquet"

Progress = Callable[[int, int], None]


class _Terms(TypedDict):
    """What every pass over the panel is told."""

    cost: float
    device: str
    progress: Progress | None


@dataclass(frozen=True)
class Asked:
    """Which parameter sets a sweep is asked to run: a file, or a number of samples and a seed."""

    grid: Path | None = None
    samples: int | None = None
    seed: int = 0

    def about(self) -> dict[str, Any]:
        """Plain values for a result's description."""
        drawn = {"samples": self.samples, "seed": None if self.samples is None else self.seed}
        if self.grid is None:
            return drawn
        digest = hashlib.sha256(self.grid.read_bytes()).hexdigest()
        return drawn | {"grid": self.grid.name, "grid_sha256": digest}


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Parameters
    ----------
    summary : dict
        Content of ``sweep.json``.
    best : list of dict
        The sets with the highest mean Sharpe ratio over symbols, best first.
    """

    summary: dict[str, Any]
    best: list[dict[str, Any]]


def run_sweep(
    strategy: str,
    asked: Asked,
    source: Path,
    *,
    out: Path,
    cost_bps: float = 5.0,
    device: str = "cpu",
    book: str | None = None,
    top: int | None = None,
    progress: Progress | None = None,
    **options: Unpack[PanelOptions],
) -> Sweep:
    """Backtest every set on every symbol and write the tables.

    Parameters
    ----------
    device : str
        ``cpu``, or ``cuda`` for a GPU. Where there is none, the CPU does the work, a line of the
        log says so, and ``sweep.json`` names the device that was used.
    book : str, optional
        Also one portfolio per set: ``long-only``, ``dollar-neutral`` or ``sector-neutral``.
    top : int, optional
        Keep only the books of the ``top`` sets with the highest mean Sharpe ratio.

    Raises
    ------
    ParameterError
        ``E_TOO_WIDE``: more sets than a book table holds; or a grid that cannot be used.
    EngineUnavailable
        ``E_DEVICE``: a name of no device.
    """
    from backtest.engine.sweep import fast_engine
    from backtest.portfolio.book import checked_kind, groups
    from backtest.strategy import STRATEGIES

    started, rule = time.perf_counter(), STRATEGIES.get(strategy)
    grid, infeasible = grid_of(rule, asked)
    _refuse(grid.size, book, top)
    engine = fast_engine(rule, grid)
    terms = _terms_of(cost_bps, device, progress, guarded=engine == "lanes")
    loaded = load_panel(source, **options)
    if book is not None:
        groups(loaded.panel.sectors, checked_kind(book))  # refused before anything is written
    folder = results_folder(out)
    wanted = top or (BEST_SHOWN if book is None else grid.size)
    ranked = _measured(folder, loaded.panel, rule, grid, terms, most=wanted)
    loaded.write_quarantine(folder)
    summary = {
        **{"strategy": strategy, "sets": grid.size, "infeasible": infeasible},
        **{"cost_bps": cost_bps, "engine": engine, "device": terms["device"], **asked.about()},
        **loaded.about(),
    }
    summary |= _write_book(folder, loaded.panel, rule, grid, terms, kind=book, ranked=ranked)
    summary["seconds"] = round(time.perf_counter() - started, 3)
    write_json(folder / "sweep.json", summary)
    return Sweep(summary, ranked[: top or BEST_SHOWN])


def _terms_of(cost_bps: float, device: str, progress: Progress | None, *, guarded: bool) -> _Terms:
    from backtest.engine.costs import cost_per_side
    from backtest.engine.device import chosen_device

    chosen = chosen_device(device, guarded=guarded)
    return {"cost": cost_per_side(cost_bps), "device": chosen, "progress": progress}


def grid_of(rule: "Strategy", asked: Asked) -> tuple["ParamGrid", int]:
    """Build the grid that was asked for, and count the infeasible sets that were dropped."""
    from backtest.params import ParamGrid

    if asked.samples is not None:
        if asked.samples < 1:
            raise ParameterError(f"samples = {asked.samples}", fix="give at least 1")
        return ParamGrid.sobol(rule.params, asked.samples, seed=asked.seed)
    assert asked.grid is not None
    content = read_json(asked.grid)
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return ParamGrid.parse(rule.params, content)
    if isinstance(content, dict) and all(isinstance(v, list) for v in content.values()):
        return ParamGrid.parse_product(rule.params, content)
    raise ParameterError(
        "a grid is a list of parameter objects, or an object of lists of values",
        where=str(asked.grid),
        fix='for example {"period": [5, 10, 20]}',
    )


def _refuse(sets: int, book: str | None, top: int | None) -> None:
    """Refuse what cannot be done, before anything is read."""
    if top is not None and top < 1:
        raise ParameterError(f"--top {top}", fix="give at least 1")
    if book is not None and min(sets, top or sets) > WIDEST_BOOK:
        raise ParameterError(
            f"{min(sets, top or sets)} sets, a book table holds at most {WIDEST_BOOK}",
            where="--book",
            fix=f"keep the best by --top N with N up to {WIDEST_BOOK}",
            code="E_TOO_WIDE",
        )


def _measured(
    folder: Path,
    panel: "Panel",
    rule: "Strategy",
    grid: "ParamGrid",
    terms: _Terms,
    *,
    most: int,
) -> list[dict[str, Any]]:
    """Write what every set earned on every symbol, some sets at a time; the best ``most`` sets."""
    import numpy as np

    from backtest.engine.sweep import stream_metrics
    from backtest.engine.tally import COLUMNS
    from backtest.tables import parameter_table, sweep_rows

    sets, sharpe = parameter_table(grid), np.zeros(grid.size)
    starts, symbols = range(0, grid.size, SETS_AT_ONCE), len(panel.symbols)

    def rows() -> Iterator["pl.DataFrame"]:
        for i, start in enumerate(starts):
            part = sets.slice(start, SETS_AT_ONCE)
            some = grid.take(np.arange(start, start + part.height))
            onwards = _onwards(terms["progress"], i * symbols, len(starts) * symbols)
            measured = stream_metrics(panel, rule, some, **(terms | {"progress": onwards}))
            for symbol, table in zip(panel.symbols, measured, strict=True):
                columns = dict(zip(COLUMNS, table, strict=True))
                sharpe[start : start + part.height] += columns["sharpe"]
                yield sweep_rows(symbol, part, columns)

    def place(made: int) -> int:
        """Rows are made for some sets after the other, and stand in the file by symbol."""
        return made % symbols * len(starts) + made // symbols

    write_parquet_parts(folder / "metrics.parquet", rows(), place=place)
    write_parquet(folder / "parameters.parquet", sets)
    return ranking(sets, sharpe / symbols, most)


def _onwards(watch: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of a part that begins after ``before`` of ``total`` steps."""
    return None if watch is None else lambda done, _: watch(before + done, total)


def ranking(sets: "pl.DataFrame", mean_sharpe: "np.ndarray", most: int) -> list[dict[str, Any]]:
    """Return the ``most`` sets with the highest mean Sharpe ratio, best first, ties by ``set``."""
    import numpy as np
    import polars as pl

    best = np.argsort(-mean_sharpe, kind="stable")[:most]
    return sets[best].with_columns(pl.Series("mean_sharpe", mean_sharpe[best])).to_dicts()


def _write_book(
    folder: Path,
    panel: "Panel",
    rule: "Strategy",
    grid: "ParamGrid",
    terms: _Terms,
    *,
    kind: str | None,
    ranked: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write the net book return of the ranked sets, ``date`` and one column a set; facts of it."""
    import polars as pl

    from backtest.engine.books import sweep_book
    from backtest.portfolio.book import MIN_MEMBERS

    if kind is None:
        (folder / BOOK_FILE).unlink(missing_ok=True)  # of an earlier sweep, about other sets
        return {}
    keep = sorted(row["set"] for row in ranked)
    result = sweep_book(panel, rule, grid.take(keep), kind=kind, **terms)
    columns = {f"p{kept}": series for kept, series in zip(keep, result.net_return, strict=True)}
    dates = {"date": pl.Series(panel.dates).cast(pl.Date)}
    write_parquet(folder / BOOK_FILE, pl.DataFrame(dates | columns))
    flat = int((panel.counted.sum(axis=0) < MIN_MEMBERS).sum())
    sets = "all" if len(keep) == grid.size else keep
    return {"book": kind, "book_sets": sets, "book_flat_sessions": flat}
