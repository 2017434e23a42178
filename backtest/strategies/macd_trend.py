"""Follow crossings of MACD and its own average, along the long trend only.

For: the textbook MACD with a filter. Not for: trading against the trend.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from backtest.conditions import Fixed, Indicator, Rules, above, all_of, below
from backtest.indicators import plain
from backtest.indicators.averages import average, macd_histogram
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES

Floats = npt.NDArray[np.float64]
Spans = npt.NDArray[np.int64]


class MacdTrendParams(Params):
    """Spans of the two averages and of the average of their difference, and the trend's window.

    All in bars; ``sides`` says whether falling trends are sold, too.
    """

    sides: Literal["long", "both"] = "both"
    fast: Annotated[int, Range(8, 16)] = 12
    slow: Annotated[int, Range(20, 35)] = 26
    signal: Annotated[int, Range(5, 15)] = 9
    trend: Annotated[int, Range(20, 200)] = 100


class MacdTrend:
    """With ``h = MACD - EMA(MACD, signal)``: +1 if ``h > 0`` above the trend, -1 if below both.

    A position ends when ``h`` changes its sign, whatever the trend; else the target stays what it
    was.
    """

    params: ClassVar[type[Params]] = MacdTrendParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        names = ("fast", "slow", "signal")
        histogram = Indicator(macd_histogram, {name: grid[name] for name in names})
        close, trend = Indicator(_close), Indicator(average, {"window": grid["trend"]})
        both = Fixed(grid["sides"] == "both")
        return Rules(
            size=grid.size,
            enter_long=all_of(above(histogram, 0.0), above(close, trend)),
            exit_long=below(histogram, 0.0),
            enter_short=all_of(both, below(histogram, 0.0), below(close, trend)),
            exit_short=above(histogram, 0.0),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, MacdTrendParams)
        close = bars.close.tolist()
        histogram = plain.macd_histogram(close, params.fast, params.slow, params.signal)
        held, out = 0, []
        for price, h, level in zip(close, histogram, plain.sma(close, params.trend), strict=True):
            h = h or 0.0
            if (held == 1 and h < 0.0) or (held == -1 and h > 0.0):
                held = 0
            if held == 0 and level is not None:
                if h > 0.0 and price > level:
                    held = 1
                elif h < 0.0 and price < level and params.sides == "both":
                    held = -1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 108 sets."""
        return ParamGrid.product(
            self.params,
            {
                "sides": ("long", "both"),
                "fast": (8, 12, 16),
                "slow": (20, 26, 35),
                "signal": (5, 9),
                "trend": (50, 100, 200),
            },
        )


def _close(bars: SymbolBars) -> Floats:
    return bars.close[None]


STRATEGIES.register("macd_trend")(MacdTrend())
