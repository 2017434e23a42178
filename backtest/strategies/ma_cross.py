"""Two moving averages, with volume to confirm the entry.

For: a slow trend rule, long or flat. Not for: markets without volume, unless the threshold is 0.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from backtest.conditions import Fixed, Indicator, Rules, above, all_of, any_of, at_least, below
from backtest.indicators import plain
from backtest.indicators.averages import average
from backtest.indicators.volume import relative_volume
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES


class MaCrossParams(Params):
    """Windows of the two averages in bars, and how many times its usual size volume must be.

    ``volume_threshold`` 0 asks for no confirmation, so volume may be unknown.
    """

    fast: Annotated[int, Range(5, 20)] = 10
    slow: Annotated[int, Range(15, 50)] = 30
    volume_threshold: Annotated[float, Range(0.0, 3.0)] = 1.0

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Keep sets whose fast window is the shorter one; bool, ``[param]``."""
        return np.asarray(grid["fast"] < grid["slow"])


class MaCross:
    """Long if the fast average is above the slow one and volume confirms; flat if it is below.

    Volume confirms when ``volume / SMA(volume, 20) >= volume_threshold``; unknown volume, or
    none for 20 bars, never does. The exit needs no confirmation. Else the target stays what it
    was.
    """

    params: ClassVar[type[Params]] = MaCrossParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        fast = Indicator(average, {"window": grid["fast"]})
        slow = Indicator(average, {"window": grid["slow"]})
        threshold = grid["volume_threshold"]
        confirmed = any_of(Fixed(threshold == 0.0), at_least(Indicator(relative_volume), threshold))
        return Rules(
            size=grid.size,
            enter_long=all_of(above(fast, slow), confirmed),
            exit_long=below(fast, slow),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, MaCrossParams)
        close, volume = bars.close.tolist(), bars.volume.tolist()
        fast, slow = plain.sma(close, params.fast), plain.sma(close, params.slow)
        relative = plain.relative_volume(volume)
        held, out = 0, []
        for t in range(bars.size):
            quick, lazy, usual = fast[t], slow[t], relative[t]
            confirmed = params.volume_threshold == 0 or (
                usual is not None and usual >= params.volume_threshold
            )
            if quick is not None and lazy is not None:
                if quick < lazy:
                    held = 0
                elif quick > lazy and confirmed:
                    held = 1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 66 sets."""
        return ParamGrid.product(
            self.params,
            {
                "fast": (5, 8, 12, 16, 20),
                "slow": (15, 20, 30, 40, 50),
                "volume_threshold": (0.0, 1.0, 1.5),
            },
        )


STRATEGIES.register("ma_cross")(MaCross())
