"""Planted leaks in series, universes and choices; every look forward in here is on purpose.

For: traps whose leak lies in a fill, a window, a scaling, a gap, a universe, a join or a choice
of parameters. Not for: any result; nothing outside ``ml.proof.traps`` may import this.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from backtest.engine.books import sweep_book
from backtest.strategy import STRATEGIES
from ml.proof.trap import (
    SEEN_BY_CUTS,
    SEEN_ON_NULL,
    TRAIN,
    Bools,
    Feed,
    Floats,
    Trap,
    Twin,
    later,
    moves,
    neutral,
    next_open,
    with_members,
)

CLOSE = pl.col("close")
SPAN = 11
MONTH = 20


def column(feed: Feed, expression: pl.Expr) -> Floats:
    """Compute an expression per symbol; ``[symbol, time]``."""
    values = feed.panel.frame().select(expression.over("symbol").cast(pl.Float64).alias("x"))
    return np.asarray(values["x"].fill_null(np.nan).to_numpy().reshape(feed.panel.shape))


def signal(expression: pl.Expr) -> Twin:
    """Hold what an expression says against the mean of all symbols, from the next open on."""
    return Twin(lambda feed: neutral(column(feed, expression)), next_open)


def same_bar(feed: Feed, weights: Floats) -> Floats:
    """Return ``[time]`` of weights traded at the open of the bar whose close decided them."""
    night, day = moves(feed.panel)
    return np.asarray((later(weights, 1) * night + weights * day).sum(axis=0))


def joined(date: str) -> Twin:
    """Hold each symbol by its newest fact, looked up by one of the fact's two dates."""

    def publishes(feed: Feed) -> Floats:
        facts = feed.facts.select("symbol", pl.col(date).alias("date"), "value")
        bars = feed.panel.frame().sort("date", "symbol")
        found = bars.join_asof(
            facts.sort("date"), on="date", by="symbol", strategy="backward", check_sortedness=False
        ).sort("symbol", "date")
        return neutral(found["value"].fill_null(np.nan).to_numpy().reshape(feed.panel.shape))

    return Twin(publishes, next_open, loads=lambda source: source)


def risen(feed: Feed) -> Bools:
    """Symbols whose price has risen at least as much as the median; ``[symbol, time]``."""
    growth = feed.panel.close / feed.panel.close[:, :1]
    return np.asarray(growth >= np.median(growth, axis=0))


def of_today(source: Feed) -> Feed:
    """Hand over the members of the last session as if they had always been the members."""
    members = risen(source)
    return with_members(source, np.repeat(members[:, -1:], members.shape[1], axis=1))


def of_the_day(source: Feed) -> Feed:
    """Hand over the members of each session."""
    return with_members(source, risen(source))


def hold_members(feed: Feed) -> Floats:
    """Weights of the members, equal, against all symbols."""
    members = np.zeros(feed.panel.shape) if feed.members is None else feed.members.astype(float)
    return neutral(members)


def book_returns(feed: Feed) -> Floats:
    """Book return of every candidate set of the worlds' own strategy; ``[param, time]``."""
    strategy = STRATEGIES.get("rsi_swing")
    book = sweep_book(feed.panel, strategy, strategy.candidates(), kind="dollar-neutral", cost=0.0)
    return book.net_return


def best_of_all(feed: Feed) -> Floats:
    """What the set with the best ratio over the whole history returned; ``[1, time]``."""
    earned = book_returns(feed)
    ratio = earned.mean(axis=1) / np.maximum(earned.std(axis=1), 1e-12)
    return earned[[int(ratio.argmax())]]


def best_so_far(feed: Feed) -> Floats:
    """What the set with the best ratio up to the close before returned; ``[1, time]``."""
    earned = book_returns(feed)
    count = np.arange(1, earned.shape[1] + 1)
    mean = np.cumsum(earned, axis=1) / count
    variance = np.cumsum(earned**2, axis=1) / count - mean**2
    chosen = (mean / np.sqrt(np.maximum(variance, 1e-12))).argmax(axis=0)  # [T]
    out = np.full((1, earned.shape[1]), np.nan)
    out[0, TRAIN:] = earned[chosen[TRAIN - 1 : -1], np.arange(TRAIN, earned.shape[1])]
    return out


def as_said(feed: Feed, published: Floats) -> Floats:
    """Return the published stream itself; ``[time]``."""
    return np.asarray(published[0])


_INTRADAY = CLOSE / pl.col("open") - 1.0
_LOG = CLOSE.log()
_PAST_MEAN = _LOG.cum_sum() / _LOG.cum_count()
_PAST_DEVIATION = ((_LOG**2).cum_sum() / _LOG.cum_count() - _PAST_MEAN**2).clip(1e-12).sqrt()
_MONTHLY = pl.when(pl.int_range(pl.len()) % MONTH == MONTH - 1).then(CLOSE / CLOSE.shift(MONTH))


def _trend(average: pl.Expr) -> pl.Expr:
    return average / average.shift(1) - 1.0


SERIES = (
    Trap(
        "same-bar fill",
        "the close of a bar decides a trade that is filled at the open of the same bar",
        Twin(lambda feed: neutral(column(feed, _INTRADAY)), same_bar),
        signal(_INTRADAY),
        SEEN_ON_NULL,
    ),
    Trap(
        "shift by -1",
        "the return to the next close stands on today's row",
        signal(CLOSE.shift(-1) / CLOSE - 1.0),
        signal(CLOSE / CLOSE.shift(1) - 1.0),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
    Trap(
        "centred window",
        "a moving average is centred, so half of it lies ahead",
        signal(_trend(CLOSE.rolling_mean(SPAN, center=True))),
        signal(_trend(CLOSE.rolling_mean(SPAN))),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
    Trap(
        "full-sample scaling",
        "prices are scaled by the mean and deviation of the whole sample, then faded",
        signal(-(_LOG - _LOG.mean()) / _LOG.std()),
        signal(-(_LOG - _PAST_MEAN) / _PAST_DEVIATION),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
    Trap(
        "backward fill",
        "a monthly figure fills the days before it instead of those after it",
        signal(_MONTHLY.fill_null(strategy="backward")),
        signal(_MONTHLY.fill_null(strategy="forward")),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
    Trap(
        "survivors only",
        "today's members of the universe are followed back in time",
        Twin(hold_members, next_open, loads=of_today),
        Twin(hold_members, next_open, loads=of_the_day),
        SEEN_ON_NULL | {"as known"},
    ),
    Trap(
        "event-date join",
        "a figure is looked up by the date that it carries, not by when it was known",
        joined("event_date"),
        joined("known_at"),
        SEEN_ON_NULL | {"as known"},
    ),
    Trap(
        "in-sample parameters",
        "the best of 140 parameter sets is chosen on the history that it is shown on",
        Twin(best_of_all, as_said),
        Twin(best_so_far, as_said),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
)
