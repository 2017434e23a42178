"""Many parameter sets over a whole universe in one pass.

For: one set with its trades (``backtest``) and the account metrics of every set
(``sweep_metrics``). Not for: portfolios (``books``), and not for choosing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from backtest.engine import device as gpu
from backtest.engine import events, lanes, reference
from backtest.engine.cores import cores, in_order
from backtest.engine.costs import checked_cost
from backtest.engine.plan import Plan, plans_of
from backtest.engine.progress import Progress, counter
from backtest.engine.tally import COLUMNS
from backtest.errors import EngineUnavailable, UnknownNameError
from backtest.market.panel import Panel
from backtest.params import ParamGrid, Params
from backtest.registry import closest
from backtest.result import Account
from backtest.strategy import Strategy

Floats = npt.NDArray[np.float64]

COLUMN_BYTES = 16 * 2**20
"""Memory that the packed columns of one symbol may take, on each core."""

RESULT_BYTES = 16 * 2**20
"""Memory that the metrics of the symbols which one core measures in one go may take."""

ENGINES = ("events", "lanes", "reference")
LATER_ENGINES = ("execution",)


def backtest(
    panel: Panel, strategy: Strategy, params: Params, *, cost: float, engine: str = "events"
) -> list[Account]:
    """Trade every symbol with its own account under one parameter set.

    Parameters
    ----------
    panel : Panel
    strategy : Strategy
    params : Params
    cost : float
        Decimal of traded notional, per side.
    engine : str
        ``events`` (fast; where the rules have guards or sizes it is ``lanes`` that runs), ``lanes``
        or ``reference`` (slow, the judge; it also takes the targets from the strategy's slow twin).

    Returns
    -------
    list of Account
        In the order of ``panel.symbols``.

    Raises
    ------
    EngineUnavailable
        ``E_ENGINE`` for an engine that this installation does not have.
    UnknownNameError
        For a name that is no engine.
    """
    cost, engine = checked_cost(cost), checked_engine(engine)
    plan = Plan(strategy.rules(ParamGrid.of(strategy.params, [params.model_dump()])))
    accounts = []
    for s in range(panel.shape[0]):
        bars = panel.bars(s)
        if engine == "reference":
            accounts.append(reference.account(bars, strategy.reference(bars, params), cost=cost))
            continue
        if engine == "lanes":
            targets = lanes.targets(bars, plan.signals(bars))
        else:
            targets = plan.targets(bars)
        accounts.append(events.account(bars, targets[0], cost=cost))
    return accounts


def fast_engine(strategy: Strategy, grid: ParamGrid) -> str:
    """Return which fast engine some sets need: ``lanes`` where their rules have guards."""
    return "events" if strategy.rules(grid).guards is None else "lanes"


def checked_engine(engine: str) -> str:
    """Return ``engine`` if it can run here.

    Raises
    ------
    EngineUnavailable
        It is an engine, but not of this installation.
    UnknownNameError
        It is none.
    """
    if engine in LATER_ENGINES:
        raise EngineUnavailable(
            f"engine {engine!r} is not part of this version",
            fix=f"use one of {', '.join(ENGINES)}",
        )
    if engine not in ENGINES:
        known = (*ENGINES, *LATER_ENGINES)
        raise UnknownNameError(f"unknown engine {engine!r}", fix=closest(engine, known))
    return engine


def sweep_metrics(
    panel: Panel,
    strategy: Strategy,
    grid: ParamGrid,
    *,
    cost: float,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Floats]:
    """Measure the account of every set on every symbol.

    Returns
    -------
    dict of str to float64, ``[param, symbol]``
        The columns of ``COLUMNS``; NaN where undefined, but a Sharpe without deviation is 0.
    """
    table = np.empty((panel.shape[0], len(COLUMNS), grid.size))  # [S, M, P]
    measured = stream_metrics(panel, strategy, grid, cost=cost, progress=progress, device=device)
    for s, columns in enumerate(measured):
        table[s] = columns
    return {name: table[:, m].T for m, name in enumerate(COLUMNS)}


def stream_metrics(
    panel: Panel,
    strategy: Strategy,
    grid: ParamGrid,
    *,
    cost: float,
    progress: Progress | None = None,
    device: str = "cpu",
) -> Iterator[Floats]:
    """Measure as :func:`sweep_metrics` does, and hand over one symbol after the other.

    As many symbols are under way as there are cores; what was handed over is not kept. With
    ``device="cuda"`` a GPU measures, where there is one (``engine.device``).

    Yields
    ------
    float64, ``[column, param]``
        In the order of ``panel.symbols`` and ``COLUMNS``.
    """
    cost = checked_cost(cost)
    tick = counter(progress, panel.shape[0])
    plans = plans_of(strategy, grid, panel.shape[1], limit=COLUMN_BYTES)

    def measured(rows: range) -> list[Floats]:
        return [_measured(panel, s, plans, cost) for s in rows]

    # Several symbols at a time: handing over costs as much as measuring a small grid on one.
    most = max(1, RESULT_BYTES // (8 * len(COLUMNS) * max(1, grid.size)))
    size = max(1, min(most, panel.shape[0] // (4 * cores())))
    parts = [
        range(start, min(start + size, panel.shape[0])) for start in range(0, panel.shape[0], size)
    ]
    results: Iterable[list[Floats]] = in_order(measured, parts)
    if gpu.chosen_device(device, guarded=any(plan.guarded for plan in plans)) == "cuda":
        results = ([one] for one in gpu.metrics(panel, plans, sets=grid.size, cost=cost))
    for columns in itertools.chain.from_iterable(results):
        tick()
        yield columns


def _measured(panel: Panel, symbol: int, plans: Sequence[Plan], cost: float) -> Floats:
    """Measure all sets on one symbol; ``[column, param]``."""
    bars = panel.bars(symbol)
    parts = []
    for plan in plans:
        measure = lanes.metrics if plan.guarded else events.metrics
        signals, year = plan.signals(bars), panel.periods_per_year
        parts.append(measure(bars, signals, cost=cost, periods_per_year=year))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
