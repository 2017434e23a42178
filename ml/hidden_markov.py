"""Numerics of a Gaussian hidden Markov chain: density, forward filter, and one EM run.

For: regime models that need a filter and a fit under a prior on the moves. Not for: choosing
starts or the number of states. The backward pass serves the fit alone: its probabilities never
leave a training window.

All states share one covariance, so that a state is a place and not a width, and each column has
a share of evidence, so that a column whose noise persists is not counted afresh every session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

LEAST_EVIDENCE = 0.02
LAGS = 20
_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Chain:
    """Parameters of a chain with ``K`` states over ``F`` standardised columns.

    Parameters
    ----------
    means : float64, ``[state, feature]``
    covariance : float64, ``[feature, feature]``
        Within states, shared by all.
    move : float64, ``[state, state]``
        Probability of moving from the row's state to the column's, per session.
    """

    means: Floats
    covariance: Floats
    move: Floats

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.means)


@njit(cache=True, nogil=True)
def log_density(x: Floats, means: Floats, lower: Floats, evidence: Floats) -> Floats:
    """Log density of rows ``x [T, F]`` in each state; zero where a row holds a NaN.

    ``lower [F, F]`` is the Cholesky factor of the covariance; ``evidence [F]`` is the share that
    counts of each column's density given the columns before it. Returns ``[T, K]``.
    """
    n, d = x.shape
    k = len(means)
    out = np.zeros((n, k))
    centres = np.empty((k, d))
    for s in range(k):
        for j in range(d):
            value = means[s, j]
            for i in range(j):
                value -= lower[j, i] * centres[s, i]
            centres[s, j] = value / lower[j, j]
    z = np.empty(d)
    constant = 0.0
    for j in range(d):
        constant -= evidence[j] * (math.log(lower[j, j]) + _HALF_LOG_TAU)
    for t in range(n):
        known = True
        for j in range(d):
            value = x[t, j]
            for i in range(j):
                value -= lower[j, i] * z[i]
            z[j] = value / lower[j, j]
            known = known and not math.isnan(value)
        if known:
            for s in range(k):
                total = 0.0
                for j in range(d):
                    total += evidence[j] * (z[j] - centres[s, j]) ** 2
                out[t, s] = constant - 0.5 * total
    return out


@njit(cache=True, nogil=True)
def _scaled(log_b: Floats) -> tuple[Floats, float]:
    """Densities ``[T, K]`` over the row's largest, and the sum of the logs of those."""
    out = np.empty_like(log_b)
    total = 0.0
    for t in range(len(log_b)):
        top = log_b[t].max()
        total += top
        for s in range(log_b.shape[1]):
            out[t, s] = math.exp(log_b[t, s] - top)
    return out, total


@njit(cache=True, nogil=True)
def _forward(b: Floats, start: Floats, move: Floats) -> tuple[Floats, float]:
    """Filter scaled densities ``b [T, K]``; probabilities ``[T, K]`` and the log likelihood."""
    n, k = b.shape
    out = np.empty((n, k))
    total = 0.0
    for t in range(n):
        norm = 0.0
        for s in range(k):
            prior = 0.0
            if t == 0:
                prior = start[s]
            else:
                for r in range(k):
                    prior += out[t - 1, r] * move[r, s]
            out[t, s] = prior * b[t, s]
            norm += out[t, s]
        for s in range(k):
            out[t, s] /= norm
        total += math.log(norm)
    return out, total


@njit(cache=True, nogil=True)
def forward(log_b: Floats, start: Floats, move: Floats) -> tuple[Floats, float]:
    """Filter: probabilities given the rows up to and including each, and the log likelihood.

    ``log_b [T, K]``, ``start [K]`` is the law of the first state, ``move [K, K]`` goes from row
    to column. Returns ``[T, K]``, rows summing to 1.
    """
    b, top = _scaled(log_b)
    out, total = _forward(b, start, move)
    return out, total + top


@njit(cache=True, nogil=True)
def _expect(log_b: Floats, start: Floats, move: Floats) -> tuple[Floats, Floats, float]:
    """Posterior ``[T, K]`` and expected moves ``[K, K]`` over a training window, and the fit."""
    n, k = log_b.shape
    b, top = _scaled(log_b)
    gamma, total = _forward(b, start, move)
    moves = np.zeros((k, k))
    beta = np.ones(k)
    weight = np.empty(k)
    for t in range(n - 2, -1, -1):
        for s in range(k):
            weight[s] = beta[s] * b[t + 1, s]
        norm = 0.0
        largest = 0.0
        for r in range(k):
            beta[r] = 0.0
            for s in range(k):
                beta[r] += move[r, s] * weight[s]
            norm += gamma[t, r] * beta[r]
            largest = max(largest, beta[r])
        for r in range(k):
            for s in range(k):
                moves[r, s] += gamma[t, r] * move[r, s] * weight[s] / norm
            gamma[t, r] *= beta[r] / norm
        for r in range(k):
            beta[r] /= largest
    return gamma, moves, total + top


@njit(cache=True, nogil=True)
def _scatter(x: Floats) -> tuple[Floats, float]:
    """Sum of squares ``[F, F]`` and number of the rows ``x [T, F]`` without NaN."""
    n, d = x.shape
    out = np.zeros((d, d))
    count = 0.0
    for t in range(n):
        if not np.isnan(x[t].sum()):
            count += 1.0
            for j in range(d):
                for i in range(d):
                    out[j, i] += x[t, j] * x[t, i]
    return out, count


@njit(cache=True, nogil=True)
def _maximise(
    x: Floats, gamma: Floats, scatter: Floats, count: float, shrink: float
) -> tuple[Floats, Floats]:
    """Means ``[K, F]`` and covariance ``[F, F]`` from weights ``[T, K]``.

    The prior of each is ``shrink`` pseudo-rows: at zero for a mean, with unit variance for the
    covariance. ``scatter`` and ``count`` are those of :func:`_scatter`.
    """
    n, d = x.shape
    k = gamma.shape[1]
    weight = np.zeros(k)
    sums = np.zeros((k, d))
    for t in range(n):
        if not math.isnan(x[t].sum()):
            for s in range(k):
                weight[s] += gamma[t, s]
                for j in range(d):
                    sums[s, j] += gamma[t, s] * x[t, j]
    means = np.empty((k, d))
    covariance = scatter + shrink * np.eye(d)
    for s in range(k):
        means[s] = sums[s] / (weight[s] + shrink)
        for j in range(d):
            for i in range(d):
                crossed = means[s, j] * sums[s, i] + sums[s, j] * means[s, i]
                covariance[j, i] += weight[s] * means[s, j] * means[s, i] - crossed
    return means, covariance / (count + shrink)


@njit(cache=True, nogil=True)
def stationary(move: Floats) -> Floats:
    """Long-run law of a chain ``[K, K]``, by repeated squaring; ``[K]``."""
    power = move.copy()
    for _ in range(40):
        power = power @ power
        for r in range(len(power)):
            power[r] /= power[r].sum()
    law: Floats = power[0]
    return law


@njit(cache=True, nogil=True)
def smoothed(x: Floats, span: int) -> Floats:
    """Moving average of rows ``x [T, F]`` that forgets a ``span``-th each row."""
    out = x.copy()
    for t in range(1, len(x)):
        out[t] = out[t - 1] + (x[t] - out[t - 1]) / min(t + 1, span)
    return out


@njit(cache=True, nogil=True)
def factor(covariance: Floats) -> Floats:
    """Lower Cholesky factor of ``[F, F]``."""
    lower = np.zeros_like(covariance)
    lower[:] = np.linalg.cholesky(covariance)
    return lower


@njit(cache=True, nogil=True)
def _climb(
    x: Floats,
    means: Floats,
    covariance: Floats,
    move: Floats,
    prior: Floats,
    evidence: Floats,
    shrink: float,
    rounds: int,
    tolerance: float,
) -> tuple[Floats, Floats, Floats, float, float]:
    last = -np.inf
    objective = -np.inf
    total = -np.inf
    scatter, count = _scatter(x)
    for _ in range(rounds):
        log_b = log_density(x, means, factor(covariance), evidence)
        gamma, moves, total = _expect(log_b, stationary(move), move)
        objective = total + (prior * np.log(move)).sum()
        if objective - last < tolerance:
            break
        last = objective
        move = moves + prior
        for s in range(len(move)):
            move[s] /= move[s].sum()
        means, covariance = _maximise(x, gamma, scatter, count, shrink)
    return means, covariance, move, objective, total


@njit(cache=True, nogil=True)
def overlap(residual: Floats, lags: int) -> Floats:
    """Rows per independent row of each column of ``residual [T, F]``; ``[F]``.

    The long-run variance over the variance: Bartlett weights over ``lags`` autocorrelations. Rows
    that hold a NaN count as zeros.
    """
    n, d = residual.shape
    left = residual.copy()
    for t in range(n):
        if math.isnan(left[t].sum()):
            left[t] = 0.0
    out = np.ones(d)
    for j in range(d):
        square = 1e-12 + (left[:, j] ** 2).sum()
        for lag in range(1, lags + 1):
            product = 0.0
            for t in range(lag, n):
                product += left[t, j] * left[t - lag, j]
            out[j] += 2.0 * (1.0 - lag / (lags + 1.0)) * product / square
    return out


def sticky_prior(states: int, strength: float, stay: float) -> Floats:
    """Pseudo-observations of moves ``[K, K]``: ``strength`` from each, ``stay`` of it home."""
    if states == 1:
        return np.full((1, 1), strength)
    prior = np.full((states, states), strength * (1.0 - stay) / (states - 1))
    np.fill_diagonal(prior, strength * stay)
    return prior


def climb(
    x: Floats,
    chain: Chain,
    *,
    prior: Floats,
    evidence: Floats,
    shrink: float,
    rounds: int,
    tolerance: float,
) -> tuple[Chain, float, float]:
    """Run EM from ``chain`` on standardised rows ``x [T, F]``.

    Parameters
    ----------
    prior : float64, ``[state, state]``
        Pseudo-observations of moves, added to the expected ones (Dirichlet).
    evidence : float64, ``[feature]``
        Share of each column's log density that counts.
    shrink : float
        Pseudo-rows at the centre with unit covariance.
    rounds, tolerance : int, float
        Stop after so many rounds, or when the objective gains less than ``tolerance``.

    Returns
    -------
    chain : Chain
    objective : float
        Log likelihood plus the log prior of the moves, up to a constant.
    total : float
        Log likelihood.
    """
    means, covariance, move, objective, total = _climb(
        x, chain.means, chain.covariance, chain.move, prior, evidence, shrink, rounds, tolerance
    )
    return Chain(means, covariance, move), float(objective), float(total)


def filtered(x: Floats, chain: Chain, evidence: Floats) -> Floats:
    """Filter standardised rows ``x [T, F]``; ``[T, K]``."""
    log_b = log_density(x, chain.means, factor(chain.covariance), evidence)
    law = stationary(chain.move)
    return forward(log_b, law, chain.move)[0]


def evidence_of(x: Floats, chain: Chain, evidence: Floats) -> Floats:
    """Share of each column's density that is news, at most 1; ``[F]``.

    One over the rows that it takes to learn as much about a mean as from one independent row:
    the long-run variance, over the variance, of what the chain leaves unexplained on the
    training rows ``x [T, F]``.
    """
    log_b = log_density(x, chain.means, factor(chain.covariance), evidence)
    gamma = _expect(log_b, stationary(chain.move), chain.move)[0]
    return news(x - gamma @ chain.means)


def news(residual: Floats) -> Floats:
    """Share of each column of what is left unexplained ``[T, F]`` that is news; ``[F]``."""
    return np.clip(1.0 / np.maximum(overlap(residual, LAGS), 1.0), LEAST_EVIDENCE, 1.0)


def fast(x: Floats) -> Floats:
    """Rows ``x [T, F]`` less their average over the sessions around each, ``LAGS`` to each side.

    What is left before any state is known: states last longer than that, noise does not. It looks
    ahead, and never leaves the training window.
    """
    known = np.asarray(np.isfinite(x).all(axis=1))
    total = np.cumsum(np.where(known[:, None], x, 0.0), axis=0)
    count = np.cumsum(known)
    last = np.minimum(np.arange(len(x)) + LAGS, len(x) - 1)
    first = np.arange(len(x)) - LAGS - 1
    before = first >= 0
    total = total[last] - np.where(before[:, None], total[first], 0.0)
    count = count[last] - np.where(before, count[first], 0)
    return np.asarray(x - total / np.maximum(count, 1)[:, None])


def posterior(log_b: Floats, move: Floats) -> tuple[Floats, Floats]:
    """What a whole training window says of each of its rows; never leaves that window.

    Parameters
    ----------
    log_b : float64, ``[time, state]``
        Log densities.
    move : float64, ``[state, state]``

    Returns
    -------
    member : float64, ``[time, state]``
    moves : float64, ``[state, state]``
        Expected numbers of moves.
    """
    member, moves, _ = _expect(log_b, stationary(move), move)
    return member, moves
