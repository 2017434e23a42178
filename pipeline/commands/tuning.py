"""A parameter search on files or the embedded market, resumable, with its folder of results.

For: ``weathervane tune``. Not for: the loop (``ml.tuning``), the searchers, or the daily chain,
which decides by walk-forward and never reads a search.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import ParameterError, StoreError
from pipeline.commands.files import results_folder
from pipeline.commands.panels import Loaded, PanelOptions, load_panel
from pipeline.commands.tuning_journal import open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.market.panel import Panel
    from backtest.strategy import Strategy
    from ml.evaluation import Evaluation
    from ml.space import Space
    from ml.tuning import Search

Progress = Callable[[str, int, int], None]

EMBEDDED_SESSIONS = 3024
"""Sessions of the embedded market: twelve years of XNYS, always the same ones."""
MOST_TRIALS = 4096
"""Most sets of a search: the streams of all of them are held for the evidence."""


@dataclass(frozen=True)
class Asked:
    """What a search is asked for; every field but ``home`` names the search.

    Parameters
    ----------
    strategy, searcher : str
    trials, batch : int
    objectives, constraints : tuple of str
    regime : str, optional
        Judge by the sessions of one regime.
    timeframes : tuple of str
    combine : str
        ``mean`` or ``worst`` over timeframes.
    book : str
    cost_bps : float
    bounds : dict, optional
        Narrower bounds by parameter.
    lattice : bool
        Only values that the strategy's default grid holds.
    holdout : float
        Share of sessions kept back.
    seed : int
    """

    strategy: str = "rsi_swing"
    searcher: str = "tpe"
    trials: int = 128
    batch: int = 16
    objectives: tuple[str, ...] = ("sharpe",)
    constraints: tuple[str, ...] = ()
    regime: str | None = None
    timeframes: tuple[str, ...] = ("1d",)
    combine: str = "mean"
    book: str = "dollar-neutral"
    cost_bps: float = 5.0
    bounds: dict[str, Any] | None = None
    lattice: bool = False
    holdout: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """A search that is ready to run.

    Parameters
    ----------
    asked : Asked
    strategy : Strategy
    space : Space
    source : pathlib.Path or None
        None for the embedded market.
    loaded : Loaded or None
        How the bars of ``source`` came about.
    panel : Panel
        All sessions; the search sees those before ``stop``.
    stop, start : int
        End of the training window, first session kept back.
    evaluation : Evaluation
    synthetic : bool
    market : str
        Where the bars come from, for people.
    """

    asked: Asked
    strategy: "Strategy"
    space: "Space"
    source: Path | None
    loaded: Loaded | None
    panel: "Panel"
    stop: int
    start: int
    evaluation: "Evaluation"
    synthetic: bool
    market: str

    def terms(self) -> dict[str, Any]:
        """Everything that tells this search from another one."""
        from ml.evaluation import panel_digest

        told = {**asdict(self.asked), "space": self.space.about()}
        told |= {"panel_sha256": panel_digest(self.panel), "synthetic": self.synthetic}
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain


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
        ``E_OBJECTIVE``, ``E_JOURNAL``, ``E_TOO_SHORT``, ``E_TOO_WIDE``, or anything wrong with the
        bars.
    """
    from ml.tuning import TuneSpec, conclude, search
    from pipeline.commands.tuning_files import write_study

    spec = TuneSpec(asked.searcher, asked.trials, asked.batch, asked.seed)
    if asked.trials > MOST_TRIALS:
        raise ParameterError(
            f"{asked.trials} trials, a search holds at most {MOST_TRIALS:,}",
            where="--trials",
            fix="give fewer; `weathervane sweep` measures more",
            code="E_TOO_WIDE",
        )
    study = study_of(asked, source, **options)
    folder = results_folder(out)
    with _alone(folder):
        journal = open_journal(folder, study.terms())
        found = search(
            study.space,
            spec,
            study.evaluation,
            names=study.evaluation.goal.names,
            before=journal.batches(),
            keep=journal.keep,
            progress=None if progress is None else _stage(progress, "search"),
        )
        verdict = conclude(found)
        summary = write_study(study, found, verdict, folder)
        if home is not None:
            summary["ledger"] = count_trials(study, found, home)
    return Tuned(summary, journal.held)


def study_of(asked: Asked, source: Path | None = None, **options: Unpack[PanelOptions]) -> Study:
    """Check what is asked, before anything is written, and read the bars."""
    from backtest.engine.costs import cost_per_side
    from backtest.market.world_files import is_synthetic
    from backtest.portfolio.book import checked_kind, groups
    from backtest.strategy import STRATEGIES
    from ml.evaluation import Evaluation
    from ml.objective import Goal
    from ml.searcher import SEARCHERS
    from ml.space import Space
    from ml.tuning import training_window

    rule, goal = STRATEGIES.get(asked.strategy), Goal.parse(asked.objectives, asked.constraints)
    if asked.regime is not None:
        goal.refuse_trades()
    if asked.lattice and asked.bounds:
        raise ParameterError(
            "bounds and the default grid's values at once", fix="give --bounds or --lattice"
        )
    grid = rule.candidates()
    space = Space.over(grid) if asked.lattice else Space.of(rule.params, asked.bounds)
    SEARCHERS.get(asked.searcher)(space, objectives=len(goal.objectives), seed=asked.seed)
    book, cost = checked_kind(asked.book), cost_per_side(asked.cost_bps)
    loaded, panel, market = _bars(source, **options)
    groups(panel.sectors, book)
    stop, start = training_window(panel, asked.holdout)
    evaluation = Evaluation(
        markets=_markets(panel.until(stop), asked),
        strategy=rule,
        goal=goal,
        book=book,
        cost=cost,
        combine="worst" if asked.combine == "worst" else "mean",
    )
    made_up = source is None or is_synthetic(source)
    return Study(
        asked, rule, space, source, loaded, panel, stop, start, evaluation, made_up, market
    )


def _bars(
    source: Path | None, **options: Unpack[PanelOptions]
) -> tuple[Loaded | None, "Panel", str]:
    """Bars of a source, or the embedded market."""
    if source is not None:
        loaded = load_panel(source, **options)
        return loaded, loaded.panel, str(Path(source).name)
    if any(value for value in options.values()):
        raise ParameterError("options of bars without --data", fix="give --data, or none of them")
    from backtest.market.panel import Panel
    from backtest.market.synthetic import generate
    from pipeline.commands.markets import first_sessions
    from pipeline.config import load_settings

    world = load_settings().world
    panel = Panel.from_frame(generate(world, first_sessions(EMBEDDED_SESSIONS)).bars)
    return None, panel, f"embedded synthetic market ({world.world}, seed {world.seed})"


def _markets(panel: "Panel", asked: Asked) -> Any:
    """Lay the training window out by timeframe, weighted where one regime is judged."""
    from ml.evaluation import markets_of, regime_probability

    probability = None
    if asked.regime is not None:
        from ml.market_state import market_state, state_matrix
        from ml.policy import PolicyConfig
        from ml.regime import REGIMES
        from ml.regime_track import track

        policy = PolicyConfig()
        state, columns = state_matrix(market_state(panel.frame().lazy()))
        lane = track(
            state,
            columns,
            REGIMES.get(policy.regime_model),
            train=max(1, min(policy.train, len(state) // 3)),
            refit=policy.refit,
            seed=asked.seed,
        )
        probability = regime_probability(lane, asked.regime)
    return markets_of(panel, asked.timeframes, probability=probability)


def count_trials(study: Study, found: "Search", home: Path) -> dict[str, Any]:
    """Add every set that was tried to the ledger of a home; trying it again adds nothing."""
    from ml.trials import trial_frame
    from ml.tuning import ledger_trials
    from pipeline.config import load_settings, open_home
    from pipeline.store import Store

    settings = load_settings(path=study.source)
    trained = study.panel.until(study.stop)
    rows = ledger_trials(
        found,
        study.evaluation.returns(found.rows),
        strategy=study.asked.strategy,
        book=study.evaluation.book,
        cost=study.evaluation.cost,
        panel=trained,
    )
    name = hashlib.sha256(json.dumps(study.terms(), sort_keys=True).encode()).hexdigest()[:12]
    store = Store(open_home(home), universe=settings.universe, calendar=settings.data.calendar)
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


def tune_lines(done: Tuned, out: Path) -> list[str]:
    """Say in a few lines what a search found."""
    told = done.summary
    mark = "SYNTHETIC market: " if told["synthetic"] else ""
    lines = [
        f"{mark}{told['market']}, trained on {told['training']['first']} to "
        f"{told['training']['last']}"
    ]
    if done.resumed:
        lines.append(f"went on after {done.resumed} sets that the journal held")
    lines.append(
        f"{told['trials']} sets by {told['searcher']}, {told['feasible']} feasible, "
        f"{len(told['front'])} on the front"
    )
    for role in ("chosen", "highest", "default"):
        held = told["held_back"].get(role) if told["held_back"] else None
        seen = told[role]
        beyond = "" if held is None else f", kept back {_ratio(held['sharpe'])}"
        lines.append(
            f"  {role:<8} Sharpe {_ratio(seen['metrics']['sharpe'])} in training{beyond}: "
            f"{json.dumps(seen['parameters'])}"
        )
    best = told["best_of_search"]
    lines.append(
        f"best of {best['candidates']} sets: deflated Sharpe probability "
        f"{_ratio(best['dsr'])}, PBO {_ratio(best['pbo'])}"
    )
    lines += [f"warning: {edge}" for edge in told["edges"]]
    lines += [f"note: {note}" for note in told["notes"]]
    if "ledger" in told:
        ledger = told["ledger"]
        lines.append(f"ledger: {ledger['new']} new of {ledger['trials']} ({ledger['universe']})")
    return [*lines, f"files: {out}"]


def _ratio(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


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
