"""The sweep on a GPU: columns are packed on the CPU, a GPU walks all sets of all symbols.

For: the metrics and the books of ``sweep`` with the same results, where there is a GPU. Not for:
the kernels (``device_accounts``, ``device_books``), which are imported only when they are launched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backtest.engine import prefix
from backtest.engine.bits import NEVER, WORD
from backtest.engine.cores import in_order
from backtest.engine.fills import legs
from backtest.engine.plan import Plan
from backtest.engine.tally import columns_of
from backtest.errors import EngineUnavailable
from backtest.market.panel import Panel, SymbolBars
from backtest.portfolio.book import GROSS_FLOOR, MIN_MEMBERS, BookKind, groups

if TYPE_CHECKING:
    from torch import Tensor

    from backtest.engine.device_accounts import Market

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEVICES = ("cpu", "cuda")

DEVICE_BYTES = 2**30
"""Memory of the GPU that accounts may take at a time; of a book, its columns, and all the rest."""


def chosen_device(asked: str, *, guarded: bool = False) -> str:
    """Return the device that a sweep runs on: ``cuda`` only where it can be used.

    Says so in one line of the log where a GPU was asked for and the CPU does its work, as it does
    for rules with guards.

    Raises
    ------
    EngineUnavailable
        ``E_DEVICE`` for a name that is neither ``cpu`` nor ``cuda``.
    """
    if asked not in DEVICES:
        raise EngineUnavailable(
            f"no engine here for device {asked!r}",
            fix=f"use one of {', '.join(DEVICES)}",
            code="E_DEVICE",
        )
    if asked == "cpu":
        return asked
    missing = "the strategy has guards" if guarded else lacking()
    if missing is None:
        return asked
    logger.warning("device cuda cannot be used (%s): the sweep runs on the CPU instead", missing)
    return "cpu"


def lacking() -> str | None:
    """What a sweep on a GPU lacks here, or None."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    import torch

    return None if torch.cuda.is_available() else "Torch finds no GPU"


def metrics(
    panel: Panel, plans: Sequence[Plan], *, sets: int, cost: float, on: str = "cuda"
) -> Iterator[Floats]:
    """Measure the account of every set on every symbol, many symbols in one launch.

    Parameters
    ----------
    panel : Panel
    plans : sequence of Plan
        Parts of the grid, in order.
    sets : int
        Of all parts.
    cost : float
        Decimal of traded notional, per side.
    on : str
        Torch's name of the device.

    Yields
    ------
    float64, ``[column, param]``
        In the order of ``panel.symbols`` and ``tally.COLUMNS``.
    """
    from backtest.engine import device_accounts

    columns = max(plan.columns for plan in plans)
    each = device_accounts.bytes_of(panel.shape[1], columns=columns, sets=sets)
    for chunk in parts_of(panel.shape[0], each, DEVICE_BYTES):
        bars = [panel.bars(s) for s in chunk]
        market, walked = market_of(bars, on), []
        for plan in plans:
            packed, sides, shorts = packed_columns(plan, bars, on)
            found = device_accounts.walk(packed, sides, market, cost=cost, shorts=shorts)
            walked.append(found.cpu().numpy())
        for one, told in zip(bars, np.concatenate(walked, axis=2), strict=True):
            yield columns_of(told, bars=one.size, periods_per_year=panel.periods_per_year)


def books(
    panel: Panel,
    plans: Sequence[Plan],
    decisions: Sequence[Ints],
    *,
    kind: BookKind,
    tick: Callable[[], None],
    on: str = "cuda",
) -> tuple[Floats, Floats]:
    """Run the book of every set.

    Parameters
    ----------
    panel : Panel
    plans : sequence of Plan
        Parts of the grid, in order.
    decisions : sequence of int64, each ``[bar]``
        For each symbol, the bar that decides what fills at each bar's open; -1: no weight.
    kind : BookKind
    tick : callable
        Called once for each part and symbol.
    on : str
        Torch's name of the device.

    Returns
    -------
    gain, turnover : float64, ``[param, time]``
        Before costs.
    """
    bars = [panel.bars(s) for s in range(panel.shape[0])]
    universe = _universe(panel, bars, decisions, kind=kind, on=on)
    found = []
    for plan in plans:
        packed, sides, shorts = packed_columns(plan, bars, on, tick)
        each = 16 * packed.shape[0] * packed.shape[1] + 32 * panel.shape[1]
        for part in parts_of(sides.shape[1], each, DEVICE_BYTES):
            of = sides[:, part.start : part.stop].contiguous()
            found.append(_books_of(packed, of, universe, shorts=shorts))
    gains, turnovers = zip(*found, strict=True)
    return np.concatenate(gains), np.concatenate(turnovers)


def parts_of(count: int, each: int, limit: int) -> list[range]:
    """Cut so many into parts, each as large as a limit of memory allows, and of at least one.

    Examples
    --------
    >>> parts_of(5, 10, 25)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    size = max(1, limit // each)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def packed_columns(
    plan: Plan, bars: Sequence[SymbolBars], on: str, tick: Callable[[], None] | None = None
) -> tuple[Tensor, Tensor, bool]:
    """Columns ``[symbol, word, column]``, those of each set ``[4, param]``, and who sells short.

    Sets of a block read columns that lie side by side where words come before columns.
    """
    words = max(1, *(-(-one.size // WORD) for one in bars))
    columns = np.zeros((len(bars), words, plan.columns), dtype=np.int64)

    def pack(part: range) -> tuple[Ints, ...]:
        signals = plan.signals(bars[part.start])
        columns[part.start, : signals.columns.shape[1]] = signals.columns.view(np.int64).T
        return signals.sides

    sides: tuple[Ints, ...] = ()  # the same for every symbol
    for sides in in_order(pack, [range(s, s + 1) for s in range(len(bars))]):  # noqa: B007
        if tick is not None:
            tick()
    shorts = bool((sides[2] != NEVER).any())
    return _moved(columns, on), _moved(np.stack(sides).astype(np.int32), on), shorts


def _moved(values: Array, on: str) -> Tensor:
    """Copy an array to a device."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(on)


def market_of(bars: Sequence[SymbolBars], on: str) -> Market:
    """Prices of several symbols side by side, and what ``prefix`` makes of them."""
    from backtest.engine import device_accounts

    shape = (len(bars), max(1, *(one.size for one in bars)))
    opens, closes, before = np.ones(shape), np.ones(shape), np.zeros((*shape, 4))
    for s, one in enumerate(bars):
        opens[s, : one.size], closes[s, : one.size] = one.open, one.close
        before[s, : one.size] = prefix.sums_of(one.close)
    sizes = np.array([one.size for one in bars], dtype=np.int32)
    opened, closed = _moved(opens, on), _moved(closes, on)
    extremes = device_accounts.extremes_of(closed)
    return device_accounts.Market(opened, closed, _moved(before, on), extremes, _moved(sizes, on))


@dataclass(frozen=True)
class _Universe:
    """What the books of all sets share, on the device.

    Groups come with their symbols and with how many of them count at each session.
    """

    groups: list[tuple[Tensor, Tensor]]  # int32 [member], int32 [time]
    members: Tensor  # int32 [time]
    counted: Tensor  # int32 [symbol, time]: bar, or -1 where the symbol does not count
    timing: tuple[Tensor, Tensor, Tensor]
    legs: tuple[Tensor, Tensor]
    fixed: tuple[Tensor, Tensor] | None  # mean and scale [1, time] of a long-only book
    floor: Tensor


def _universe(
    panel: Panel, bars: Sequence[SymbolBars], decisions: Sequence[Ints], *, kind: BookKind, on: str
) -> _Universe:
    """Lay bars out by session, and move them."""
    counted, decides, decided = (np.full(panel.shape, -1, dtype=np.int32) for _ in range(3))
    since, overnight, intraday = (
        np.zeros_like(counted),
        np.zeros(panel.shape),
        np.zeros(panel.shape),
    )
    for s, (one, decision) in enumerate(zip(bars, decisions, strict=True)):
        counted[s, one.at] = np.where(panel.member[s, one.at], np.arange(one.size), -1)
        decides[s, one.at] = decision
        # Held until an open is what filled at the open of the bar before.
        decided[s, one.at[1:]], since[s, one.at[1:]] = decision[:-1], one.at[decision[:-1]]
        overnight[s, one.at], intraday[s, one.at] = legs(one)
    teams = groups(panel.sectors, kind)
    members = panel.counted.sum(axis=0, dtype=np.int32)
    fixed = None
    if kind == "long-only":
        weight = np.where(members >= MIN_MEMBERS, 1.0 / np.maximum(members, 1), 0.0)[None]
        fixed = _moved(np.zeros_like(weight), on), _moved(weight, on)
    sizes = [panel.counted[team].sum(axis=0, dtype=np.int32) for team in teams]
    return _Universe(
        groups=[
            (_moved(team.astype(np.int32), on), _moved(size, on))
            for team, size in zip(teams, sizes, strict=True)
        ],
        members=_moved(members, on),
        counted=_moved(counted, on),
        timing=(_moved(decides, on), _moved(decided, on), _moved(since, on)),
        legs=(_moved(overnight, on), _moved(intraday, on)),
        fixed=fixed,
        floor=_moved(np.array([GROSS_FLOOR]), on),
    )


def _books_of(
    packed: Tensor, sides: Tensor, universe: _Universe, *, shorts: bool
) -> tuple[Floats, Floats]:
    """Gain and turnover ``[param, time]`` of some sets."""
    import torch

    from backtest.engine import device_books

    symbols, words, _ = packed.shape
    sets, on = sides.shape[1], packed.device
    planes = torch.empty((2 if shorts else 1, symbols, words, sets), dtype=torch.int64, device=on)
    device_books.hold(packed, sides, planes)
    shape = (sets, len(universe.members))
    gain, turnover, mean, scale = (
        torch.zeros(shape, dtype=torch.float64, device=on) for _ in range(4)
    )
    if universe.fixed is not None:  # a long-only book has no shorts
        planes = planes[:1]
    for group, inside in universe.groups:
        scaling = universe.fixed or (mean, scale)
        if universe.fixed is None:
            sizes, limits = (inside, universe.members), (universe.floor, MIN_MEMBERS)
            device_books.scale(planes, group, universe.counted, sizes, limits, scaling)
        device_books.add(planes, group, universe.timing, universe.legs, scaling, (gain, turnover))
    return gain.cpu().numpy(), turnover.cpu().numpy()
