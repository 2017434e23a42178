"""What a walk-forward is told, and what every parameter set of a strategy earned.

For: the terms of a walk, and the corpus: candidates, defaults and an incumbent swept once over all
history (the sweep is causal, so each past decision reads only the columns before its own close).
Not for: choosing among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.books import sweep_book
from backtest.errors import ParameterError
from backtest.market.panel import Panel
from backtest.params import ParamGrid, default_set
from backtest.portfolio.book import BookKind
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.export.gate import GateConfig
from ml.history import History, StrategyHistory
from ml.market_state import market_state, state_matrix
from ml.policy import PolicyConfig
from ml.trials import config_hash

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WalkSpec:
    """What a walk-forward is told.

    Parameters
    ----------
    policy : PolicyConfig
    gate : GateConfig
    book : BookKind
    cost : float
        Per side, decimal of traded notional.
    incumbent : dict of str to dict
        Per strategy, the parameters that a user runs today.
    seed : int
    universe : str
        Name behind the trials' keys.
    synthetic : bool
        Whether the market is made up; carried into every result.
    """

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    book: BookKind = "dollar-neutral"
    cost: float = 0.0005
    incumbent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    universe: str = "panel"
    synthetic: bool = False


@dataclass(frozen=True)
class Corpus:
    """Every set of one strategy that a walk needs, and what each earned.

    Parameters
    ----------
    grid : ParamGrid
        Candidates first, then the default and the incumbent where they are not candidates.
    candidates : int
    default, incumbent : int
        Rows of these sets; ``incumbent`` is None where none was given.
    book : BookResult
        One stream per set.
    """

    grid: ParamGrid
    candidates: int
    default: int
    incumbent: int | None
    book: BookResult


def corpus(
    panel: Panel, strategy: str, spec: WalkSpec, *, progress: Callable[[int, int], None] | None
) -> Corpus:
    """Sweep a strategy's candidates, its defaults and the incumbent over all history."""
    part = STRATEGIES.get(strategy)
    grid = part.candidates()
    rows = grid.rows() if grid.columns else [{}]
    candidates = len(rows)

    def place(values: dict[str, Any]) -> int:
        if values not in rows:
            rows.append(values)
        return rows.index(values)

    default = place(default_set(part.params))
    incumbent = None
    if strategy in spec.incumbent:
        incumbent = place(part.params.parse(spec.incumbent[strategy]).model_dump())
    full = ParamGrid.of(part.params, rows)
    book = sweep_book(panel, part, full, kind=spec.book, cost=spec.cost, progress=progress)
    return Corpus(full, candidates, default, incumbent, book)


def policy_hash(swept: Corpus, spec: WalkSpec, strategy: str, variant: str) -> str:
    """SHA-256 of a stream of decisions on one strategy: what it is, and what it is judged in.

    Parameters
    ----------
    swept : Corpus
    spec : WalkSpec
    strategy : str
    variant : str
        ``buy_and_hold``, ``default``, ``incumbent``, ``oracle``, ``regime_aware_single``, or the
        name of a learner; ``regime_aware`` is the policy's own.
    """
    if variant == "buy_and_hold":  # one policy, whichever strategy it stands beside
        return config_hash({"fixed": variant, "cost": spec.cost})
    context = {
        "strategy": strategy,
        "book": spec.book,
        "cost": spec.cost,
        "seed": spec.seed,
        "single": variant == "regime_aware_single",
        "candidates": config_hash({"rows": swept.grid.rows()[: swept.candidates]}),
    }
    if variant in ("default", "incumbent"):
        row = swept.default if variant == "default" else swept.incumbent
        parameters = {} if row is None else swept.grid.row(row)
        return config_hash({"fixed": variant, "parameters": parameters, **context})
    own = ("regime_aware", "regime_aware_single", "oracle")
    policy = spec.policy if variant in own else spec.policy.with_learner(variant)
    return policy.hash(oracle=variant == "oracle", **context)


def incumbents_of(given: Any, strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read an incumbent: parameters by strategy, or plain parameters of the only strategy.

    Raises
    ------
    ParameterError
        It is not an object, or names no strategy of this run.
    """
    if not isinstance(given, dict):
        raise ParameterError(
            f"the incumbent is a {type(given).__name__}", fix="give an object of parameters"
        )
    if given and all(isinstance(value, dict) for value in given.values()):
        for name in given:
            STRATEGIES.get(name)
        chosen = {name: given[name] for name in strategies if name in given}
        if not chosen:
            raise ParameterError(
                f"the incumbent names {', '.join(given)}",
                fix=f"name one of {', '.join(strategies)}",
            )
        return chosen
    if len(strategies) != 1:
        raise ParameterError(
            "the incumbent does not say which strategy it is for",
            fix="write {strategy: {parameter: value}}",
        )
    return {strategies[0]: dict(given)}


def history_of(
    panel: Panel,
    corpora: Mapping[str, Corpus],
    *,
    state: tuple[Floats, tuple[str, ...]] | None = None,
) -> History:
    """Put candidate returns and market state on the panel's axis."""
    values, columns = state or state_matrix(market_state(panel.frame().lazy()))
    return History(
        dates=panel.dates,
        strategies={
            name: StrategyHistory(
                one.grid.take(np.arange(one.candidates)),
                one.book.net_return[: one.candidates],
                one.book.turnover[: one.candidates],
            )
            for name, one in corpora.items()
        },
        state=values,
        columns=columns,
    )
