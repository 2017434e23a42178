"""Planted leaks in regimes: smoothed probabilities and the most likely path, beside the filter.

For: traps whose model is fitted on a training window and then read backwards from the end. Not
for: any regime that is published; nothing outside ``ml.proof.traps`` may import this.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from ml.hidden_markov import (
    Chain,
    climb,
    factor,
    forward,
    log_density,
    stationary,
    sticky_prior,
)
from ml.proof.trap import (
    SEEN_BY_CUTS,
    SEEN_ON_NULL,
    TRAIN,
    Feed,
    Floats,
    Trap,
    Twin,
    next_open,
)

SPAN = 10
STAY, STRENGTH = 0.97, 100.0

Reader = Callable[[Floats, Chain], Floats]
"""From log densities ``[time, state]`` and a chain to probabilities ``[time, state]``."""


def filtered(log_b: Floats, chain: Chain) -> Floats:
    """Probabilities given the rows up to each."""
    return forward(log_b, stationary(chain.move), chain.move)[0]


def smoothed(log_b: Floats, chain: Chain) -> Floats:
    """Probabilities given all rows (Kim's backward pass over the filter)."""
    out = filtered(log_b, chain).copy()
    for t in range(len(out) - 2, -1, -1):
        out[t] *= chain.move @ (out[t + 1] / (out[t] @ chain.move))
    return out


def most_likely_path(log_b: Floats, chain: Chain) -> Floats:
    """Ones along the path that explains all rows best (Viterbi)."""
    log_move = np.log(chain.move)
    came = np.zeros(log_b.shape, dtype=np.int64)
    score = np.log(stationary(chain.move)) + log_b[0]
    for t in range(1, len(log_b)):
        through = score[:, None] + log_move  # [K from, K to]
        came[t] = through.argmax(axis=0)
        score = through.max(axis=0) + log_b[t]
    out = np.zeros(log_b.shape)
    state = int(score.argmax())
    for t in range(len(log_b) - 1, -1, -1):
        out[t, state] = 1.0
        state = int(came[t, state])
    return out


def timing(read: Reader) -> Twin:
    """Hold the market by how sure a chain is of the state with the higher mean return.

    The chain is fitted once, on the first ``TRAIN`` sessions, so that only the reading of what
    follows differs between twins.
    """

    def publishes(feed: Feed) -> Floats:
        symbols, sessions = feed.panel.shape
        out = np.zeros((symbols, sessions))
        if sessions <= TRAIN:
            return out
        change = np.diff(np.log(feed.panel.close), axis=1, prepend=np.nan).mean(axis=0)
        calm = pl.Series(change, nan_to_null=True).ewm_mean(span=SPAN)
        values = calm.fill_null(np.nan).to_numpy()[:, None]  # [T, 1]
        known = values[1:TRAIN]
        x = (values - known.mean()) / known.std()
        start = Chain(np.array([[-1.0], [1.0]]), np.eye(1), sticky_prior(2, 1.0, STAY))
        chain = climb(
            x[:TRAIN],
            start,
            prior=sticky_prior(2, STRENGTH, STAY),
            evidence=np.ones(1),
            shrink=1.0,
            rounds=50,
            tolerance=0.01,
        )[0]
        log_b = log_density(x, chain.means, factor(chain.covariance), np.ones(1))
        up = read(log_b, chain)[:, int(chain.means[:, 0].argmax())]
        out[:, TRAIN:] = (2.0 * up[TRAIN:] - 1.0) / symbols
        return out

    return Twin(publishes, next_open)


REGIMES = (
    Trap(
        "smoothed regimes",
        "the probability of a regime is taken from all rows, not from those up to its own",
        timing(smoothed),
        timing(filtered),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
    Trap(
        "Viterbi regimes",
        "the most likely path of regimes is read off the whole history",
        timing(most_likely_path),
        timing(filtered),
        SEEN_BY_CUTS | SEEN_ON_NULL,
    ),
)
