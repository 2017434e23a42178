"""Averages, money flow, MACD, bands and volume vote; risk sizes the trade.

For: one rule over a space of twelve parameters, long and short, with a stop. Not for: markets
without volume, where two of five voters are silent.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from backtest.conditions import Comparison, Guards, Indicator, Measure, Rules, Votes, above, below
from backtest.conditions import at_least as at_or_above
from backtest.engine import reference
from backtest.indicators import plain
from backtest.indicators.averages import average, macd_histogram
from backtest.indicators.bands import standard_distance
from backtest.indicators.volatility import true_range
from backtest.indicators.volume import money_flow_index, relative_volume
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FLOW_WINDOW, RANGE_WINDOW = 14, 14
"""Bars of the money flow index and of the average true range."""

STOP_RANGES = 2.0
"""Average true ranges from the entry to the stop."""

VOTERS, AGAINST = 5, 2
"""Voters for an entry, volume included; how many of the four others against it end a position."""


class ConfluenceParams(Params):
    """Windows and levels of the voters, the share that must agree, and the risk of a trade.

    ``risk_per_trade`` is the fraction of the account's money that the stop would lose, before
    costs and gaps.
    """

    fast_ma: Annotated[int, Range(5, 20)] = 10
    slow_ma: Annotated[int, Range(15, 50)] = 30
    risk_per_trade: Annotated[float, Range(0.005, 0.05)] = 0.02
    confidence: Annotated[float, Range(0.4, 0.8)] = 0.5
    volume_threshold: Annotated[float, Range(1.0, 3.0)] = 1.2
    mfi_oversold: Annotated[float, Range(10.0, 30.0)] = 20.0
    mfi_overbought: Annotated[float, Range(70.0, 90.0)] = 80.0
    macd_fast: Annotated[int, Range(8, 16)] = 12
    macd_slow: Annotated[int, Range(20, 35)] = 26
    macd_signal: Annotated[int, Range(5, 15)] = 9
    bb_period: Annotated[int, Range(15, 25)] = 20
    bb_width: Annotated[float, Range(1.5, 2.5)] = 2.0

    @classmethod
    def feasible(cls, grid: ParamGrid) -> Bools:
        """Sets with fast_ma < slow_ma, macd_fast < macd_slow, mfi_oversold < mfi_overbought."""
        return np.asarray(
            (grid["fast_ma"] < grid["slow_ma"])
            & (grid["macd_fast"] < grid["macd_slow"])
            & (grid["mfi_oversold"] < grid["mfi_overbought"])
        )


class Confluence:
    """+1 (-1) if at least ``confidence`` of five voters speak for a rise (fall) at a close.

    A rise: the fast average above the slow one; money flow oversold; MACD above its signal; the
    close below the lower band; and volume at its usual size times the threshold, which speaks for
    either side. A position ends when two of the four voters with a side are against it, or at a
    stop two average true ranges from the entry's price. Its size is ``risk_per_trade`` over the
    stop's distance, all cash at most.
    """

    params: ClassVar[type[Params]] = ConfluenceParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close, and how large they are."""
        fast = Indicator(average, {"window": grid["fast_ma"]})
        slow = Indicator(average, {"window": grid["slow_ma"]})
        flow = Indicator(money_flow_index, _all(grid, "window", FLOW_WINDOW))
        names = ("fast", "slow", "signal")
        macd = Indicator(macd_histogram, {name: grid[f"macd_{name}"] for name in names})
        away = Indicator(standard_distance, {"period": grid["bb_period"]})
        active = at_or_above(Indicator(relative_volume), grid["volume_threshold"])
        distance = Indicator(true_range, _all(grid, "window", RANGE_WINDOW))
        room = Indicator(_stops_in_price, _all(grid, "window", RANGE_WINDOW))
        rise: tuple[Comparison, ...] = (
            above(fast, slow),
            below(flow, grid["mfi_oversold"]),
            above(macd, 0.0),
            below(away, -grid["bb_width"]),
        )
        fall: tuple[Comparison, ...] = (
            below(fast, slow),
            above(flow, grid["mfi_overbought"]),
            below(macd, 0.0),
            above(away, grid["bb_width"]),
        )
        needed = _needed(grid["confidence"])
        return Rules(
            size=grid.size,
            enter_long=Votes((*rise, active), needed),
            exit_long=Votes(fall, AGAINST),
            enter_short=Votes((*fall, active), needed),
            exit_short=Votes(rise, AGAINST),
            guards=Guards(
                stop_loss=Measure(STOP_RANGES, distance),
                size=Measure(grid["risk_per_trade"], room),
            ),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[float]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, ConfluenceParams)
        high, low, close = bars.high.tolist(), bars.low.tolist(), bars.close.tolist()
        volume = bars.volume.tolist()
        typical = [(h + d + c) / 3.0 for h, d, c in zip(high, low, close, strict=True)]
        voters = list(
            zip(
                plain.difference(
                    plain.sma(close, params.fast_ma), plain.sma(close, params.slow_ma)
                ),
                plain.money_flow_index(typical, volume, FLOW_WINDOW),
                plain.macd_histogram(close, params.macd_fast, params.macd_slow, params.macd_signal),
                plain.distance(close, params.bb_period),
                strict=True,
            )
        )
        rise = [
            _count(gap > 0.0, mfi < params.mfi_oversold, h > 0.0, z < -params.bb_width)
            for gap, mfi, h, z in map(_neutral, voters)
        ]
        fall = [
            _count(gap < 0.0, mfi > params.mfi_overbought, h < 0.0, z > params.bb_width)
            for gap, mfi, h, z in map(_neutral, voters)
        ]
        active = [
            r is not None and r >= params.volume_threshold for r in plain.relative_volume(volume)
        ]
        needed = int(_needed(np.array([params.confidence]))[0])
        reach = plain.true_range(high, low, close, RANGE_WINDOW)
        return reference.guarded(
            bars,
            reference.Wishes(
                enter_long=[n + a >= needed for n, a in zip(rise, active, strict=True)],
                exit_long=[n >= AGAINST for n in fall],
                enter_short=[n + a >= needed for n, a in zip(fall, active, strict=True)],
                exit_short=[n >= AGAINST for n in rise],
                stop_loss=[None if r is None else STOP_RANGES * r for r in reach],
                size=[None if r is None else params.risk_per_trade * _room(r) for r in reach],
            ),
        )

    def candidates(self) -> ParamGrid:
        """Return 144 sets."""
        return ParamGrid.product(
            self.params,
            {
                "fast_ma": (5, 10, 20),
                "slow_ma": (30, 50),
                "risk_per_trade": (0.01, 0.02),
                "confidence": (0.4, 0.6),
                "mfi_oversold": (20.0, 30.0),
                "macd_signal": (5, 9, 15),
            },
        )


def _all(grid: ParamGrid, name: str, value: int) -> dict[str, Ints]:
    """One parameter that is the same for all sets."""
    return {name: np.full(grid.size, value)}


def _needed(confidence: Floats) -> Ints:
    """Voters that must agree; a share that is a whole number of them asks for no more."""
    return np.ceil(confidence * VOTERS - 1e-9).astype(np.int64)


def _stops_in_price(bars: SymbolBars, *, window: Ints) -> Floats:
    """How many times the stop's distance fits into the price; infinite where nothing moves."""
    with np.errstate(divide="ignore"):
        return 1.0 / (STOP_RANGES * true_range(bars, window=window))


def _room(reach: float) -> float:
    return 1.0 / (STOP_RANGES * reach) if reach > 0.0 else np.inf


def _neutral(voter: tuple[float | None, ...]) -> list[float]:
    """Values that are NaN where they are missing: no comparison with them is true."""
    return [np.nan if value is None else value for value in voter]


def _count(*votes: bool) -> int:
    return sum(votes)


STRATEGIES.register("confluence")(Confluence())
