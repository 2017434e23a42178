"""The board: every learner on every market, in parallel, one cell each, one page over all.

For: making it in a folder, for the command ``board`` and the asset ``board``. Not for: what a cell
or the page holds (``ml.proof``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cells import Progress, cell_key, make_cells, plain_json
from pipeline.publish import replace_file

if TYPE_CHECKING:
    from ml.proof.card import Terms
    from ml.proof.cell import Cell

FIRST_SEED = 2001
"""Of the first market of each world; the scorecard's markets are others."""

SEEDS = {"clear": 10, "murky": 10, "null": 10, "constant": 5}
"""Markets of each world."""


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
        told = (self.terms, self.learners, self.strategies)
        return f"{self.market}-{self.seed}-{cell_key(*told, source=self.source)}"

    def walk(self) -> "Cell":
        """Put every learner on the market."""
        from backtest.market.bars import panel_of
        from ml.proof.board import WALKED, market_cell, world_cell

        if self.source is None:
            return world_cell(self.market, self.seed, self.terms, learners=self.learners)  # type: ignore[arg-type]
        return market_cell(
            panel_of(self.source)[0],
            self.terms,
            market=self.market,
            strategies=self.strategies or WALKED,
            learners=self.learners,
        )


def run_board(
    out: Path,
    *,
    seeds: int | None = None,
    worlds: Sequence[str] | None = None,
    data: Sequence[Path] = (),
    strategies: Sequence[str] | None = None,
    learners: Sequence[str] | None = None,
    short: bool = False,
    first_seed: int = FIRST_SEED,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Put every learner on every market and write the page.

    Parameters
    ----------
    out : pathlib.Path
        Cells are kept in its folder ``cells``; those that are there already are not made again.
    seeds : int, optional
        Of every world; 10 by default, 5 of ``constant``.
    worlds : sequence of str, optional
        ``clear, murky, null, constant`` by default; none where ``data`` is given and this is not.
    data : sequence of pathlib.Path
        Bars, each a market of its own, named by its file.
    strategies : sequence of str, optional
        Walked on ``data``; worlds are made for one.
    learners : sequence of str, optional
        Beside those that they are compared with; all by default.
    short : bool
        Small markets, two seeds: shows the page, judges nothing.
    first_seed, workers, progress
        As in ``scorecards.run_proof``.

    Returns
    -------
    dict
        See :func:`ml.proof.board_page.board_values`.

    """
    from ml.proof.board import learners_of
    from ml.proof.board_page import board_files, board_values
    from ml.proof.card import SHORT, Terms
    from ml.proof.cell import Cell

    terms, chosen = SHORT if short else Terms(), learners_of(learners)
    walked = worlds if worlds is not None else () if data else SEEDS
    tasks = [
        Task(world, first_seed + k, terms, chosen)
        for world in dict.fromkeys(walked)
        for k in range(seeds or (2 if short else SEEDS.get(world, 10)))
    ]
    tasks += _handed_in(data, terms, chosen, strategies=strategies)
    made = make_cells(tasks, out / "cells", workers=workers, progress=progress)
    cells = [Cell.of(values) for values in made]
    values = board_values(cells)
    files = board_files(cells) | {"board.json": plain_json(values)} | _trial_files(cells)
    for name, content in files.items():
        replace_file(out / name, content)
    return values


def _trial_files(cells: "Sequence[Cell]") -> dict[str, bytes]:
    """Every policy that was looked at on somebody's own bars; worlds have no ledger."""
    import io

    import polars as pl

    from ml.proof.cell import board_trials
    from ml.trials import trial_frame

    frames = [
        trial_frame(board_trials(one)).select(pl.lit(one.market).alias("market"), pl.all())
        for one in cells
        if not one.synthetic
    ]
    if not frames:
        return {}
    sink = io.BytesIO()
    pl.concat(frames).write_parquet(sink)
    return {"trials.parquet": sink.getvalue()}


def _handed_in(
    data: Sequence[Path],
    terms: "Terms",
    learners: tuple[str, ...],
    *,
    strategies: Sequence[str] | None,
) -> list[Task]:
    """Markets of somebody's own, refused before minutes are spent on others."""
    from backtest.market.bars import panel_of
    from backtest.strategy import STRATEGIES
    from ml.walkforward import require_history

    for name in strategies or ():
        STRATEGIES.get(name)
    walked = None if strategies is None else tuple(strategies)
    for one in data:
        require_history(len(panel_of(one)[0].dates), terms.policy)
    return [Task(one.resolve().stem, 0, terms, learners, walked, one) for one in data]
