"""Statistical jump model of the market's state: clusters in time, with a price on every jump.

For: regimes without a density. A training window is cut by penalised k-means,

    minimise   sum_t loss(t, s_t) + penalty x (number of t with s_t != s_{t-1})
    loss(t, k) = 1/2 sum_j evidence_j (u_tj - centre_kj)^2

over centres and paths ``s``, with rows ``u`` whitened by what is left within states. By turns: the
best path for the centres by dynamic programming, the best centres for the path. Afterwards each
close is told only

    V_t(k) = loss(t, k) + min(V_{t-1}(k), min_j V_{t-1}(j) + penalty)

the cost of the cheapest path that ends in ``k``; probabilities are ``softmax(-V_t / temperature)``.
Not for: the path itself, which looks back from the end of the window.

Source: Bemporad, Breschi, Piga and Boyd, "Fitting jump models" (2018); Nystrup, Lindstroem and
Madsen, "Learning hidden Markov models with persistent states by penalizing jumps" (2020).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from ml.hidden_markov import fast, news
from ml.market_state import name_states
from ml.regime import REGIMES, Floats, RegimeFit
from ml.regime_window import (
    Ints,
    NumberPrior,
    Scaling,
    kept_order,
    partitions,
    price_of,
    scaling_of,
    softmax,
    temperature_of,
    times,
)


@njit(cache=True, nogil=True)
def losses(u: Floats, centres: Floats, evidence: Floats) -> Floats:
    """Half the weighted squared distance of rows ``u [T, F]``; zero for a row with a NaN."""
    n, d = u.shape
    out = np.zeros((n, len(centres)))
    for t in range(n):
        if not math.isnan(u[t].sum()):
            for s in range(len(centres)):
                for j in range(d):
                    out[t, s] += 0.5 * evidence[j] * (u[t, j] - centres[s, j]) ** 2
    return out


@njit(cache=True, nogil=True)
def forward_cost(loss: Floats, penalty: float) -> Floats:
    """Cost of the cheapest path that ends in each state, over the cheapest of all; ``[T, K]``."""
    n, k = loss.shape
    out = np.empty((n, k))
    for t in range(n):
        low = np.inf
        for s in range(k):
            before = 0.0 if t == 0 else min(out[t - 1, s], penalty)
            out[t, s] = loss[t, s] + before
            low = min(low, out[t, s])
        out[t] -= low
    return out


@njit(cache=True, nogil=True)
def cheapest_path(loss: Floats, penalty: float) -> tuple[Ints, float]:
    """States of the cheapest path through a training window ``loss [T, K]``, and its cost."""
    n, k = loss.shape
    came = np.zeros((n, k), dtype=np.int64)
    cost = loss[0].copy()
    for t in range(1, n):
        best = int(cost.argmin())
        jump = cost[best] + penalty
        for s in range(k):
            came[t, s] = s if cost[s] <= jump else best
            cost[s] = min(cost[s], jump) + loss[t, s]
    path = np.zeros(n, dtype=np.int64)
    path[n - 1] = int(cost.argmin())
    total = cost[path[n - 1]]
    for t in range(n - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path, total


def penalty_of(states: int, stay: float) -> float:
    """Price of a jump, in nats: what staying is likelier than one given other state.

    Examples
    --------
    >>> round(penalty_of(3, 0.985), 3)
    4.878
    """
    return math.log(stay * max(states - 1, 1) / (1.0 - stay))


def settle(
    u: Floats, label: Ints, *, states: int, evidence: Floats, penalty: float, rounds: int
) -> tuple[Floats, Ints, float]:
    """Take turns between centres and path until the path stays.

    Parameters
    ----------
    u : float64, ``[time, feature]``
    label : int64, ``[time]``
        First path; a row with a NaN counts in no centre.
    states : int
    evidence : float64, ``[feature]``
    penalty : float
    rounds : int
        Most turns.

    Returns
    -------
    centres : float64, ``[state, feature]``
    path : int64, ``[time]``
    cost : float
        Of the path around these centres; no turn raises it.
    """
    whole = np.isfinite(u).all(axis=1)
    centres = np.zeros((states, u.shape[1]))
    cost = math.inf
    for _ in range(rounds):
        for s in range(states):
            inside = whole & (label == s)
            if inside.any():  # a state that the path has left keeps its place
                centres[s] = u[inside].mean(axis=0)
        path, cost = cheapest_path(losses(u, centres, evidence), penalty)
        if np.array_equal(path, label):
            break
        label = path
    return centres, label, float(cost)


@dataclass(frozen=True)
class JumpFit:
    """A fitted jump model; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    scaling : Scaling
    whiten : float64, ``[feature, feature]``
        From standardised rows to whitened ones.
    centres : float64, ``[state, feature]``
    evidence : float64, ``[feature]``
        Share of each whitened column that is news.
    penalty, temperature : float
    """

    names: tuple[str, ...]
    scaling: Scaling
    whiten: Floats
    centres: Floats
    evidence: Floats
    penalty: float
    temperature: float

    def whitened(self, state: Floats) -> Floats:
        """Rows in deviations of what is left within states; ``[time, feature]``."""
        return times(self.scaling.standardised(state), self.whiten.T)

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        loss = losses(self.whitened(state), self.centres, self.evidence)
        return softmax(-forward_cost(loss, self.penalty), self.temperature)

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {
            **self.scaling.arrays(),
            "whiten": self.whiten,
            "centres": self.centres,
            "evidence": self.evidence,
            "filter": np.array([self.penalty, self.temperature]),
        }

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        return {"model": "jump", "names": list(self.names), **self.scaling.config()}


@dataclass(frozen=True)
class JumpModel:
    """Recipe of the jump model.

    Parameters
    ----------
    number : NumberPrior
        Of the number of states.
    starts : int
        First partitions at the expected number of states; a quarter of it elsewhere.
    stay : float
        Share of sessions that stay, from which the price of a jump follows.
    rounds : int
        Most turns between centres and path.
    shrink : float
        Pseudo-rows of unit covariance in what is left within states.
    least : int
        Fewest whole rows that a fit accepts.
    """

    number: NumberPrior = field(default_factory=NumberPrior)
    starts: int = 24
    stay: float = 0.985
    rounds: int = 60
    shrink: float = 20.0
    least: int = 60

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> JumpFit:
        """Fit on ``state`` ``[time, feature]``; ``previous`` is one more start, and sets the order.

        Raises
        ------
        NotFittedError
            No usable column, or fewer than ``least`` whole rows.
        """
        scaling = scaling_of(state, columns, least=self.least)
        x = scaling.standardised(state)  # [T, F]
        before = previous if isinstance(previous, JumpFit) else None
        told = None if before is None else before.filter(state)
        warm = None if told is None else told.argmax(axis=1)
        found = None if before is None else len(before.names)
        d = x.shape[1]
        whiten, evidence = np.eye(d), news(fast(x))
        for _ in range(2):  # what is left depends on the path, and the path on what is left
            path = self._best(times(x, whiten.T), evidence, warm, found, seed)[1]
            whiten, evidence = self._whitened(x, path)
        u = times(x, whiten.T)
        centres, path, _ = self._best(u, evidence, warm, found, seed)
        penalty = penalty_of(len(centres), self.stay)
        if told is not None:
            loss = losses(u, centres, evidence)
            order = kept_order(told, softmax(-forward_cost(loss, penalty), 1.0))
            centres, path = centres[order], np.argsort(order)[path]
        cost = forward_cost(losses(u, centres, evidence), penalty)
        temperature = temperature_of(softmax(-cost, 1.0), path)
        fit = JumpFit((), scaling, whiten, centres, evidence, penalty, temperature)
        return dataclasses.replace(fit, names=name_states(state, columns, fit.filter(state)))

    def _whitened(self, x: Floats, path: Ints) -> tuple[Floats, Floats]:
        """Whitening matrix of what is left within states, and the evidence of its columns."""
        left = _left(x, path)
        known = left[np.isfinite(left).all(axis=1)]
        unit = self.shrink * np.eye(x.shape[1])
        covariance = (known.T @ known + unit) / (len(known) + self.shrink)
        whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        return whiten, news(_left(times(x, whiten.T), path))

    def _settled(
        self, u: Floats, states: int, evidence: Floats, warm: Ints | None, seed: int
    ) -> tuple[Floats, Ints, float]:
        """Settle from every start; keep the cheapest."""
        whole = np.isfinite(u).all(axis=1)
        count = self.starts if states == self.number.expected else max(1, self.starts // 4)
        firsts = []
        for label in partitions(u[whole], states, count=count, seed=seed):
            first = np.zeros(len(u), dtype=np.int64)
            first[whole] = label
            firsts.append(first)
        if warm is not None and warm.max() < states:
            firsts.append(warm)
        penalty = penalty_of(states, self.stay)
        runs = (
            settle(u, first, states=states, evidence=evidence, penalty=penalty, rounds=self.rounds)
            for first in firsts
        )
        return min(runs, key=lambda run: run[2])

    def _best(
        self, u: Floats, evidence: Floats, warm: Ints | None, before: int | None, seed: int
    ) -> tuple[Floats, Ints, float]:
        """Take the number of states whose saving pays for its price."""
        price = price_of(u)
        runs = [self._settled(u, k, evidence, warm, seed) for k in self.number.states]

        def worth(run: tuple[Floats, Ints, float]) -> float:
            return self.number.worth(len(run[0]), -run[2], price, before)

        return max(runs, key=worth)

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> JumpFit:
        """Rebuild a fit from what it saved."""
        penalty, temperature = arrays["filter"]
        return JumpFit(
            names=tuple(config["names"]),
            scaling=Scaling.of(arrays, config),
            whiten=arrays["whiten"],
            centres=arrays["centres"],
            evidence=arrays["evidence"],
            penalty=float(penalty),
            temperature=float(temperature),
        )


def _left(x: Floats, path: Ints) -> Floats:
    """Distance of each row from the mean of its state; ``[time, feature]``."""
    out = np.full_like(x, np.nan)
    whole = np.isfinite(x).all(axis=1)
    for s in np.unique(path[whole]):
        inside = whole & (path == s)
        out[inside] = x[inside] - x[inside].mean(axis=0)
    return out


REGIMES.register("jump")(JumpModel())
