"""What a leak trap is: one small pipeline twice, with a known leak and without.

For: the record of a trap, the market without any effect that it runs on, and the fill at the next
open that its stream is earned with. Not for: the traps themselves (``planted_*``) or the
detectors that have to catch them (``traps``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest import seeds
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from backtest.walkforward.splits import Split

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SYMBOLS, SESSIONS = 20, 756
TRAIN = 250
"""Sessions before whatever is fitted says anything."""

SEEN_BY_CUTS = frozenset({"truncation", "future noise"})
SEEN_ON_NULL = frozenset({"null market"})
"""Names of detectors in ``ml.proof.traps``, for what a trap must be seen by."""

FACT_LAG = 10
"""Sessions between the date that a fact carries and the close at which it is known."""


@dataclass(frozen=True)
class Feed:
    """What a pipeline is handed.

    Parameters
    ----------
    panel : Panel
        Bars, none missing.
    facts : polars.DataFrame
        ``symbol, event_date, known_at, value``: a figure that carries an earlier date than the
        close at which it is known.
    members : bool, ``[symbol, time]``, optional
        Who is in the universe, where the pipeline asks.
    """

    panel: Panel
    facts: pl.DataFrame
    members: Bools | None = None

    def on(self, panel: Panel) -> Feed:
        """Return what would be held over other bars: rows dated after the last are gone."""
        stop = len(panel.dates)
        dated = pl.col("event_date") <= pl.lit(panel.dates[-1]).cast(pl.Date)
        members = None if self.members is None else self.members[:, :stop]
        return Feed(panel, self.facts.filter(dated), members)

    def as_known(self, t: int) -> Feed:
        """Return what could be had at the close of session ``t``, whatever date it carries."""
        known = pl.col("known_at") <= pl.lit(self.panel.dates[t]).cast(pl.Date)
        return Feed(self.panel.until(t + 1), self.facts.filter(known))


@dataclass(frozen=True)
class Twin:
    """One of the two pipelines of a trap.

    Parameters
    ----------
    publishes : callable
        From a feed to ``[row, time]``: what is said at each close; NaN where nothing is.
    earns : callable
        From a feed and what was published to ``[time]``: a return, or an information
        coefficient; NaN where there is none.
    loads : callable, optional
        From everything there is to what the pipeline reads beyond bars; None if it reads bars
        alone.
    splits : callable, optional
        From a number of sessions to the folds of a pipeline that is fitted.
    """

    publishes: Callable[[Feed], Floats]
    earns: Callable[[Feed, Floats], Floats]
    loads: Callable[[Feed], Feed] | None = None
    splits: Callable[[int], Iterable[Split]] | None = None

    def loaded(self, source: Feed) -> Feed:
        """Return what the pipeline holds of a source."""
        return source if self.loads is None else self.loads(source)


@dataclass(frozen=True)
class Trap:
    """A leak, its honest twin, and the detectors that have to see it.

    Parameters
    ----------
    name, says : str
        ``says``: how the future gets in, a sentence without a full stop.
    leaky, clean : Twin
    seen_by : frozenset of str
        Detectors that must catch the leaky twin; others may.
    measure : str
        What the stream is judged by: ``Sharpe`` of returns, or ``IC``, the mean of information
        coefficients.
    horizon : int
        Sessions that a label looks ahead, for pipelines that are fitted on one.
    """

    name: str
    says: str
    leaky: Twin
    clean: Twin
    seen_by: frozenset[str]
    measure: Literal["Sharpe", "IC"] = "Sharpe"
    horizon: int = 1

    @property
    def twins(self) -> dict[str, Twin]:
        """Both pipelines by name."""
        return {"leaky": self.leaky, "clean": self.clean}


def null_market(seed: int) -> Feed:
    """Make a market in which nothing is to be found, with 40 % of the moves overnight.

    Each symbol has a figure every ``2 * FACT_LAG`` sessions: the return over the ``FACT_LAG``
    sessions after its date, half noise, known at the end of them.
    """
    days = (FIRST_SESSION + timedelta(days=k) for k in range(2 * SESSIONS))
    config = WorldConfig(world="null", symbols=SYMBOLS, seed=seed, overnight_share=0.4)
    made = generate(config, [day for day in days if day.weekday() < 5][:SESSIONS])
    panel = Panel.from_frame(made.bars)
    dated = np.arange(0, SESSIONS - FACT_LAG, 2 * FACT_LAG)
    moved = panel.close[:, dated + FACT_LAG] / panel.close[:, dated] - 1.0  # [S, E]
    noise = seeds.generator(seed, "traps/facts").standard_normal(moved.shape)
    facts = pl.DataFrame(
        {
            "symbol": np.repeat(panel.symbols, len(dated)),
            "event_date": np.tile(panel.dates[dated], SYMBOLS),
            "known_at": np.tile(panel.dates[dated + FACT_LAG], SYMBOLS),
            "value": (moved + moved.std() * noise).ravel(),
        },
        schema_overrides={"event_date": pl.Date, "known_at": pl.Date},
    )
    return Feed(panel, facts)


def with_members(feed: Feed, members: Bools) -> Feed:
    """Hand the universe ``members`` ``[symbol, time]`` to a pipeline."""
    return dataclasses.replace(feed, members=members)


def later(values: Floats, sessions: int) -> Floats:
    """Move ``[row, time]`` to later sessions; zero before."""
    out = np.zeros_like(values)
    out[:, sessions:] = values[:, : values.shape[1] - sessions]
    return out


def neutral(signal: Floats) -> Floats:
    """Weights ``[symbol, time]`` of unit gross that sum to zero at each close; 0 if unknown."""
    known = np.isfinite(signal)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, signal, 0.0).sum(axis=0) / count
    centred = np.where(known, signal - mean, 0.0)
    gross = np.abs(centred).sum(axis=0)
    weights: Floats = np.divide(centred, gross, out=np.zeros_like(centred), where=gross > 0.0)
    return weights


def moves(panel: Panel) -> tuple[Floats, Floats]:
    """Simple returns of the night before each session and of its day; ``[symbol, time]``."""
    night = np.zeros(panel.shape)
    night[:, 1:] = panel.open[:, 1:] / panel.close[:, :-1] - 1.0
    return night, panel.close / panel.open - 1.0


def next_open(feed: Feed, weights: Floats) -> Floats:
    """Return ``[time]`` of weights decided at each close and traded at the next open, no cost."""
    night, day = moves(feed.panel)
    earned = later(weights, 2) * night + later(weights, 1) * day
    return np.asarray(earned.sum(axis=0))
