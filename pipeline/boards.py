"""The board: every learner on every market, in parallel, one cell each, one page over all.

For: making it in a folder, for the command ``board`` and the asset ``board``. Not for: what a cell
or the page holds (``ml.proof``).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError
from pipeline.cells import Progress, cell_key, make_cells, plain_json
from pipeline.planted import load_truth, truth_beside
from pipeline.publish import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.market.panel import Panel
    from ml.decision import TruthTrack
    from ml.proof.card import Terms
    from ml.proof.cell import Cell
    from pipeline.store import Store

FIRST_SEED = 2001
"""Of the first market of each world; the scorecard's markets are others."""

SEEDS = {"clear": 10, "murky": 10, "null": 10, "constant": 5}
"""Markets of each world."""

TRIALS = "trials.parquet"


@dataclass(frozen=True)
class Task:
    """One market: a world and a seed, or bars that somebody hands in."""

    market: str
    seed: int
    terms: "Terms"
    learners: tuple[str, ...] | None
    strategies: tuple[str, ...] | None = None
    source: Path | None = None

    @property
    def name(self) -> str:
        """File name of the cell, without its ending."""
        from backtest.market.world_files import note_beside

        told, sources = (self.terms, self.learners, self.strategies), []
        if self.source is not None:  # beside a file lies what says whether it is made up
            beside = (truth_beside(self.source), note_beside(self.source))
            sources = [self.source, *(path for path in beside if path.is_file())]
        return f"{self.market}-{self.seed}-{cell_key(*told, sources=sources)}"

    def walk(self) -> "Cell":
        """Put every learner on the market."""
        from backtest.market.world_files import is_synthetic
        from ml.proof.board import WALKED, market_cell, world_cell

        if self.source is None:
            return world_cell(self.market, self.seed, self.terms, learners=self.learners)  # type: ignore[arg-type]
        panel, truth = _bars(self.source)
        return market_cell(
            panel,
            self.terms,
            market=self.market,
            strategies=self.strategies or WALKED,
            learners=self.learners,
            truth=truth,
            synthetic=is_synthetic(self.source),
        )


def run_board(
    out: Path,
    *,
    seeds: int | Mapping[str, int] | None = None,
    worlds: Sequence[str] | None = None,
    data: Sequence[Path] = (),
    strategies: Sequence[str] | None = None,
    learners: Sequence[str] | None = None,
    short: bool = False,
    first_seed: int = FIRST_SEED,
    workers: int | None = None,
    progress: Progress | None = None,
    ledger: "Callable[[Path], Store] | None" = None,
) -> dict[str, Any]:
    """Put every learner on every market and write the page.

    Parameters
    ----------
    out : pathlib.Path
        Cells are kept in its folder ``cells``; those that are there already are not made again.
    seeds : int or mapping, optional
        Of every world, or by world; 10 by default, 5 of ``constant``.
    worlds : sequence of str, optional
        ``clear, murky, null, constant`` by default; none where ``data`` is given and this is not.
    data : sequence of pathlib.Path
        Bars, each a market named by its file or folder; with ``truth.parquet`` where it is beside.
    strategies : sequence of str, optional
        Walked on ``data``; worlds are made for one.
    learners : sequence of str, optional
        Beside those that are on every board; all but those that train networks by default.
    short : bool
        Small markets, two seeds: shows the page, judges nothing.
    first_seed, workers, progress
        As in ``scorecards.run_proof``.
    ledger : callable, optional
        Opens the store in which looking at bars of ``data`` is counted; nowhere by default.

    Returns
    -------
    dict
        See :func:`ml.proof.board_page.board_values`; with what the ledger made of the trials.

    Raises
    ------
    DataError
        ``E_MARKET``, ``E_TOO_SHORT``, ``E_TRUTH``, or anything wrong with bars of ``data``.
    """
    from ml.proof.board import learners_of
    from ml.proof.card import SHORT, Terms

    terms, chosen = SHORT if short else Terms(), learners_of(learners)
    walked = worlds if worlds is not None else () if data else SEEDS
    tasks = [
        Task(world, first_seed + k, terms, chosen)
        for world in dict.fromkeys(walked)
        for k in range(_markets(seeds, world, short=short))
    ]
    tasks += _handed_in(data, terms, chosen, strategies=strategies)
    made = make_cells(tasks, out / "cells", workers=workers, progress=progress)
    return _show(out, tasks, made, ledger)


def _markets(seeds: int | Mapping[str, int] | None, world: str, *, short: bool) -> int:
    """Markets of a world."""
    asked = seeds if isinstance(seeds, int) else (seeds or {}).get(world)
    return asked or (2 if short else SEEDS.get(world, 10))


def _show(
    out: Path,
    tasks: Sequence[Task],
    made: Sequence[dict[str, Any]],
    ledger: "Callable[[Path], Store] | None",
) -> dict[str, Any]:
    """Count what was looked at, and write the page."""
    from ml.proof.board_page import board_files, board_values
    from ml.proof.cell import Cell

    cells = [Cell.of(values) for values in made]
    own = [(task.source, one) for task, one in zip(tasks, cells, strict=True) if task.source]
    # Before there is a page to look at: what is seen has been counted.
    counted = {} if ledger is None else {one.market: _count(one, ledger(at)) for at, one in own}
    values = board_values(cells)
    files = board_files(cells) | {"board.json": plain_json(values)}
    files |= _trial_files([one for _, one in own])
    if TRIALS not in files:  # those of an earlier run belong to an earlier page
        (out / TRIALS).unlink(missing_ok=True)
    for name, content in files.items():
        replace_file(out / name, content)
    for market, account in counted.items():
        values[market]["ledger"] = account
    return values


def _trial_files(cells: "Sequence[Cell]") -> dict[str, bytes]:
    """Every policy that was looked at on bars handed in; worlds are made anew, and have none."""
    import io

    import polars as pl

    from ml.proof.cell import board_trials
    from ml.trials import trial_frame

    if not cells:
        return {}
    frames = [
        trial_frame(board_trials(one)).select(pl.lit(one.market).alias("market"), pl.all())
        for one in cells
    ]
    sink = io.BytesIO()
    pl.concat(frames).write_parquet(sink)
    return {TRIALS: sink.getvalue()}


def _count(one: "Cell", store: "Store") -> dict[str, Any]:
    """Add every policy of a market to a ledger; looking again adds nothing."""
    from ml.proof.cell import board_trials
    from ml.trials import trial_frame

    rows = board_trials(one)
    hashes = sorted(row.config_hash for row in rows)
    name = hashlib.sha256(" ".join((one.market, one.last, *hashes)).encode()).hexdigest()[:12]
    account = store.write_trials(trial_frame(rows), run_id=f"board-{name}")
    return {"universe": store.universe, "trials": len(rows), "new": account.new}


def _bars(source: Path) -> "tuple[Panel, TruthTrack | None]":
    """Bars, with their truth where it lies beside them."""
    from backtest.market.bars import panel_of

    if truth_beside(source).is_file():
        return load_truth(source)
    return panel_of(source)[0], None


def _handed_in(
    data: Sequence[Path],
    terms: "Terms",
    learners: tuple[str, ...],
    *,
    strategies: Sequence[str] | None,
) -> list[Task]:
    """Markets of somebody's own, refused before minutes are spent on others."""
    from backtest.market.synthetic import WORLD_NAMES
    from backtest.strategy import STRATEGIES
    from ml.walkforward import breadth_note, require_history

    for name in strategies or ():
        STRATEGIES.get(name)
    walked = None if strategies is None else tuple(strategies)
    tasks: dict[str, Task] = {}
    for one in data:
        place = one.resolve()
        market = place.name if place.is_dir() else place.stem
        if market in tasks or market in WORLD_NAMES:
            raise DataError(
                f"{market!r} is the name of another market",
                where=str(one),
                fix="a market is named by its file or folder: rename it, and give it once",
                code="E_MARKET",
            )
        panel, _ = _bars(one)
        require_history(len(panel.dates), terms.policy, fix="give more history")
        if narrow := breadth_note(panel):
            what, _, fix = narrow.rpartition("; ")
            raise DataError(what, where=str(one), fix=fix, code="E_MARKET")
        tasks[market] = Task(market, 0, terms, learners, walked, one)
    return list(tasks.values())
