"""Buy weakness, sell strength: long below an oversold RSI, flat above an overbought one.

For: the textbook rule with four parameters, long or flat. Not for: shorting (``rsi_swing``).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators import plain
from backtest.indicators.averages import ema
from backtest.indicators.oscillators import rsi
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES, Targets


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

    def targets(self, bars: SymbolBars, grid: ParamGrid) -> Targets:
        """Target positions at each close; int8, ``[param, bar]``."""
        pairs, which = np.unique(
            np.stack([grid["period"], grid["smoothing"]], axis=1), axis=0, return_inverse=True
        )  # [K, 2], [P]
        periods, source = np.unique(pairs[:, 0], return_inverse=True)
        strength = ema(rsi(bars.close, periods), source, pairs[:, 1])  # [K, T]
        targets: Targets = _revert(
            strength, which.reshape(-1), grid["oversold"], grid["overbought"]
        )
        return targets

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


@njit(cache=True, nogil=True)
def _revert(strength: Any, which: Any, oversold: Any, overbought: Any) -> Any:
    """Walk the rule for every set; a NaN fails both comparisons, so the target stays."""
    bars = strength.shape[1]
    out = np.zeros((which.size, bars), dtype=np.int8)
    for p in range(which.size):
        held = 0
        for t in range(bars):
            s = strength[which[p], t]
            if s < oversold[p]:
                held = 1
            elif s > overbought[p]:
                held = 0
            out[p, t] = held
    return out


STRATEGIES.register("rsi_reversion")(RsiReversion())
