"""A parameter search on files or the embedded market, resumable, with its folder of results.

For: ``weathervane tune``. Not for: the loop (``ml.tuning``), the searchers, or the daily chain,
which decides by walk-forward and never reads a search.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import ParameterError, StoreError
from pipeline.commands.files import results_folder
from pipeline.commands.panels import PanelOptions
from pipeline.commands.tuning_journal import open_journal
from pipeline.commands.tuning_study import Asked, Study, study_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.tuning import Search
    from pipeline.config import Home

Progress = Callable[[str, int, int], None]

MOST_TRIALS = 4096
"""Most sets of a search: the streams of all of them are held for the evidence."""


@dataclass(frozen=True)
class Tuned:
    """What a search left.

    Parameters
    ----------
    summary : dict
        Content of ``tune.json``.
    resumed : int
        Sets that a journal held already.
    """

    summary: dict[str, Any]
    resumed: int


def run_tune(
    asked: Asked,
    source: Path | None = None,
    *,
    out: Path,
    home: Path | None = None,
    progress: Progress | None = None,
    **options: Unpack[PanelOptions],
) -> Tuned:
    """Search, choose a plateau, look at the sessions kept back once, and write the folder.

    Parameters
    ----------
    source : pathlib.Path, optional
        Bars; the embedded synthetic market if missing.
    out : pathlib.Path
        Holds the journal too: the same search into the same folder goes on where it stopped.
    home : pathlib.Path, optional
        Count the trials in the ledger of this home.

    Raises
    ------
    WeathervaneError
        ``E_HOME``, ``E_OBJECTIVE``, ``E_JOURNAL``, ``E_TOO_SHORT``, ``E_TOO_WIDE``, or
        anything wrong with the bars.
    """
    from ml.tuning import TuneSpec, conclude, search
    from pipeline.commands.tuning_files import write_study
    from pipeline.config import open_home

    spec = TuneSpec(asked.searcher, asked.trials, asked.batch, asked.seed)
    if asked.trials > MOST_TRIALS:
        raise ParameterError(
            f"{asked.trials} trials, a search holds at most {MOST_TRIALS:,}",
            where="--trials",
            fix="give fewer; `weathervane sweep` measures more",
            code="E_TOO_WIDE",
        )
    place = None if home is None else open_home(home)
    study = study_of(asked, source, **options)
    folder = results_folder(out)
    with _alone(folder):
        journal = open_journal(folder, study.terms(), trials=asked.trials)
        found = search(
            study.space,
            spec,
            study.evaluation,
            names=study.evaluation.goal.names,
            before=journal.batches(),
            keep=journal.keep,
            progress=None if progress is None else _stage(progress, "search"),
        )
        # A search that ends with no set to take has tried its sets all the same.
        counted = {} if place is None else {"ledger": count_trials(study, found, place)}
        summary = write_study(study, found, conclude(found), folder)
    return Tuned({**summary, **counted}, journal.held)


def count_trials(study: Study, found: "Search", home: "Home") -> dict[str, Any]:
    """Add every set that was tried to the ledger of a home; trying it again adds nothing."""
    from ml.search_tables import ledger_trials
    from ml.trials import trial_frame
    from pipeline.config import load_settings
    from pipeline.store import Store

    settings = load_settings(path=study.source)
    rows = ledger_trials(
        found,
        study.evaluation.returns(found.rows),
        strategy=study.asked.strategy,
        book=study.evaluation.book,
        cost=study.evaluation.cost,
        market=study.evaluation.markets[0],
    )
    name = hashlib.sha256(json.dumps(study.terms(), sort_keys=True).encode()).hexdigest()[:12]
    store = Store(home, universe=settings.universe, calendar=settings.data.calendar)
    account = store.write_trials(trial_frame(rows), run_id=f"tune-{name}")
    return {"universe": settings.universe, "trials": len(rows), "new": account.new}


def bounds_of(text: str | None) -> dict[str, Any] | None:
    """Read ``--bounds``.

    Raises
    ------
    ParameterError
        Not an object of lists.
    """
    from pipeline.commands.files import json_argument

    if text is None:
        return None
    content = json_argument(text)
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ParameterError(
            "bounds are an object of lists", where="--bounds", fix='write {"period": [5, 40]}'
        )
    return content


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


@contextmanager
def _alone(folder: Path) -> "Iterator[None]":
    """Keep another search out of the folder.

    Raises
    ------
    StoreError
        ``E_RUN_BUSY``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".tune.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            "another search writes here",
            where=str(folder),
            fix="wait until it ends, or give another --out",
            code="E_RUN_BUSY",
        ) from None
    try:
        yield
    finally:
        lock.release()
