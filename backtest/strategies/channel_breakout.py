"""Follow a new high of many closes, with stops, a target and sizes by risk.

For: a trend rule that shows all guards, long or short. Not for: prices inside a bar; highs, lows
and guards are those of closes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from backtest.conditions import (
    Comparison,
    Fixed,
    Guards,
    Indicator,
    Measure,
    Rules,
    above,
    all_of,
    below,
)
from backtest.engine import reference
from backtest.indicators import plain
from backtest.indicators.channels import highest_before, lowest_before
from backtest.indicators.volatility import return_deviation
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEVIATION_WINDOW = 60
"""Returns from which a size by volatility is taken."""


class ChannelBreakoutParams(Params):
    """Bars of the entry's channel and the exit's, and the guards of a trade; 0 is none of them.

    ``stop_loss``, ``take_profit`` and ``trailing_stop`` are fractions of the price,
    ``longest`` is in bars. ``volatility_target`` is the deviation per bar that a position may have,
    as a fraction of the account; without one all cash is used.
    """

    sides: Literal["long", "both"] = "long"
    entry: Annotated[int, Range(5, 120)] = 40
    exit: Annotated[int, Range(5, 120)] = 20
    stop_loss: Annotated[float, Range(0.0, 0.3)] = 0.1
    take_profit: Annotated[float, Range(0.0, 1.0)] = 0.0
    trailing_stop: Annotated[float, Range(0.0, 0.3)] = 0.0
    longest: Annotated[int, Range(0, 250)] = 0
    volatility_target: Annotated[float, Range(0.0, 0.05)] = 0.0

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Keep sets with exit <= entry; bool, ``[param]``."""
        return np.asarray(grid["exit"] <= grid["entry"])


class ChannelBreakout:
    """+1 on a close above the highest of the ``entry`` closes before, -1 below the lowest.

    A position ends on a close beyond the other end of the ``exit`` closes before, or by a guard.

    References
    ----------
    C. Faith, Way of the Turtle, 2007.
    """

    params: ClassVar[type[Params]] = ChannelBreakoutParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close, and how large they are."""
        both = Fixed(grid["sides"] == "both")
        target = grid["volatility_target"]
        calm = Indicator(_calm, {"window": np.full(grid.size, DEVIATION_WINDOW)})
        return Rules(
            size=grid.size,
            enter_long=_new_high(grid["entry"]),
            exit_long=_new_low(grid["exit"]),
            enter_short=all_of(both, _new_low(grid["entry"])),
            exit_short=_new_high(grid["exit"]),
            guards=Guards(
                stop_loss=_unless_none(grid["stop_loss"]),
                take_profit=_unless_none(grid["take_profit"]),
                trailing_stop=_unless_none(grid["trailing_stop"]),
                longest=grid["longest"],
                size=Measure(_or_infinite(target), calm),
            ),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[float]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, ChannelBreakoutParams)
        close = bars.close.tolist()

        def beyond(window: int, sign: int) -> list[bool]:
            """Whether a close lies above (below) all of those before."""
            return [
                t >= window and all(sign * close[t] > sign * c for c in close[t - window : t])
                for t in range(len(close))
            ]

        def limit(value: float) -> list[float | None] | None:
            return None if value == 0.0 else [value] * len(close)

        size = None
        if params.volatility_target > 0.0:
            size = [
                None if d is None else params.volatility_target * _inverse(d)
                for d in plain.return_deviation(close, DEVIATION_WINDOW)
            ]
        down = beyond(params.entry, -1)
        return reference.guarded(
            bars,
            reference.Wishes(
                enter_long=beyond(params.entry, 1),
                exit_long=beyond(params.exit, -1),
                enter_short=[params.sides == "both" and fell for fell in down],
                exit_short=beyond(params.exit, 1),
                stop_loss=limit(params.stop_loss),
                take_profit=limit(params.take_profit),
                trailing_stop=limit(params.trailing_stop),
                longest=params.longest,
                size=size,
            ),
        )

    def candidates(self) -> ParamGrid:
        """Return 192 sets."""
        return ParamGrid.product(
            self.params,
            {
                "sides": ("long", "both"),
                "entry": (20, 40, 80),
                "exit": (10, 20),
                "stop_loss": (0.0, 0.08),
                "trailing_stop": (0.0, 0.12),
                "longest": (0, 60),
                "volatility_target": (0.0, 0.01),
            },
        )


def _new_high(window: Ints) -> Comparison:
    return above(Indicator(highest_before, {"window": window}), 0.0)


def _new_low(window: Ints) -> Comparison:
    return below(Indicator(lowest_before, {"window": window}), 0.0)


def _or_infinite(value: Floats) -> Floats:
    return np.where(value == 0.0, np.inf, value)


def _unless_none(value: Floats) -> Measure:
    """A guard that is not there where its parameter is 0."""
    return Measure(_or_infinite(value))


def _calm(bars: SymbolBars, *, window: Ints) -> Floats:
    """One over the deviation of returns; infinite where nothing moves."""
    with np.errstate(divide="ignore"):
        return 1.0 / return_deviation(bars, window=window)


def _inverse(deviation: float) -> float:
    return 1.0 / deviation if deviation > 0.0 else np.inf


STRATEGIES.register("channel_breakout")(ChannelBreakout())
