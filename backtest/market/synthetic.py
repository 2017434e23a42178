"""Markets with a planted truth: three hidden regimes, each with its own best parameters, or none.

For: worlds in which "regime-aware parameters work" can be shown false, with the state and the
conditional mean of every return kept beside the bars. Not for: forecasts of a real market, and
never for data that is shown without the word synthetic beside it.

The return of symbol ``i`` on session ``t`` is, with ``s`` the state of that session,

    r[i,t] = b[i] (drift[s] + m[t]) + c[i] g[k(i),t] + v[i,t] (loading[s] z[i,t-1] + e[i,t])

``m`` is the market's shock, ``g`` that of the sector, ``e`` a Student-t shock of unit variance,
``v`` the stochastic volatility, and ``z`` the exponentially weighted average of the symbol's past
``v``-standardised idiosyncratic returns, scaled to unit variance, with the half-life of state
``s``. Every random number of session ``t`` comes from a counter-based generator keyed by the
seed with the counter at ``t``, so a longer history extends a shorter one byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from backtest import seeds
from backtest.market.physics import HALF_LIVES, WORLDS, Regime

Floats = npt.NDArray[np.float64]

WorldName = Literal["clear", "murky", "null", "constant", "trend-only", "structural-break"]
WORLD_NAMES: tuple[str, ...] = get_args(WorldName)
STATES = ("sideways", "bull", "bear")
FIRST_SESSION = date(2010, 1, 4)
MEAN_SPELLS = (80.0, 120.0, 50.0)
SECTOR_NAMES = (
    "Technology",
    "Financials",
    "Healthcare",
    "Industrials",
    "Energy",
    "Consumer",
    "Utilities",
    "Materials",
)
_DEGREES = 5.0
_SHOCK_LIMIT = 6.0
_IDIOSYNCRATIC_VOLATILITY = 0.0110
_SECTOR_VOLATILITY = 0.004
_FLOOR = -0.9
"""Return that keeps a price above 0; out of reach but at volatilities far above the planted."""
_BLOCK = 64
"""Sessions drawn ahead."""


def weekdays(count: int) -> list[date]:
    """Return the first ``count`` weekdays from ``FIRST_SESSION`` on: sessions without a calendar.

    Examples
    --------
    >>> weekdays(6)[-1]
    datetime.date(2010, 1, 11)
    """
    return [FIRST_SESSION + timedelta(days=7 * (k // 5) + k % 5) for k in range(count)]


class WorldConfig(BaseModel):
    """Which synthetic market, how wide, and from which seed.

    Parameters
    ----------
    world : str
        One of ``WORLD_NAMES``.
    symbols : int
    seed : int
    overnight_share : float
        Share of a session's variance and mean that falls between the previous close and the
        open; at 0 each open equals the previous close.
    sectors : int
        Number of sectors that the symbols are dealt to in turn.
    factor : float
        Times the planted strength of the market's common shock; at 0 symbols share nothing but
        their sectors, and volatility says nothing of the state.
    volatility : float
        Times every planted standard deviation, common, of sectors and of single symbols.
    volume : float
        Times the planted shift of volume with the state; at 0 volume says nothing of it.
    break_session : int
        Index of the first session with the sign of all loadings reversed; read by the world
        ``structural-break`` alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: WorldName = "clear"
    symbols: Annotated[int, Field(ge=1, le=20_000)] = 100
    seed: Annotated[int, Field(ge=0)] = 0
    overnight_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    sectors: Annotated[int, Field(ge=1, le=len(SECTOR_NAMES))] = len(SECTOR_NAMES)
    factor: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    volatility: Annotated[float, Field(gt=0.0, le=3.0)] = 1.0
    volume: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    break_session: Annotated[int, Field(ge=1)] = 1512


@dataclass(frozen=True)
class World:
    """A synthetic market and what it hides.

    Parameters
    ----------
    config : WorldConfig
    bars : polars.DataFrame
        ``symbol, date, open, high, low, close, volume, sector, currency``, sorted by symbol
        then date.
    truth : polars.DataFrame
        ``date, state, symbol, conditional_mean``: the state's name, and the mean of that
        session's return (close over previous close) given its state and all earlier returns.
    states : int64, ``[time]``
        Index into ``STATES``.
    """

    config: WorldConfig
    bars: pl.DataFrame
    truth: pl.DataFrame
    states: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Draws:
    """Random numbers of one session; arrays are ``[symbol]`` unless said otherwise."""

    state: float
    market: float
    volatility: float
    volume: float
    sector: Floats  # [sector]
    shock: Floats
    own_volatility: Floats
    own_volume: Floats
    night: Floats
    reach: Floats  # [2, symbol]


def _draw(key: int, session: int, config: WorldConfig) -> _Draws:
    """Draw the random numbers of one session from (seed, session) alone."""
    source = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, session]))
    symbols = config.symbols
    common = source.standard_normal(3)
    shock = source.standard_t(_DEGREES, symbols + 1) / np.sqrt(_DEGREES / (_DEGREES - 2.0))
    shock = np.clip(shock, -_SHOCK_LIMIT, _SHOCK_LIMIT)
    return _Draws(
        state=float(source.random()),
        market=float(shock[symbols]),
        volatility=float(common[0]),
        volume=float(common[1]),
        sector=source.standard_normal(len(SECTOR_NAMES))[: config.sectors],
        shock=shock[:symbols],
        own_volatility=source.standard_normal(symbols),
        own_volume=source.standard_normal(symbols),
        night=np.clip(source.standard_normal(symbols), -_SHOCK_LIMIT, _SHOCK_LIMIT),
        reach=np.clip(np.abs(source.standard_normal((2, symbols))), 0.0, 4.0),
    )


def _draws(key: int, sessions: int, config: WorldConfig) -> Iterator[_Draws]:
    """Draw session by session, a block ahead on all cores: no draw needs another one."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, sessions, _BLOCK):
            block = range(first, min(first + _BLOCK, sessions))
            yield from pool.map(lambda t: _draw(key, t, config), block)


def _next_state(state: int | None, uniform: float) -> int:
    """Move the Markov chain by one session; ``None`` starts it from its stationary law."""
    if state is None:
        edges = np.cumsum(MEAN_SPELLS) / np.sum(MEAN_SPELLS)
        return int(np.searchsorted(edges, uniform, side="right"))
    leave = 1.0 / MEAN_SPELLS[state]
    if uniform >= leave:
        return state
    others = [k for k in range(len(STATES)) if k != state]
    return others[int(uniform >= leave / 2.0)]


class _Market:
    """The moving part: one call of :meth:`step` per session, in order."""

    def __init__(self, config: WorldConfig):
        self.config = config
        self.physics = WORLDS[config.world]
        self.key = seeds.integer(config.seed, "market")
        start = seeds.generator(config.seed, "market/symbols")
        n = config.symbols
        self.beta = start.uniform(0.7, 1.3, n)
        self.own = start.uniform(0.8, 1.2, n)
        self.price = np.exp(start.uniform(np.log(20.0), np.log(200.0), n))
        self.turnover = start.uniform(12.0, 15.0, n)
        self.sector = np.arange(n) % config.sectors
        self.state: int | None = None
        self.log_volatility = self.log_volume = 0.0
        self.own_log_volatility = np.zeros(n)
        self.own_log_volume = np.zeros(n)
        self.average = np.zeros((len(HALF_LIVES), n))
        self.decay = np.array([[0.5 ** (1.0 / h)] for h in HALF_LIVES])
        self.scale = np.sqrt((1.0 + self.decay) / (1.0 - self.decay))

    def step(self, t: int, draws: _Draws) -> dict[str, Any]:
        """Make session ``t``: arrays ``[symbol]`` by column, and the state."""
        self.state = _next_state(self.state, draws.state)
        regime = self.physics.regimes[self.state]
        common, volatility = self._volatility(draws)
        broken = self.config.world == "structural-break" and t >= self.config.break_session
        z = (self.scale * self.average)[HALF_LIVES.index(regime.half_life)]
        own_mean = (-regime.loading if broken else regime.loading) * z
        mean = self.beta * regime.drift + volatility * own_mean
        level = self.config.volatility
        market_deviation = regime.market_volatility * self.config.factor * level
        sector_deviation = _SECTOR_VOLATILITY * level
        market = self.beta * (market_deviation * common * draws.market)
        sector = sector_deviation * common * draws.sector[self.sector]
        returns = np.maximum(mean + market + sector + volatility * draws.shock, _FLOOR)
        total = np.sqrt(
            volatility**2
            + (sector_deviation * common) ** 2
            + (self.beta * market_deviation * common) ** 2
        )
        self.average = self.decay * self.average + (1.0 - self.decay) * (own_mean + draws.shock)
        bar = self._bar(returns, total, draws)
        bar["volume"] = self._volume(regime, returns / total, draws)
        return {**bar, "conditional_mean": mean, "state": self.state}

    def _volatility(self, draws: _Draws) -> tuple[float, Floats]:
        """Move on the common factor of volatility and the idiosyncratic ones, ``[symbol]``."""
        keep = 0.97
        noise = np.sqrt(1.0 - keep**2)
        level = self.physics.common_volatility
        self.log_volatility = keep * self.log_volatility + noise * level * draws.volatility
        self.own_log_volatility = (
            keep * self.own_log_volatility + noise * 0.15 * draws.own_volatility
        )
        common = float(np.exp(np.clip(self.log_volatility, -1.0, 0.8)))
        own = np.exp(np.clip(self.own_log_volatility, -0.5, 0.5))
        deviation = _IDIOSYNCRATIC_VOLATILITY * self.config.volatility
        return common, np.asarray(deviation * self.own * common * own)

    def _bar(self, returns: Floats, total: Floats, draws: _Draws) -> dict[str, Floats]:
        """Open, high, low and close from the session's return; moves ``price`` on."""
        share = self.config.overnight_share
        night = share * returns + np.sqrt(share * (1.0 - share)) * total * draws.night
        opening = self.price * (1.0 + np.maximum(night, _FLOOR))
        closing = self.price * (1.0 + returns)
        reach = 0.4 * total * draws.reach  # [2, S]
        self.price = closing
        return {
            "open": opening,
            "high": np.maximum(opening, closing) * (1.0 + reach[0]),
            "low": np.minimum(opening, closing) * (1.0 - reach[1]),
            "close": closing,
        }

    def _volume(self, regime: Regime, move: Floats, draws: _Draws) -> Floats:
        """Shares traded, whole and at least one, ``[symbol]``."""
        keep, noise = 0.7, np.sqrt(1.0 - 0.7**2)
        level = self.physics.volume_noise
        self.log_volume = keep * self.log_volume + noise * level * draws.volume
        self.own_log_volume = keep * self.own_log_volume + noise * 0.3 * draws.own_volume
        shift = self.config.volume * regime.volume
        logs = self.turnover + shift + self.log_volume + self.own_log_volume
        return np.maximum(np.rint(np.exp(logs + 0.1 * np.abs(move))), 1.0)


def generate(config: WorldConfig, sessions: Sequence[date]) -> World:
    """Make the market of ``config`` on the given sessions.

    Parameters
    ----------
    config : WorldConfig
    sessions : sequence of date, ``[time]``
        Ascending; the first should be ``FIRST_SESSION``, so that every caller gets the same
        history for the same seed.

    Returns
    -------
    World

    Examples
    --------
    >>> world = generate(WorldConfig(symbols=2), [date(2010, 1, 4), date(2010, 1, 5)])
    >>> world.bars["symbol"].to_list()
    ['SYN001', 'SYN001', 'SYN002', 'SYN002']
    """
    market = _Market(config)
    columns = ("open", "high", "low", "close", "volume", "conditional_mean")
    arrays = {name: np.empty((len(sessions), config.symbols)) for name in columns}  # [T, S]
    states = np.empty(len(sessions), dtype=np.int64)
    for t, draws in enumerate(_draws(market.key, len(sessions), config)):
        made = market.step(t, draws)
        states[t] = made["state"]
        for name in columns:
            arrays[name][t] = made[name]
    return World(config, *_frames(config, sessions, market.sector, arrays, states), states)


def _frames(
    config: WorldConfig,
    sessions: Sequence[date],
    sector: npt.NDArray[np.int64],
    arrays: dict[str, Floats],
    states: npt.NDArray[np.int64],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lay arrays ``[time, symbol]`` out as bars and truth, sorted by symbol then date."""
    values = {name: pl.Series(name, array.T.ravel()) for name, array in arrays.items()}
    mean = values.pop("conditional_mean")
    width = max(3, len(str(config.symbols)))
    symbols = [f"SYN{i + 1:0{width}d}" for i in range(config.symbols)]
    keys = pl.DataFrame({"symbol": symbols}).join(
        pl.DataFrame({"date": pl.Series(list(sessions), dtype=pl.Date)}),
        how="cross",
        maintain_order="left_right",
    )
    sectors = pl.Series([SECTOR_NAMES[k] for k in sector])
    bars = keys.with_columns(
        *values.values(),
        sectors.gather(np.repeat(np.arange(config.symbols), len(sessions))).alias("sector"),
        pl.lit("USD").alias("currency"),
    )
    truth = keys.select(
        "date",
        pl.Series(STATES).gather(np.tile(states, config.symbols)).alias("state"),
        "symbol",
        mean,
    )
    return bars, truth
