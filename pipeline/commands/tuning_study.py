"""What a search is asked for, checked, and the market that it is run on.

For: ``tuning`` and ``tuning_files``. Not for: the loop (``ml.tuning``) or files.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from backtest.errors import ParameterError
from pipeline.commands.panels import Loaded, PanelOptions, load_panel

if TYPE_CHECKING:
    from backtest.market.panel import Panel
    from backtest.strategy import Strategy
    from ml.evaluation import Evaluation, Market
    from ml.objective import Goal
    from ml.regime import RegimeFit
    from ml.space import Space

EMBEDDED_SESSIONS = 3024
"""Sessions of the embedded market: twelve years of XNYS, always the same ones."""


@dataclass(frozen=True)
class Asked:
    """What a search is asked for; every field but ``trials`` names the search.

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
    fits : dict of int to RegimeFit
        Of the regime that is judged, by the session of each fit.
    notes : tuple of str
        What a reader should know of the bars, as a search sees them.
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
    fits: "dict[int, RegimeFit]"
    notes: tuple[str, ...] = ()

    def terms(self) -> dict[str, Any]:
        """Everything that tells this search from another one; it may go on to more trials."""
        from ml.evaluation import panel_digest

        told = {**asdict(self.asked), "space": self.space.about()}
        del told["trials"]
        told |= {"panel_sha256": panel_digest(self.panel), "synthetic": self.synthetic}
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain


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
    notes = _narrow(panel.until(stop), goal)
    fits: dict[int, RegimeFit] = {}
    evaluation = Evaluation(
        markets=markets_seen(panel.until(stop), asked, training=stop, fits=fits),
        strategy=rule,
        goal=goal,
        book=book,
        cost=cost,
        combine="worst" if asked.combine == "worst" else "mean",
    )
    made_up = source is None or is_synthetic(source)
    bars = (source, loaded, panel, stop, start)
    return Study(asked, rule, space, *bars, evaluation, made_up, market, fits, notes)


def _narrow(training: "Panel", goal: "Goal") -> tuple[str, ...]:
    """Note of a market so narrow that no book can hold anything.

    Raises
    ------
    DataError
        The search seeks something of such books.
    """
    from backtest.errors import DataError
    from ml.objective import BOOK_METRICS
    from ml.walkforward import breadth_note

    note = breadth_note(training)
    if note is None:
        return ()
    if any(name in BOOK_METRICS for name in goal.metrics):
        what, _, fix = note.rpartition("; ")
        raise DataError(what, where="training window", fix=fix)
    return (note,)


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


def markets_seen(
    panel: "Panel", asked: Asked, *, training: int, fits: "dict[int, RegimeFit]"
) -> "tuple[Market, ...]":
    """Lay a panel out by timeframe, weighted where one regime is judged.

    Regimes are fitted by a schedule that depends on the sessions of the training window alone, so
    that a longer panel only adds later fits.
    """
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
            train=max(1, min(policy.train, training // 3)),
            refit=policy.refit,
            seed=asked.seed,
            fits=fits,
        )
        probability = regime_probability(lane, asked.regime)
    return markets_of(panel, asked.timeframes, probability=probability)
