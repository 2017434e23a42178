"""One portfolio for every parameter set, or for mixes of sets, over a whole universe in one pass.

For: book returns of every set (``sweep_book``) and of mixes that change from session to session
(``mix_book``). Everything here is causal: the return of a session depends on bars up to that
session only, so one sweep over all history serves every past decision. Not for: accounts of single
symbols (``sweep``), and not for the definition of a book (``portfolio.book``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine import device as gpu
from backtest.engine import streams
from backtest.engine.costs import checked_cost
from backtest.engine.fills import deciding_bar, legs
from backtest.engine.plan import Plan, plans_of
from backtest.engine.progress import Progress, counter
from backtest.market.panel import Panel, SymbolBars
from backtest.params import ParamGrid
from backtest.portfolio.book import (
    GROSS_FLOOR,
    MIN_MEMBERS,
    BookKind,
    checked_kind,
    groups,
)
from backtest.result import BookResult
from backtest.strategy import Strategy

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scaling = tuple[Floats, Floats]

BLOCK_BYTES = 128 * 2**20
"""Memory that the working arrays ``[param, time]`` of one block of sets may take."""


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
        ``cpu``, or ``cuda`` for a GPU, where there is one.

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
    guarded = device != "cpu" and strategy.rules(grid).guards is not None
    if gpu.chosen_device(device, guarded=guarded) == "cuda":
        gain, turnover = _gpu_books(panel, strategy, grid, kind=kind, progress=progress)
        return BookResult(gain - cost * turnover, turnover)
    sessions = panel.shape[1]
    gain, turnover = np.zeros((grid.size, sessions)), np.zeros((grid.size, sessions))
    blocks = list(_blocks(grid, sessions))
    tick = counter(progress, 2 * len(blocks) * panel.shape[0])
    for start, block in blocks:
        rows, plan = slice(start, start + block.size), Plan(strategy.rules(block))
        for group in groups(panel.sectors, kind):
            scaling = _scaling(panel, plan, group=group, kind=kind, tick=tick)
            for s in group:
                bars = panel.bars(int(s))
                targets = _book_targets(plan, bars, kind=kind)
                timing = (bars.at, _deciding(bars, panel.member[s]))
                streams.walk_sets(
                    targets, timing, legs(bars), scaling, (gain[rows], turnover[rows])
                )
                tick()
    return BookResult(gain - cost * turnover, turnover)


def _gpu_books(
    panel: Panel,
    strategy: Strategy,
    grid: ParamGrid,
    *,
    kind: BookKind,
    progress: Progress | None,
) -> tuple[Floats, Floats]:
    """Gain before costs and turnover of every set, from a GPU; each ``[param, time]``."""
    plans = plans_of(strategy, grid, panel.tradable.size, limit=gpu.DEVICE_BYTES)
    tick = counter(progress, len(plans) * panel.shape[0])
    decisions = [_deciding(panel.bars(s), panel.member[s]) for s in range(panel.shape[0])]
    return gpu.books(panel, plans, decisions, kind=kind, tick=tick)


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
    tick, plan = counter(progress, 2 * panel.shape[0]), Plan(strategy.rules(grid))
    for group in groups(panel.sectors, kind):
        scaling = _scaling(panel, plan, group=group, kind=kind, tick=tick)
        mix = (member, *streams.scale_mix((member, share), scaling))
        for s in group:
            bars = panel.bars(int(s))
            targets = _book_targets(plan, bars, kind=kind)
            timing = (bars.at, _deciding(bars, panel.member[s]))
            time_first = np.ascontiguousarray(targets.T)  # [T, P]
            streams.walk_mixes(time_first, timing, legs(bars), mix, (gain, turnover))
            tick()
    return BookResult(gain - cost * turnover, turnover)


def _blocks(grid: ParamGrid, sessions: int) -> Iterator[tuple[int, ParamGrid]]:
    """Cut the grid so that four arrays ``[param, time]`` fit into the memory allowed."""
    rows = max(1, BLOCK_BYTES // max(1, 32 * sessions))
    for start in range(0, grid.size, rows):
        yield start, grid.take(np.arange(start, min(start + rows, grid.size)))


def _book_targets(plan: Plan, bars: SymbolBars, *, kind: BookKind) -> Array:
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
    *,
    group: Ints,
    kind: BookKind,
    tick: Callable[[], None],
) -> Scaling:
    """First passes over a group: what turns a position into a weight at each close."""
    counted = panel.counted
    members = counted.sum(axis=0)  # [T]
    shape = (plan.size, panel.shape[1])
    if kind == "long-only":
        for _ in group:
            tick()
        scale = np.where(members >= MIN_MEMBERS, 1.0 / np.maximum(members, 1), 0.0)
        return np.zeros(shape), np.ascontiguousarray(np.broadcast_to(scale, shape))
    inside = counted[group].sum(axis=0)  # [T]

    def positions(s: int) -> tuple[Array, Ints]:
        """What the sets want of one symbol where it counts, and when."""
        bars = panel.bars(s)
        targets, counts = plan.targets(bars), counted[s, bars.at]
        return targets if counts.all() else targets * counts.astype(targets.dtype), bars.at

    if not plan.sized:
        longs, shorts = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
        for s in group:
            streams.count_sides(*positions(int(s)), longs, shorts)
            tick()
        return streams.centre_and_scale(longs, shorts, inside, members, (MIN_MEMBERS, GROSS_FLOOR))
    # Sizes are many: the mean takes a pass of its own before distances from it can be added up.
    mean, gross = np.zeros(shape), np.zeros(shape)
    for s in group:
        streams.add_positions(*positions(int(s)), mean)
    mean /= np.maximum(inside, 1)
    for s in group:
        streams.add_distances(*positions(int(s)), counted[s], (mean, gross))
        tick()
    traded = (inside > 0) & (members >= MIN_MEMBERS)
    share = np.where(traded, inside / np.maximum(members, 1), 0.0)
    return np.where(traded, mean, 0.0), share / np.maximum(
        gross, GROSS_FLOOR * np.maximum(inside, 1)
    )
