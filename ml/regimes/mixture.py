"""Gaussian mixture of the market's state with persistence: a cloud per regime, filtered.

For: regimes that differ in shape as well as in place: each state has a covariance of its own, and
sticky filtering of the responsibilities keeps a session's noise from changing the state. Not for:
smoothed paths. Fitted by EM on rows averaged over a few sessions, since clouds of single sessions
overlap; averages look back only.

Source of EM with a prior on covariances: Fraley and Raftery, "Bayesian regularization for normal
mixture estimation and model-based clustering" (2007).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from ml.hidden_markov import (
    LAGS,
    forward,
    overlap,
    posterior,
    stationary,
    sticky_prior,
)
from ml.market_state import name_states
from ml.regime import REGIMES, Floats, RegimeFit
from ml.regime_window import (
    NumberPrior,
    Scaling,
    kept_order,
    partitions,
    scaling_of,
    temperature_of,
    tempered,
)

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Clouds:
    """A mixture of ``K`` Gaussians over ``F`` columns.

    Parameters
    ----------
    shares : float64, ``[state]``
        Sum to 1.
    means : float64, ``[state, feature]``
    covariances : float64, ``[state, feature, feature]``
    """

    shares: Floats
    means: Floats
    covariances: Floats

    @property
    def states(self) -> int:
        """Number of Gaussians."""
        return len(self.shares)

    def log_density(self, x: Floats) -> Floats:
        """Log density of rows ``x [T, F]`` in each; zero where a row holds a NaN; ``[T, K]``."""
        lower = np.asarray(np.linalg.cholesky(self.covariances), dtype=np.float64)
        return _log_density(x, self.means, lower)


@njit(cache=True, nogil=True)
def _log_density(x: Floats, means: Floats, lower: Floats) -> Floats:
    n, d = x.shape
    k = len(means)
    out = np.zeros((n, k))
    z = np.empty(d)
    for s in range(k):
        constant = 0.0
        for j in range(d):
            constant -= math.log(lower[s, j, j]) + _HALF_LOG_TAU
        for t in range(n):
            total = 0.0
            for j in range(d):
                value = x[t, j] - means[s, j]
                for i in range(j):
                    value -= lower[s, j, i] * z[i]
                z[j] = value / lower[s, j, j]
                total += z[j] * z[j]
            out[t, s] = 0.0 if math.isnan(total) else constant - 0.5 * total
    return out


@njit(cache=True, nogil=True)
def averaged(x: Floats, span: int) -> Floats:
    """Average that forgets a ``span``-th each whole row; NaN on a row that is not whole."""
    out = np.full_like(x, np.nan)
    last = np.zeros(x.shape[1])
    seen = 0
    for t in range(len(x)):
        if not np.isnan(x[t].sum()):
            seen += 1
            last = last + (x[t] - last) / min(seen, span)
            out[t] = last
    return out


@njit(cache=True, nogil=True)
def _maximise(x: Floats, member: Floats, prior: Floats, shrink: float) -> tuple[Floats, Floats]:
    """Means ``[K, F]`` and covariances from responsibilities; ``shrink`` rows of the prior."""
    n, d = x.shape
    k = member.shape[1]
    means = np.zeros((k, d))
    covariances = np.zeros((k, d, d))
    for s in range(k):
        weight = 1e-12
        for t in range(n):
            weight += member[t, s]
            for j in range(d):
                means[s, j] += member[t, s] * x[t, j]
        means[s] /= weight
        for t in range(n):
            for j in range(d):
                left = member[t, s] * (x[t, j] - means[s, j])
                for i in range(d):
                    covariances[s, j, i] += left * (x[t, i] - means[s, i])
        covariances[s] = (covariances[s] + shrink * prior) / (weight + shrink)
    return means, covariances


def responsibilities(x: Floats, clouds: Clouds) -> tuple[Floats, float]:
    """Share of each Gaussian in every whole row ``x [T, F]``; ``[T, K]`` and the log likelihood."""
    log_joint = clouds.log_density(x) + np.log(clouds.shares)
    top = log_joint.max(axis=1, keepdims=True)
    joint = np.exp(log_joint - top)
    total = joint.sum(axis=1, keepdims=True)
    return joint / total, float((top + np.log(total)).sum())


def climb(
    x: Floats, member: Floats, *, prior: Floats, shrink: float, rounds: int, tolerance: float
) -> tuple[Clouds, float]:
    """Run EM from responsibilities ``member [T, K]`` of whole rows ``x [T, F]``.

    Parameters
    ----------
    prior : float64, ``[feature, feature]``
        Covariance of the pseudo-rows.
    shrink : float
        How many of them each state's covariance counts.
    rounds, tolerance : int, float
        Stop after so many rounds, or when the log likelihood moves less than ``tolerance``.

    Returns
    -------
    clouds : Clouds
    total : float
        Log likelihood.
    """
    last = -math.inf
    for _ in range(rounds):
        shares = np.maximum(member.mean(axis=0), 1e-12)
        clouds = Clouds(shares / shares.sum(), *_maximise(x, member, prior, shrink))
        member, total = responsibilities(x, clouds)
        if abs(total - last) < tolerance:
            break
        last = total
    return clouds, total


@dataclass(frozen=True)
class MixtureFit:
    """A fitted mixture; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    scaling : Scaling
    clouds : Clouds
        Over averaged standardised rows.
    move : float64, ``[state, state]``
    span : int
        Sessions of the average.
    evidence : float
        Share of a row's log density that is news, because averages overlap.
    temperature : float
    """

    names: tuple[str, ...]
    scaling: Scaling
    clouds: Clouds
    move: Floats
    span: int
    evidence: float
    temperature: float

    def log_density(self, state: Floats) -> Floats:
        """News of each row on each state; ``[time, state]``."""
        rows = averaged(self.scaling.standardised(state), self.span)
        return self.evidence * self.clouds.log_density(rows)

    def plain(self, state: Floats) -> Floats:
        """Filtered probabilities before the temperature; ``[time, state]``."""
        return forward(self.log_density(state), stationary(self.move), self.move)[0]

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        return tempered(self.plain(state), self.temperature)

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {
            **self.scaling.arrays(),
            "shares": self.clouds.shares,
            "means": self.clouds.means,
            "covariances": self.clouds.covariances,
            "move": self.move,
            "filter": np.array([self.span, self.evidence, self.temperature]),
        }

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        return {"model": "mixture", "names": list(self.names), **self.scaling.config()}


@dataclass(frozen=True)
class MixtureModel:
    """Recipe of the mixture.

    Parameters
    ----------
    span : int
        Sessions over which rows are averaged before they are clustered.
    number : NumberPrior
        Of the number of states; likelihood and price count rows that are news.
    starts, finalists, trial, rounds, tolerance
        First partitions, how many go on after ``trial`` rounds, and where those end.
    strength, stay : float
        Prior of the moves: pseudo-observations from each state, and the share that stays.
    shrink : float
        Pseudo-rows in each state's covariance, of the pooled one over ``K^(2/F)``: as if it were
        cut into ``K`` parts of one volume.
    least : int
        Fewest whole rows that a fit accepts.
    """

    span: int = 3
    number: NumberPrior = field(default_factory=lambda: NumberPrior(away=5.0, change=5.0))
    starts: int = 12
    finalists: int = 3
    trial: int = 10
    rounds: int = 200
    tolerance: float = 0.01
    strength: float = 1000.0
    stay: float = 0.985
    shrink: float = 60.0
    least: int = 60

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> MixtureFit:
        """Fit on ``state`` ``[time, feature]``; ``previous`` is one more start, and sets the order.

        Raises
        ------
        NotFittedError
            No usable column, or fewer than ``least`` whole rows.
        """
        scaling = scaling_of(state, columns, least=self.least)
        x = averaged(scaling.standardised(state), self.span)
        before = previous if isinstance(previous, MixtureFit) else None
        warm = None if before is None else before.filter(state)
        found = None if before is None else len(before.names)
        clouds, evidence = self._best(x, warm, found, seed)
        prior = sticky_prior(clouds.states, self.strength, self.stay)
        move = prior / prior.sum(axis=1, keepdims=True)
        log_b = evidence * clouds.log_density(x)
        for _ in range(5):
            move = posterior(log_b, move)[1] + prior
            move /= move.sum(axis=1, keepdims=True)
        fit = MixtureFit((), scaling, clouds, move, self.span, evidence, 1.0)
        if before is not None and warm is not None:
            fit = _ordered(fit, kept_order(warm, fit.plain(state)))
            log_b = fit.log_density(state)
        labels = posterior(log_b, fit.move)[0].argmax(axis=1)
        temperature = temperature_of(fit.plain(state), labels)
        fit = dataclasses.replace(fit, temperature=temperature)
        return dataclasses.replace(fit, names=name_states(state, columns, fit.filter(state)))

    def _best(
        self, x: Floats, warm: Floats | None, before: int | None, seed: int
    ) -> tuple[Clouds, float]:
        """Take the number of states whose likelihood pays for them, in rows that are news."""
        known = np.isfinite(x).all(axis=1)
        rows, d = x[known], x.shape[1]
        pooled = np.cov(rows, rowvar=False, bias=True).reshape(d, d) + 1e-6 * np.eye(d)
        runs = []
        for k in self.number.states:
            count = self.starts if k == self.number.expected else max(1, self.starts // 4)
            firsts = [np.eye(k)[label] for label in partitions(rows, k, count=count, seed=seed)]
            if warm is not None and warm.shape[1] == k:
                firsts.append(warm[known])
            runs.append(self._climbed(rows, firsts, pooled / k ** (2.0 / d)))
        widest = max(runs, key=lambda run: run[0].states)[0]
        residual = rows - responsibilities(rows, widest)[0] @ widest.means
        evidence = float(np.mean(1.0 / np.maximum(overlap(residual, LAGS), 1.0)))

        price = 0.5 * d * math.log(max(evidence * len(rows), 2.0))

        def worth(run: tuple[Clouds, float]) -> float:
            return self.number.worth(run[0].states, evidence * run[1], price, before)

        return max(runs, key=worth)[0], evidence

    def _climbed(self, rows: Floats, firsts: list[Floats], pooled: Floats) -> tuple[Clouds, float]:
        """Run EM briefly from every start, to its end from the best few; keep the best."""

        def run(member: Floats, rounds: int) -> tuple[Clouds, float]:
            return climb(
                rows,
                member,
                prior=pooled,
                shrink=self.shrink,
                rounds=rounds,
                tolerance=self.tolerance,
            )

        short = sorted((run(f, self.trial) for f in firsts), key=lambda r: -r[1])
        best = [responsibilities(rows, clouds)[0] for clouds, _ in short[: self.finalists]]
        runs = [run(member, self.rounds) for member in best]
        return max(runs, key=lambda r: r[1])

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> MixtureFit:
        """Rebuild a fit from what it saved."""
        span, evidence, temperature = arrays["filter"]
        return MixtureFit(
            names=tuple(config["names"]),
            scaling=Scaling.of(arrays, config),
            clouds=Clouds(arrays["shares"], arrays["means"], arrays["covariances"]),
            move=arrays["move"],
            span=int(span),
            evidence=float(evidence),
            temperature=float(temperature),
        )


def _ordered(fit: MixtureFit, order: list[int]) -> MixtureFit:
    clouds = fit.clouds
    return dataclasses.replace(
        fit,
        clouds=Clouds(clouds.shares[order], clouds.means[order], clouds.covariances[order]),
        move=np.ascontiguousarray(fit.move[np.ix_(order, order)]),
    )


REGIMES.register("mixture")(MixtureModel())
