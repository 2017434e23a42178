"""Buy weakness: long below an oversold RSI, flat again above an overbought one.

For: the textbook rule with four parameters, long or flat. Not for: shorting (``rsi_swing``).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from backtest.conditions import Indicator, Rules, above, below
from backtest.indicators import plain
from backtest.indicators.oscillators import smoothed_rsi
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES


class RsiReversionParams(Params):
    """Period of the RSI in bars, its two levels, and the span of the average over it in bars."""

    period: Annotated[int, Range(5, 50)] = 14
    overbought: Annotated[float, Range(50.0, 90.0)] = 70.0
    oversold: Annotated[float, Range(10.0, 50.0)] = 30.0
    smoothing: Annotated[int, Range(1, 10)] = 1

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Keep sets whose oversold level is below the overbought one; bool, ``[param]``."""
        return np.asarray(grid["oversold"] < grid["overbought"])


class RsiReversion:
    """With ``s = EMA(RSI(period), smoothing)``: +1 if ``s < oversold``, 0 if ``s > overbought``.

    Else the target stays what it was.
    """

    params: ClassVar[type[Params]] = RsiReversionParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        strength = Indicator(
            smoothed_rsi, {"period": grid["period"], "smoothing": grid["smoothing"]}
        )
        return Rules(
            size=grid.size,
            enter_long=below(strength, grid["oversold"]),
            exit_long=above(strength, grid["overbought"]),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, RsiReversionParams)
        held, out = 0, []
        for s in plain.ema(plain.rsi(bars.close.tolist(), params.period), params.smoothing):
            if s is not None and s > params.overbought:
                held = 0
            if s is not None and s < params.oversold:
                held = 1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 192 sets."""
        return ParamGrid.product(
            self.params,
            {
                "period": (5, 9, 14, 21, 32, 50),
                "overbought": (60.0, 65.0, 70.0, 80.0),
                "oversold": (20.0, 30.0, 35.0, 40.0),
                "smoothing": (1, 3),
            },
        )


STRATEGIES.register("rsi_reversion")(RsiReversion())
