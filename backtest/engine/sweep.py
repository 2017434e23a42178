"""Many parameter sets over a whole universe in one pass.

For: one set with its trades (``backtest``), the account metrics of every set
(``sweep_metrics``), book returns of every set (``sweep_book``) and of mixes that change from
session to session (``mix_book``). Everything here is causal: the return of a session depends on
bars up to that session only, so one sweep over all history serves every past decision. Not for:
choosing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from backtest.engine import device as gpu
from backtest.engine import events, reference, streams
from backtest.engine.bits import Targets
from backtest.engine.cores import cores, in_order
from backtest.engine.costs import checked_cost
from backtest.engine.fills import deciding_bar, legs
from backtest.engine.plan import Plan
from backtest.errors import EngineUnavailable, UnknownNameError
from backtest.market.panel import Panel, SymbolBars
from backtest.params import ParamGrid, Params
from backtest.portfolio.book import (
    GROSS_FLOOR,
    MIN_MEMBERS,
    BookKind,
    checked_kind,
    groups,
)
from backtest.registry import closest
from backtest.result import Account, BookResult
from backtest.strategy import Strategy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scaling = tuple[Floats, Floats]
Progress = Callable[[int, int], None]

COLUMN_BYTES = 16 * 2**20
"""Memory that the packed columns of one symbol may take, on each core."""

RESULT_BYTES = 16 * 2**20
"""Memory that the metrics of the symbols which one core measures in one go may take."""

BLOCK_BYTES = 128 * 2**20
"""Memory that the working arrays ``[param, time]`` of one block of sets may take."""

ENGINES = ("events", "reference")
LATER_ENGINES = ("lanes", "execution")


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
        ``events`` (fast) or ``reference`` (slow, the judge; it also takes the targets from the
        strategy's slow twin).

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
        else:
            accounts.append(events.account(bars, plan.targets(bars)[0], cost=cost))
    return accounts


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
        The columns of ``events.COLUMNS``; NaN where undefined, but a Sharpe without deviation
        is 0.
    """
    table = np.empty((panel.shape[0], len(events.COLUMNS), grid.size))  # [S, M, P]
    measured = stream_metrics(panel, strategy, grid, cost=cost, progress=progress, device=device)
    for s, columns in enumerate(measured):
        table[s] = columns
    return {name: table[:, m].T for m, name in enumerate(events.COLUMNS)}


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
    ``device="cuda"`` a GPU measures, if there is one (``engine.device``).

    Yields
    ------
    float64, ``[column, param]``
        In the order of ``panel.symbols`` and ``events.COLUMNS``.
    """
    cost = checked_cost(cost)
    tick, plans = _counter(progress, panel.shape[0]), _plans(strategy, grid, panel.shape[1])

    def measured(rows: range) -> list[Floats]:
        return [_measured(panel, s, plans, cost) for s in rows]

    # Several symbols at a time: handing over costs as much as measuring a small grid on one.
    most = max(1, RESULT_BYTES // (8 * len(events.COLUMNS) * grid.size))
    size = max(1, min(most, panel.shape[0] // (4 * cores())))
    parts = [
        range(start, min(start + size, panel.shape[0])) for start in range(0, panel.shape[0], size)
    ]
    results: Iterable[list[Floats]] = in_order(measured, parts)
    if gpu.chosen_device(device) == "cuda":
        results = ([one] for one in gpu.metrics(panel, plans, sets=grid.size, cost=cost))
    for columns in itertools.chain.from_iterable(results):
        tick()
        yield columns


def _measured(panel: Panel, symbol: int, plans: Sequence[Plan], cost: float) -> Floats:
    """Measure all sets on one symbol; ``[column, param]``."""
    bars = panel.bars(symbol)
    parts = [
        events.metrics(bars, plan.signals(bars), cost=cost, periods_per_year=panel.periods_per_year)
        for plan in plans
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _plans(
    strategy: Strategy, grid: ParamGrid, bars: int, *, limit: int | None = None
) -> list[Plan]:
    """Plan the whole grid at once, or in parts where its columns would take too much memory."""
    plan = Plan(strategy.rules(grid))
    parts = -(-plan.columns * bars // 8 // (limit or COLUMN_BYTES))
    if parts <= 1 or grid.size <= 1:
        return [plan]
    cuts = np.array_split(np.arange(grid.size), min(parts, grid.size))
    return [Plan(strategy.rules(grid.take(rows))) for rows in cuts]


def sweep_book(
    panel: Panel,
    strategy: Strategy,
    grid: ParamGrid,
    *,
    kind: BookKind,
    cost: float,
    progress: Progress | None = None,
    device: str = "cpu",
) -> BookResult:
    """Run the book of every parameter set.

    Parameters
    ----------
    panel : Panel
    strategy : Strategy
    grid : ParamGrid
        Sets ``[param]``.
    kind : BookKind
    cost : float
        Decimal of traded notional, per side.
    progress : callable, optional
        Told how many of how many steps are done.
    device : str
        ``cpu``, or ``cuda`` for a GPU, if there is one.

    Returns
    -------
    BookResult
        One stream per set.

    Raises
    ------
    ParameterError
        ``E_BOOK`` or ``E_COST``.
    """
    kind, cost = checked_kind(kind), checked_cost(cost)
    sessions = panel.shape[1]
    if gpu.chosen_device(device) == "cuda":
        plans = _plans(strategy, grid, panel.tradable.size, limit=gpu.DEVICE_BYTES)
        tick = _counter(progress, len(plans) * panel.shape[0])
        decisions = [_deciding(panel.bars(s), panel.member[s]) for s in range(panel.shape[0])]
        gain, turnover = gpu.books(panel, plans, decisions, kind=kind, tick=tick)
        return BookResult(gain - cost * turnover, turnover)
    gain, turnover = np.zeros((grid.size, sessions)), np.zeros((grid.size, sessions))
    blocks = list(_blocks(grid, sessions))
    tick = _counter(progress, 2 * len(blocks) * panel.shape[0])
    for start, block in blocks:
        rows, plan = slice(start, start + block.size), Plan(strategy.rules(block))
        for group in groups(panel.sectors, kind):
            scaling = _scaling(panel, plan, block, group=group, kind=kind, tick=tick)
            for s in group:
                bars = panel.bars(int(s))
                targets = _book_targets(plan, bars, kind=kind)
                timing = (bars.at, _deciding(bars, panel.member[s]))
                streams.walk_sets(
                    targets, timing, legs(bars), scaling, (gain[rows], turnover[rows])
                )
                tick()
    return BookResult(gain - cost * turnover, turnover)


def mix_book(
    panel: Panel,
    strategy: Strategy,
    grid: ParamGrid,
    weights: Floats,
    *,
    kind: BookKind,
    cost: float,
    progress: Progress | None = None,
) -> BookResult:
    """Run books that hold a mix of sets which may change at every close.

    The target at the close of ``t`` is ``sum_p weights[v, t, p] book_weight_p(t)``, filled at the
    open of ``t + 1``. Sets are netted before anything is traded: that is what makes a mix
    cheaper than its members.

    Parameters
    ----------
    panel : Panel
    strategy : Strategy
    grid : ParamGrid
        Sets ``[param]``.
    weights : float64, ``[variant, time, param]``
        Mix decided at each close; finite and not negative. What is missing to 1 is cash.
    kind : BookKind
    cost : float
        Decimal of traded notional, per side.
    progress : callable, optional

    Returns
    -------
    BookResult
        One stream per variant.
    """
    kind, cost = checked_kind(kind), checked_cost(cost)
    expected = (panel.shape[1], grid.size)
    if weights.ndim != 3 or weights.shape[1:] != expected:
        raise ValueError(f"weights are {weights.shape}, expected (variants, {expected})")
    if not np.all((weights >= 0.0) & np.isfinite(weights)):
        raise ValueError("weights must be finite and not negative")
    gain, turnover = np.zeros(weights.shape[:2]), np.zeros(weights.shape[:2])
    used = np.flatnonzero(weights.any(axis=(0, 1)))
    if used.size == 0:
        return BookResult(gain, turnover)
    grid, weights = grid.take(used), np.ascontiguousarray(weights[:, :, used], dtype=np.float64)
    shape = (*weights.shape[:2], max(1, int(np.count_nonzero(weights, axis=2).max())))
    member, share = np.empty(shape, dtype=np.int32), np.zeros(shape)  # [V, T, K]
    streams.sparse_mix(weights, member, share)
    tick, plan = _counter(progress, 2 * panel.shape[0]), Plan(strategy.rules(grid))
    for group in groups(panel.sectors, kind):
        scaling = _scaling(panel, plan, grid, group=group, kind=kind, tick=tick)
        mix = (member, *streams.scale_mix((member, share), scaling))
        for s in group:
            bars = panel.bars(int(s))
            targets = _book_targets(plan, bars, kind=kind)
            timing = (bars.at, _deciding(bars, panel.member[s]))
            time_first = np.ascontiguousarray(targets.T)  # [T, P]
            streams.walk_mixes(time_first, timing, legs(bars), mix, (gain, turnover))
            tick()
    return BookResult(gain - cost * turnover, turnover)


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """Return a counter that reports each step."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick


def _blocks(grid: ParamGrid, sessions: int) -> Iterator[tuple[int, ParamGrid]]:
    """Cut the grid so that four arrays ``[param, time]`` fit into the memory allowed."""
    rows = max(1, BLOCK_BYTES // max(1, 32 * sessions))
    for start in range(0, grid.size, rows):
        yield start, grid.take(np.arange(start, min(start + rows, grid.size)))


def _book_targets(plan: Plan, bars: SymbolBars, *, kind: BookKind) -> Targets:
    """Targets ``[param, bar]`` as the book reads them: a long-only book has no shorts."""
    targets = plan.targets(bars)
    return np.maximum(targets, 0) if kind == "long-only" else targets


def _deciding(bars: SymbolBars, member: Bools) -> Ints:
    """Bar whose close decides each fill; -1 also where the symbol was no member at that close."""
    decision = deciding_bar(bars.at)
    outside = (decision >= 0) & ~member[bars.at[decision]]
    return np.where(outside, -1, decision)


def _scaling(
    panel: Panel,
    plan: Plan,
    grid: ParamGrid,
    *,
    group: Ints,
    kind: BookKind,
    tick: Callable[[], None],
) -> Scaling:
    """First pass over a group: what turns a position into a weight at each close."""
    counted = panel.counted
    members = counted.sum(axis=0)  # [T]
    shape = (grid.size, panel.shape[1])
    if kind == "long-only":
        for _ in group:
            tick()
        scale = np.where(members >= MIN_MEMBERS, 1.0 / np.maximum(members, 1), 0.0)
        return np.zeros(shape), np.ascontiguousarray(np.broadcast_to(scale, shape))
    longs, shorts = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    for s in group:
        bars = panel.bars(int(s))
        targets, inside = plan.targets(bars), counted[s, bars.at]
        if not inside.all():
            targets = targets * inside.astype(np.int8)
        streams.count_sides(targets, bars.at, longs, shorts)
        tick()
    size = counted[group].sum(axis=0)  # [T]
    return streams.centre_and_scale(longs, shorts, size, members, (MIN_MEMBERS, GROSS_FLOOR))
