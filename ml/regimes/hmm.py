"""Sticky Gaussian hidden Markov model of the market's state, forward filter only.

For: fitting on one training window, with several starts, the number of states chosen on that
window, warm refits and states kept in order. Not for: smoothed or decoded paths.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.hidden_markov import Chain, climb, evidence_of, fast, filtered, news, sticky_prior
from ml.market_state import name_states
from ml.regime import REGIMES, Floats, RegimeFit
from ml.regime_window import NumberPrior, Scaling, kept_order, partitions, price_of, scaling_of


@dataclass(frozen=True)
class HmmFit:
    """A fitted chain; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    scaling : Scaling
        Columns that the chain reads, and their units.
    evidence : float64, ``[feature]``
        Share of each column's log density that counts.
    chain : Chain
        Over standardised columns.
    """

    names: tuple[str, ...]
    scaling: Scaling
    evidence: Floats
    chain: Chain

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        return filtered(self.scaling.standardised(state), self.chain, self.evidence)

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {
            **self.scaling.arrays(),
            "evidence": self.evidence,
            "means": self.chain.means,
            "covariance": self.chain.covariance,
            "move": self.chain.move,
        }

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        return {"model": "hmm", "names": list(self.names), **self.scaling.config()}


@dataclass(frozen=True)
class HmmModel:
    """Recipe of the hidden Markov model.

    Parameters
    ----------
    number : NumberPrior
        Of the number of states, which is chosen on the training window.
    starts : int
        Starts at the expected number of states, beside the warm one; a quarter of it elsewhere.
    strength, stay : float
        Prior of the moves: pseudo-observations from each state, and the share that stays.
    shrink : float
        Pseudo-rows at the centre with unit covariance.
    least : int
        Fewest whole rows that a fit accepts.
    trial, finalists, rounds, tolerance : int, int, int, float
        Rounds of EM from every start, how many of them go on, and where they end.
    """

    number: NumberPrior = field(default_factory=NumberPrior)
    starts: int = 24
    strength: float = 1000.0
    stay: float = 0.985
    shrink: float = 20.0
    least: int = 60
    trial: int = 8
    finalists: int = 4
    rounds: int = 100
    tolerance: float = 0.05

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> HmmFit:
        """Fit on ``state`` ``[time, feature]``; ``previous`` warm-starts and keeps state order.

        Raises
        ------
        NotFittedError
            No usable column, or fewer than ``least`` whole rows.
        """
        scaling = scaling_of(state, columns, least=self.least)
        x = scaling.standardised(state)  # [T, F]
        warm = _warm(previous, scaling)
        evidence = self._evidence(x, warm, seed)
        before = previous if isinstance(previous, HmmFit) else None
        found = None if before is None else len(before.names)
        chain = self._best(x, evidence, None if warm is None else warm.chain, found, seed)
        fit = HmmFit((), scaling, evidence, chain)
        if before is not None:
            fit = dataclasses.replace(fit, chain=_aligned(fit, before, state))
        return dataclasses.replace(fit, names=name_states(state, columns, fit.filter(state)))

    def _evidence(self, x: Floats, warm: HmmFit | None, seed: int) -> Floats:
        """How much each column counts: by what the last chain, or a first try, leaves over."""
        if warm is not None:
            return evidence_of(x, warm.chain, warm.evidence)
        evidence = news(fast(x))
        for _ in range(2):
            chain = self._climbed(x, max(self.number.states), evidence, None, seed)[0]
            evidence = evidence_of(x, chain, evidence)
        return evidence

    def _best(
        self, x: Floats, evidence: Floats, warm: Chain | None, before: int | None, seed: int
    ) -> Chain:
        """Take the number of states whose likelihood pays for its price."""
        price = price_of(x)
        runs = [self._climbed(x, k, evidence, warm, seed) for k in self.number.states]

        def worth(run: tuple[Chain, float, float]) -> float:
            return self.number.worth(run[0].states, run[2], price, before)

        return max(runs, key=worth)[0]

    def _climbed(
        self, x: Floats, states: int, evidence: Floats, warm: Chain | None, seed: int
    ) -> tuple[Chain, float, float]:
        """Run EM briefly from every start, to its end from the best few; keep the best."""
        count = self.starts if states == self.number.expected else max(1, self.starts // 4)
        chains = _starts(x, states, count, self.stay, seed)
        if warm is not None and warm.states == states:
            chains.append(warm)
        prior = sticky_prior(states, self.strength, self.stay)

        def run(chain: Chain, rounds: int) -> tuple[Chain, float, float]:
            return climb(
                x,
                chain,
                prior=prior,
                evidence=evidence,
                shrink=self.shrink,
                rounds=rounds,
                tolerance=self.tolerance,
            )

        short = sorted((run(c, self.trial) for c in chains), key=lambda r: -r[1])
        return max((run(r[0], self.rounds) for r in short[: self.finalists]), key=lambda r: r[1])

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> HmmFit:
        """Rebuild a fit from what it saved."""
        return HmmFit(
            names=tuple(config["names"]),
            scaling=Scaling.of(arrays, config),
            evidence=arrays["evidence"],
            chain=Chain(arrays["means"], arrays["covariance"], arrays["move"]),
        )


def _warm(previous: RegimeFit | None, scaling: Scaling) -> HmmFit | None:
    """The previous fit in today's units, if it reads the same columns."""
    if not isinstance(previous, HmmFit) or previous.scaling.used != scaling.used:
        return None
    before = previous.scaling
    ratio = before.scale / scaling.scale
    places = previous.chain.means * before.scale + before.centre  # in the columns' own units
    chain = Chain(
        (places - scaling.centre) / scaling.scale,
        previous.chain.covariance * np.outer(ratio, ratio),
        previous.chain.move,
    )
    return dataclasses.replace(previous, scaling=scaling, chain=chain)


def _starts(x: Floats, states: int, count: int, stay: float, seed: int) -> list[Chain]:
    """Chains whose means are those of first partitions of the rows."""
    whole = x[np.isfinite(x).all(axis=1)]  # [T, F]
    identity = np.eye(x.shape[1])
    chains = []
    for label in partitions(whole, states, count=count, seed=seed):
        groups = [whole[label == s] for s in range(states)]
        means = np.array([g.mean(axis=0) if len(g) else np.zeros(x.shape[1]) for g in groups])
        residual = whole - means[label]
        covariance = 0.9 * residual.T @ residual / len(whole) + 0.1 * identity
        chains.append(Chain(means, covariance, sticky_prior(states, 1.0, stay)))
    return chains


def _aligned(fit: HmmFit, previous: HmmFit, state: Floats) -> Chain:
    """Reorder states so that each keeps the index of the one it shares most sessions with."""
    order = kept_order(previous.filter(state), fit.filter(state))
    chain = fit.chain
    return Chain(chain.means[order], chain.covariance, chain.move[np.ix_(order, order)])


REGIMES.register("hmm")(HmmModel())
