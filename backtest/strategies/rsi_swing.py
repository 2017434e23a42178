"""The strategy that synthetic worlds are judged with: swings of an RSI around 50.

For: a rule that can follow or fade a move, fast or slowly, so that each regime of a world has
sets that suit it. Not for: a claim that it earns anything on a real market.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np

from backtest.conditions import Comparison, Indicator, Rules
from backtest.indicators import plain
from backtest.indicators.oscillators import smoothed_rsi
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES


class RsiSwingParams(Params):
    """Whether to fade or follow, and how fast.

    ``width`` is the distance from 50 at which a position opens; ``smoothing`` is the span of
    the exponential average over the RSI, in bars (1 = none).
    """

    direction: Literal["reversion", "momentum"] = "reversion"
    period: Annotated[int, Range(2, 60)] = 14
    width: Annotated[float, Range(5.0, 25.0)] = 20.0
    smoothing: Annotated[int, Range(1, 10)] = 1


class RsiSwing:
    """Long below ``50 - width``, short above ``50 + width``, flat again at 50; momentum negates.

    With ``s = EMA(RSI(period), smoothing)``: +1 if ``s < 50 - width``; -1 if ``s > 50 + width``;
    0 if the target was +1 and ``s > 50``, or was -1 and ``s < 50``; else unchanged.
    """

    params: ClassVar[type[Params]] = RsiSwingParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        strength = Indicator(
            smoothed_rsi, {"period": grid["period"], "smoothing": grid["smoothing"]}
        )
        follows, width = grid["direction"] == "momentum", grid["width"]
        low, high = 50.0 - width, 50.0 + width
        return Rules(
            size=grid.size,
            enter_long=Comparison(strength, np.where(follows, high, low), above=follows),
            exit_long=Comparison(strength, 50.0, above=~follows),
            enter_short=Comparison(strength, np.where(follows, low, high), above=~follows),
            exit_short=Comparison(strength, 50.0, above=follows),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, RsiSwingParams)
        sign = -1 if params.direction == "momentum" else 1
        held, out = 0, []
        for s in plain.ema(plain.rsi(bars.close.tolist(), params.period), params.smoothing):
            if s is not None:
                if s < 50.0 - params.width:
                    held = 1
                elif s > 50.0 + params.width:
                    held = -1
                elif (held == 1 and s > 50.0) or (held == -1 and s < 50.0):
                    held = 0
            out.append(sign * held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 140 sets: seven periods, five widths, two smoothings, two directions."""
        return ParamGrid.product(
            self.params,
            {
                "direction": ("reversion", "momentum"),
                "period": (3, 5, 8, 14, 20, 28, 40),
                "width": (5.0, 10.0, 15.0, 20.0, 25.0),
                "smoothing": (1, 3),
            },
        )


STRATEGIES.register("rsi_swing")(RsiSwing())
