"""The scorecard: markets with a known truth in parallel, one card each, one page over all.

For: making it in a folder, for the command ``prove`` and the asset ``scorecard``. Not for: what a
card or the page holds (``ml.proof``).

A card is a file of its own, named by what it was made with, so that a run that was cut short goes
on where it stopped, and changed code or terms make new cards.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError
from pipeline.exports import code_facts, source_sha256
from pipeline.publish import replace_file

if TYPE_CHECKING:
    from backtest.market.panel import Panel
    from ml.decision import TruthTrack
    from ml.proof.card import Card, Terms
    from ml.proof.scorecard_page import Leaks

Progress = Callable[[int, int], None]

FIRST_SEED = 1001
SHORT_SEEDS = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class Task:
    """One market to walk: a world and a seed, or a folder with bars and their truth."""

    world: str
    seed: int
    terms: "Terms"
    source: Path | None = None

    @property
    def name(self) -> str:
        """File name of the card, without its ending."""
        told = {"terms": repr(self.terms), "code": _code(), "source": _content(self.source)}
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        return f"{self.world}-{self.seed}-{key[:12]}"

    def walk(self) -> "Card":
        """Make the card."""
        from ml.proof.card import market_card, synthetic_card

        if self.source is None:
            return synthetic_card(self.world, self.seed, self.terms)  # type: ignore[arg-type]
        panel, truth = load_truth(self.source)
        return market_card(panel, truth, self.terms, world=self.world, seed=self.seed)


@dataclass(frozen=True)
class Proof:
    """What a scorecard says, and which of its goals were missed."""

    values: dict[str, Any]
    missed: tuple[str, ...]


def run_proof(
    out: Path,
    *,
    seeds: int | None = None,
    worlds: Sequence[str] | None = None,
    data: Sequence[Path] = (),
    short: bool = False,
    first_seed: int = FIRST_SEED,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Walk every market and write the page.

    Parameters
    ----------
    out : pathlib.Path
        Cards are kept in its folder ``cards``; those that are there already are not made again.
    seeds : int, optional
        Of every world; the long form's numbers by default.
    worlds : sequence of str, optional
        All by default; none where ``data`` is given.
    data : sequence of pathlib.Path
        Folders with bars and ``truth.parquet``, of any generator; each is a world of its own.
    short : bool
        Small markets, two seeds, no proof of leaks: shows the page, judges nothing.
    workers : int, optional
        Processes; one per core by default.

    Raises
    ------
    DataError
        ``E_TRUTH``: a folder without the truth of its bars.
    """
    from ml.proof.card import SHORT, Card, Terms
    from ml.proof.scorecard import LONG
    from ml.proof.scorecard_page import scorecard_files, scorecard_values
    from ml.walkforward import require_history

    terms = SHORT if short else Terms()
    chosen = list(dict.fromkeys(worlds if worlds is not None else () if data else LONG))
    counts = {w: seeds or (SHORT_SEEDS if short else LONG[w]) for w in chosen}
    tasks = [Task(w, first_seed + k, terms) for w in chosen for k in range(counts[w])]
    for one in data:  # before minutes are spent on other markets
        require_history(len(load_truth(one)[0].dates), terms.policy)
    tasks += [Task(f"files {one.resolve().name}", 0, terms, one) for one in data]
    kept = out / "cards"
    kept.mkdir(parents=True, exist_ok=True)
    _walk_all(tasks, kept, workers or os.cpu_count() or 1, progress)
    cards = [Card.of(json.loads((kept / f"{task.name}.json").read_text())) for task in tasks]
    leaks = None if short else _leaks(out)
    for name, content in scorecard_files(cards, terms, leaks=leaks).items():
        replace_file(out / name, content)
    values = scorecard_values(cards, leaks=leaks)
    replace_file(out / "scorecard.json", _json(values))
    missed = [f"{g['world']}: {g['name']}" for g in values["goals"] if g["status"] == "missed"]
    return Proof(values, tuple(missed))


def load_truth(folder: Path) -> "tuple[Panel, TruthTrack]":
    """Read bars and the state planted at each of their sessions.

    Raises
    ------
    DataError
        ``E_TRUTH``: no ``truth.parquet``, or not a state for every session.
    """
    import numpy as np
    import polars as pl

    from backtest.market.bars import panel_of
    from ml.decision import TruthTrack

    path = folder / "truth.parquet"
    if not path.is_file():
        raise DataError(
            "no truth.parquet",
            where=str(folder),
            fix="give a folder that `weathervane market` wrote, or one with date and state",
            code="E_TRUTH",
        )
    panel = panel_of(folder, calendar="data")[0]
    try:
        frame = pl.read_parquet(path, columns=["date", "state"])
        written = frame.schema["date"] == pl.String
        day = pl.col("date").str.to_date() if written else pl.col("date").cast(pl.Date)
        frame = frame.with_columns(day, pl.col("state").cast(pl.String))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"truth.parquet is not read: {' '.join(str(error).split())[:120]}",
            where=str(folder),
            fix="it needs the columns date and state",
            code="E_TRUTH",
        ) from None
    told = frame.unique().sort("date", "state")
    dates = pl.DataFrame({"date": pl.Series(panel.dates).cast(pl.Date)})
    laid = dates.join(told, on="date", how="left")
    if laid.height != dates.height or laid["state"].has_nulls():
        raise DataError(
            "truth.parquet does not name one state for every session of the bars",
            where=str(folder),
            fix="write date and state, one state per date",
            code="E_TRUTH",
        )
    names = sorted(laid["state"].unique())
    states = laid["state"].to_numpy()
    return panel, TruthTrack(np.searchsorted(np.array(names), states), tuple(names))


def _walk_all(tasks: Sequence[Task], kept: Path, workers: int, progress: Progress | None) -> None:
    """Make the cards that are not there yet, side by side."""
    left = [task for task in tasks if not (kept / f"{task.name}.json").is_file()]
    done = len(tasks) - len(left)
    report = progress or (lambda _done, _total: None)
    report(done, len(tasks))
    for name in THREADS:  # read by each worker when it starts: processes are the threads here
        os.environ.setdefault(name, "1")
    if not left:
        return
    pool = ProcessPoolExecutor(
        min(workers, len(left)), mp_context=get_context("spawn"), initializer=_end_with_parent
    )
    try:
        running = {pool.submit(task.walk): task for task in left}
        for future in as_completed(running):
            replace_file(kept / f"{running[future].name}.json", _json(future.result().plain()))
            done += 1
            report(done, len(tasks))
    finally:  # a failure or Ctrl-C does not wait for markets that nobody asks for any more
        pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when the process that started it is gone, however it went."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def _leaks(out: Path) -> "Leaks":
    """Prove the code's parts causal and the detectors awake, once for each version of the code."""
    from ml.proof.leaks import Finding
    from ml.proof.scorecard_page import Leaks
    from ml.proof.traps import Caught
    from pipeline.proven import leak_findings, trap_findings

    return Leaks(
        tuple(Finding(**{**one, "guilty": tuple(one["guilty"])}) for one in leak_findings(out)),
        tuple(Caught(**one) for one in trap_findings(out)),
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _code() -> str:
    """Digest of what makes a card: source and locked libraries."""
    return f"{source_sha256(('backtest', 'ml'))} {code_facts().lock}"


def _content(source: Path | None) -> str:
    """Digest of a folder's files; empty without a folder."""
    if source is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(p for p in source.iterdir() if p.is_file()):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
