"""Numerics of a Gaussian hidden Markov chain: density, forward filter, and one EM run.

For: regime models that need a filter and a fit under a prior on the moves. Not for: choosing
starts or the number of states, and the backward pass below serves the fit alone: it never leaves
this file as a probability of a state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Chain:
    """Parameters of a chain with ``K`` states over ``F`` columns.

    Parameters
    ----------
    means : float64, ``[state, feature]``
    covariances : float64, ``[state, feature, feature]``
    move : float64, ``[state, state]``
        Probability of moving from the row's state to the column's, per session.
    """

    means: Floats
    covariances: Floats
    move: Floats


@njit(cache=True, nogil=True)
def log_density(x: Floats, means: Floats, lowers: Floats) -> Floats:
    """Log density of rows ``x [T, F]`` under each Gaussian; zero where a row holds a NaN.

    ``lowers [K, F, F]`` are the Cholesky factors of the covariances. Returns ``[T, K]``.
    """
    n, d = x.shape
    k = len(means)
    out = np.zeros((n, k))
    z = np.empty(d)
    for s in range(k):
        constant = -0.5 * d * math.log(2.0 * math.pi)
        for j in range(d):
            constant -= math.log(lowers[s, j, j])
        for t in range(n):
            total = 0.0
            for j in range(d):
                value = x[t, j] - means[s, j]
                for i in range(j):
                    value -= lowers[s, j, i] * z[i]
                z[j] = value / lowers[s, j, j]
                total += z[j] * z[j]
            out[t, s] = 0.0 if math.isnan(total) else constant - 0.5 * total
    return out


@njit(cache=True, nogil=True)
def forward(log_b: Floats, start: Floats, move: Floats) -> tuple[Floats, float]:
    """Filter: probabilities given the rows up to and including each, and the log likelihood.

    ``log_b [T, K]``, ``start [K]`` is the law of the first state, ``move [K, K]`` goes from row
    to column. Returns ``[T, K]``, rows summing to 1.
    """
    n, k = log_b.shape
    out = np.empty((n, k))
    total = 0.0
    for t in range(n):
        top = log_b[t].max()
        norm = 0.0
        for s in range(k):
            prior = 0.0
            if t == 0:
                prior = start[s]
            else:
                for r in range(k):
                    prior += out[t - 1, r] * move[r, s]
            out[t, s] = prior * math.exp(log_b[t, s] - top)
            norm += out[t, s]
        for s in range(k):
            out[t, s] /= norm
        total += math.log(norm) + top
    return out, total


@njit(cache=True, nogil=True)
def _expect(log_b: Floats, start: Floats, move: Floats) -> tuple[Floats, Floats, float]:
    """Posterior ``[T, K]`` and expected moves ``[K, K]`` over a training window, and the fit."""
    n, k = log_b.shape
    alpha, total = forward(log_b, start, move)
    gamma = alpha.copy()
    moves = np.zeros((k, k))
    beta = np.ones(k)
    weight = np.empty(k)
    for t in range(n - 2, -1, -1):
        top = log_b[t + 1].max()
        for s in range(k):
            weight[s] = beta[s] * math.exp(log_b[t + 1, s] - top)
        norm = 0.0
        for r in range(k):
            beta[r] = 0.0
            for s in range(k):
                beta[r] += move[r, s] * weight[s]
            norm += alpha[t, r] * beta[r]
        for r in range(k):
            for s in range(k):
                moves[r, s] += alpha[t, r] * move[r, s] * weight[s] / norm
            gamma[t, r] = alpha[t, r] * beta[r] / norm
        beta /= beta.max()
    return gamma, moves, total


@njit(cache=True, nogil=True)
def _maximise(x: Floats, gamma: Floats, shrink: float) -> tuple[Floats, Floats]:
    """Means ``[K, F]`` and covariances ``[K, F, F]`` from weights ``[T, K]``.

    Standardised columns: the prior is ``shrink`` pseudo-rows with the identity as covariance.
    """
    n, d = x.shape
    k = gamma.shape[1]
    weight = np.zeros(k)
    means = np.zeros((k, d))
    covariances = np.zeros((k, d, d))
    whole = np.empty(n, np.bool_)
    for t in range(n):
        whole[t] = not np.isnan(x[t]).any()
        if whole[t]:
            for s in range(k):
                weight[s] += gamma[t, s]
                for j in range(d):
                    means[s, j] += gamma[t, s] * x[t, j]
    for s in range(k):
        means[s] /= max(weight[s], 1e-9)
    for t in range(n):
        if whole[t]:
            for s in range(k):
                for j in range(d):
                    left = gamma[t, s] * (x[t, j] - means[s, j])
                    for i in range(j + 1):
                        covariances[s, j, i] += left * (x[t, i] - means[s, i])
    for s in range(k):
        for j in range(d):
            covariances[s, j, j] += shrink
            for i in range(j):
                covariances[s, i, j] = covariances[s, j, i]
        covariances[s] /= weight[s] + shrink
    return means, covariances


@njit(cache=True, nogil=True)
def stationary(move: Floats) -> Floats:
    """Long-run law of a chain ``[K, K]``, by repeated squaring; ``[K]``."""
    power = move.copy()
    for _ in range(40):
        power = power @ power
        for r in range(len(power)):
            power[r] /= power[r].sum()
    return power[0]


@njit(cache=True, nogil=True)
def factors(covariances: Floats) -> Floats:
    """Cholesky factors of ``[K, F, F]``."""
    out = np.empty_like(covariances)
    for s in range(len(covariances)):
        out[s] = np.linalg.cholesky(covariances[s])
    return out


@njit(cache=True, nogil=True)
def _climb(
    x: Floats,
    means: Floats,
    covariances: Floats,
    move: Floats,
    prior: Floats,
    shrink: float,
    evidence: float,
    rounds: int,
    tolerance: float,
) -> tuple[Floats, Floats, Floats, float]:
    last = -np.inf
    objective = -np.inf
    for _ in range(rounds):
        lowers = factors(covariances)
        log_b = evidence * log_density(x, means, lowers)
        gamma, moves, total = _expect(log_b, stationary(move), move)
        objective = total
        for s in range(len(move)):
            for r in range(len(move)):
                objective += prior[s, r] * math.log(move[s, r])
        if objective - last < tolerance:
            break
        last = objective
        move = moves + prior
        for s in range(len(move)):
            move[s] /= move[s].sum()
        means, covariances = _maximise(x, gamma, shrink)
    return means, covariances, move, objective


def sticky_prior(states: int, strength: float, stay: float) -> Floats:
    """Pseudo-observations of moves ``[K, K]``: ``strength`` from each state, mostly to itself."""
    prior = np.full((states, states), strength * (1.0 - stay) / max(states - 1, 1))
    np.fill_diagonal(prior, strength * stay if states > 1 else strength)
    return prior


def climb(
    x: Floats,
    chain: Chain,
    *,
    prior: Floats,
    shrink: float,
    evidence: float = 1.0,
    rounds: int,
    tolerance: float,
) -> tuple[Chain, float]:
    """Run EM from ``chain`` on standardised rows ``x [T, F]``.

    Parameters
    ----------
    prior : float64, ``[state, state]``
        Pseudo-observations of moves, added to the counted ones (Dirichlet).
    shrink : float
        Pseudo-rows with unit covariance in each state.
    evidence : float
        Share of each row's log density that counts; below 1 where rows overlap in time.
    rounds, tolerance : int, float
        Stop after so many rounds, or when the objective gains less than ``tolerance``.

    Returns
    -------
    chain : Chain
    objective : float
        Log likelihood plus the log prior of the moves, up to a constant.
    """
    means, covariances, move, objective = _climb(
        x, chain.means, chain.covariances, chain.move, prior, shrink, evidence, rounds, tolerance
    )
    return Chain(means, covariances, move), float(objective)


def filtered(x: Floats, chain: Chain, evidence: float = 1.0) -> tuple[Floats, float]:
    """Filter standardised rows ``x [T, F]``; ``[T, K]`` and the log likelihood."""
    log_b = evidence * log_density(x, chain.means, factors(chain.covariances))
    return forward(log_b, stationary(chain.move), chain.move)
