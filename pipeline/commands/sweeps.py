"""Many parameter sets over a panel, with their files.

For: ``weathervane sweep``. Not for: choosing a set, which is the business of the decision path.
"""

import itertools
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
        return {"samples": self.samples, "seed": None if self.samples is None else self.seed}


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
    from backtest.engine.costs import cost_per_side
    from backtest.engine.device import chosen_device
    from backtest.strategy import STRATEGIES

    started = time.perf_counter()
    rule, cost = STRATEGIES.get(strategy), cost_per_side(cost_bps)
    grid, infeasible = grid_of(rule, asked)
    _refuse(grid.size, book, top)
    device = chosen_device(device)
    loaded = load_panel(source, **options)
    folder = results_folder(out)
    terms: _Terms = {"cost": cost, "device": device, "progress": progress}
    ranked = _measured(folder, loaded.panel, rule, grid, **terms)
    loaded.write_quarantine(folder)
    summary = {
        **{"strategy": strategy, "sets": grid.size, "infeasible": infeasible},
        **{"cost_bps": cost_bps, "engine": "events", "device": device, **asked.about()},
        **loaded.about(),
    }
    if book is not None:
        keep = sorted(row["set"] for row in ranked[: top or grid.size])
        returns = _book(loaded.panel, rule, grid.take(keep), kind=book, **terms)
        write_parquet(folder / "book.parquet", returns.rename(lambda name: _named(name, keep)))
        summary |= {"book": book, "book_sets": "all" if len(keep) == grid.size else keep}
    summary["seconds"] = round(time.perf_counter() - started, 3)
    write_json(folder / "sweep.json", summary)
    return Sweep(summary, ranked[: top or 5])


def grid_of(rule: "Strategy", asked: Asked) -> tuple["ParamGrid", int]:
    """Build the grid that was asked for, and count the infeasible sets that were dropped."""
    from backtest.params import ParamGrid

    if asked.samples is not None:
        if asked.samples < 1:
            raise ParameterError(f"samples = {asked.samples}", fix="give at least 1")
        return ParamGrid.sobol(rule.params, asked.samples, seed=asked.seed)
    assert asked.grid is not None
    rows = _rows(read_json(asked.grid), asked.grid)
    return ParamGrid.parse(rule.params, rows)


def _rows(content: Any, path: Path) -> list[dict[str, Any]]:
    """Turn a grid file into plain rows: a list of sets, or lists of values by parameter."""
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    if isinstance(content, dict) and all(isinstance(v, list) for v in content.values()):
        return [
            dict(zip(content, values, strict=True))
            for values in itertools.product(*content.values())
        ]
    raise ParameterError(
        "a grid is a list of parameter objects, or an object of lists of values",
        where=str(path),
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
    **terms: Unpack[_Terms],
) -> list[dict[str, Any]]:
    """Write what every set earned on every symbol, one symbol at a time; the sets ranked."""
    import numpy as np

    from backtest.engine.events import COLUMNS
    from backtest.engine.sweep import stream_metrics
    from backtest.tables import parameter_table, sweep_rows

    sets, sharpe = parameter_table(grid), np.zeros(grid.size)

    def rows() -> Iterator["pl.DataFrame"]:
        measured = stream_metrics(panel, rule, grid, **terms)
        for symbol, table in zip(panel.symbols, measured, strict=True):
            columns = dict(zip(COLUMNS, table, strict=True))
            np.add(sharpe, columns["sharpe"], out=sharpe)
            yield sweep_rows(symbol, sets, columns)

    write_parquet(folder / "parameters.parquet", sets)
    write_parquet_parts(folder / "metrics.parquet", rows())
    return ranking(sets, sharpe / len(panel.symbols))


def ranking(sets: "pl.DataFrame", mean_sharpe: "np.ndarray") -> list[dict[str, Any]]:
    """Rank sets by their mean Sharpe ratio over symbols, best first, ties by ``set``."""
    import polars as pl

    ranked = sets.with_columns(pl.Series("mean_sharpe", mean_sharpe)).sort(
        "mean_sharpe", "set", descending=[True, False]
    )
    return ranked.to_dicts()


def _book(
    panel: "Panel",
    rule: "Strategy",
    grid: "ParamGrid",
    *,
    kind: str,
    **terms: Unpack[_Terms],
) -> "pl.DataFrame":
    """Net book return of each set: ``date`` and one column per row of the grid, by its number."""
    import polars as pl

    from backtest.engine.sweep import sweep_book

    result = sweep_book(panel, rule, grid, kind=kind, **terms)
    columns = {str(i): series for i, series in enumerate(result.net_return)}
    return pl.DataFrame({"date": pl.Series(panel.dates).cast(pl.Date), **columns})


def _named(column: str, sets: list[int]) -> str:
    """Name a column of a book by its set: ``p`` and the number it has in ``parameters``."""
    return f"p{sets[int(column)]}" if column.isdigit() else column
