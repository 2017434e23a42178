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

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from backtest import seeds

Floats = npt.NDArray[np.float64]

WorldName = Literal["clear", "murky", "null", "constant", "trend-only", "structural-break"]
WORLD_NAMES: tuple[str, ...] = get_args(WorldName)
STATES = ("sideways", "bull", "bear")
FIRST_SESSION = date(2010, 1, 4)
NOTE = "market.json"
MEAN_SPELLS = (80.0, 120.0, 50.0)
HALF_LIVES = (2.0, 12.0)
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


@dataclass(frozen=True)
class Regime:
    """What one state does to the market, per session.

    Parameters
    ----------
    drift : float
        Mean market return, decimal.
    market_volatility : float
        Standard deviation of the market's shock, decimal, before stochastic volatility.
    volume : float
        Shift of log volume.
    loading : float
        What the next idiosyncratic return, in its own standard deviations, takes from ``z``.
    half_life : float
        Of the average behind ``z``, sessions; one of ``HALF_LIVES``.
    """

    drift: float
    market_volatility: float
    volume: float
    loading: float
    half_life: float


@dataclass(frozen=True)
class Physics:
    """One world: its regimes in the order of ``STATES``, and the noise that hides them.

    Parameters
    ----------
    regimes : tuple of Regime
    common_volatility : float
        Standard deviation of the common log volatility, a slow autoregression.
    volume_noise : float
        Standard deviation of the common log volume, an autoregression.
    """

    regimes: tuple[Regime, Regime, Regime]
    common_volatility: float
    volume_noise: float


_CLEAR = Physics(
    (
        Regime(0.0, 0.0080, 0.0, -0.052, 2.0),
        Regime(0.0008, 0.0045, 0.50, 0.027, 12.0),
        Regime(-0.0012, 0.0150, 1.00, -0.055, 12.0),
    ),
    common_volatility=0.10,
    volume_noise=0.10,
)
_MURKY = Physics(
    (
        Regime(0.0, 0.0085, 0.0, -0.052, 2.0),
        Regime(0.0004, 0.0042, 0.35, 0.027, 12.0),
        Regime(-0.0006, 0.0160, 0.65, -0.055, 12.0),
    ),
    common_volatility=0.40,
    volume_noise=0.25,
)


def _changed(base: Physics, **values: float) -> Physics:
    """Set the named fields alike in all regimes of ``base``."""
    regimes = tuple(Regime(**{**vars(regime), **values}) for regime in base.regimes)
    return Physics(regimes, base.common_volatility, base.volume_noise)  # type: ignore[arg-type]


WORLDS: dict[str, Physics] = {
    "clear": _CLEAR,
    "murky": _MURKY,
    "null": _changed(_CLEAR, drift=0.0, loading=0.0),
    "constant": _changed(_CLEAR, loading=0.027, half_life=12.0),
    "trend-only": _changed(_CLEAR, loading=0.0),
    "structural-break": _CLEAR,
}


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

    def step(self, t: int) -> dict[str, Any]:
        """Make session ``t``: arrays ``[symbol]`` by column, and the state."""
        draws = _draw(self.key, t, self.config)
        self.state = _next_state(self.state, draws.state)
        regime = self.physics.regimes[self.state]
        common, volatility = self._volatility(draws)
        broken = self.config.world == "structural-break" and t >= self.config.break_session
        z = (self.scale * self.average)[HALF_LIVES.index(regime.half_life)]
        own_mean = (-regime.loading if broken else regime.loading) * z
        mean = self.beta * regime.drift + volatility * own_mean
        market = self.beta * (regime.market_volatility * common * draws.market)
        sector = _SECTOR_VOLATILITY * common * draws.sector[self.sector]
        returns = mean + market + sector + volatility * draws.shock
        total = np.sqrt(
            volatility**2
            + (_SECTOR_VOLATILITY * common) ** 2
            + (self.beta * regime.market_volatility * common) ** 2
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
        return common, np.asarray(_IDIOSYNCRATIC_VOLATILITY * self.own * common * own)

    def _bar(self, returns: Floats, total: Floats, draws: _Draws) -> dict[str, Floats]:
        """Open, high, low and close from the session's return; moves ``price`` on."""
        share = self.config.overnight_share
        night = share * returns + np.sqrt(share * (1.0 - share)) * total * draws.night
        opening = self.price * (1.0 + night)
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
        logs = self.turnover + regime.volume + self.log_volume + self.own_log_volume
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
    arrays = {name: np.empty((config.symbols, len(sessions))) for name in columns}  # [S, T]
    states = np.empty(len(sessions), dtype=np.int64)
    for t in range(len(sessions)):
        made = market.step(t)
        states[t] = made["state"]
        for name in columns:
            arrays[name][:, t] = made[name]
    width = max(3, len(str(config.symbols)))
    symbols = [f"SYN{i + 1:0{width}d}" for i in range(config.symbols)]
    keys = pl.DataFrame({"symbol": symbols}).join(
        pl.DataFrame({"date": pl.Series(list(sessions), dtype=pl.Date)}),
        how="cross",
        maintain_order="left_right",
    )
    sectors = pl.Series([SECTOR_NAMES[k] for k in market.sector])
    bars = keys.with_columns(
        *(pl.Series(name, arrays[name].ravel()) for name in columns[:-1]),
        sectors.gather(np.repeat(np.arange(config.symbols), len(sessions))).alias("sector"),
        pl.lit("USD").alias("currency"),
    )
    names = np.array(STATES)[states]
    truth = keys.select(
        "date",
        pl.Series("state", np.tile(names, config.symbols), dtype=pl.String),
        "symbol",
        pl.Series("conditional_mean", arrays["conditional_mean"].ravel()),
    )
    return World(config, bars, truth, states)


def write_world(world: World, out: Path) -> None:
    """Write ``bars.parquet``, ``truth.parquet`` and ``market.json`` into the folder ``out``.

    The truth has no price columns, so that reading the folder as bars leaves it alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    world.bars.write_parquet(out / "bars.parquet")
    world.truth.write_parquet(out / "truth.parquet")
    about = {
        "synthetic": True,
        **world.config.model_dump(),
        "sessions": len(world.states),
        "first": str(world.truth["date"].min()),
        "last": str(world.truth["date"].max()),
        "states": list(STATES),
    }
    (out / NOTE).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def is_synthetic(source: Path) -> bool:
    """Say whether a folder, or the folder of a file, holds the note of :func:`write_world`."""
    note = (source if source.is_dir() else source.parent) / NOTE
    try:
        return bool(json.loads(note.read_text(encoding="utf-8")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False
