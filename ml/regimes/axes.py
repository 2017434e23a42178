"""Regimes as products of axes: trend, volatility, volume and correlation, each filtered alone.

For: states that can be read word by word, where one axis changes without the others. Each axis is
a small sticky chain over one column; its states are called by the axis's words, and states of one
word are one. A regime is a combination of words; its probability is the product over axes.
Combinations that the training window hardly saw are merged into the nearest one that it did, so
that few remain. Not for: effects that no single axis shows.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np

from backtest.errors import NotFittedError
from ml.hidden_markov import Chain, climb, evidence_of, filtered, sticky_prior
from ml.market_state import (
    AXES,
    CORRELATION,
    STATE_COLUMNS,
    TREND,
    TRENDS,
    VOLATILITY,
    VOLUME,
    WORDS,
    name_states,
)
from ml.regime import REGIMES, Floats, RegimeFit
from ml.regime_window import Scaling, kept_order, partitions, scaling_of, times

READS: Final = {
    TREND: (STATE_COLUMNS[0], TREND),
    VOLATILITY: (VOLATILITY,),
    VOLUME: (VOLUME,),
    CORRELATION: (STATE_COLUMNS[1], CORRELATION),
}
"""Columns that an axis may be read from, the first that is known: daily ones before averages."""

_EMPTY: Final = (TRENDS[1], *(below for below, _ in WORDS.values()))
"""Words of axes that say nothing."""


@dataclass(frozen=True)
class Axis:
    """One axis: a chain over one column, and the words of its states.

    Parameters
    ----------
    place : int
        Which word of a name it gives, 0 to 3.
    words : tuple of str, ``[state]``
    scaling : Scaling
        Of its one column.
    evidence : float64, ``[1]``
    chain : Chain
    """

    place: int
    words: tuple[str, ...]
    scaling: Scaling
    evidence: Floats
    chain: Chain

    def filter(self, state: Floats) -> Floats:
        """Probabilities of the chain's states given the rows up to each; ``[time, state]``."""
        return filtered(self.scaling.standardised(state), self.chain, self.evidence)


@dataclass(frozen=True)
class AxesFit:
    """Fitted axes; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    axes : tuple of Axis
    merged : float64, ``[combination, state]``
        One where a combination of the axes' states belongs to a regime; combinations in the
        order of ``itertools.product``.
    """

    names: tuple[str, ...]
    axes: tuple[Axis, ...]
    merged: Floats

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        out = times(_combined(self.axes, state), self.merged)
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        out = {"merged": self.merged}
        for axis in self.axes:
            parts = {
                **axis.scaling.arrays(),
                "evidence": axis.evidence,
                "means": axis.chain.means,
                "covariance": axis.chain.covariance,
                "move": axis.chain.move,
            }
            out |= {f"{axis.place}/{name}": array for name, array in parts.items()}
        return out

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        axes = [{"place": a.place, "words": list(a.words), **a.scaling.config()} for a in self.axes]
        return {"model": "axes", "names": list(self.names), "axes": axes}


@dataclass(frozen=True)
class AxesModel:
    """Recipe of the axes.

    Parameters
    ----------
    rare : float
        Share of the training sessions below which a combination is merged.
    strength, stay, shrink, rounds, tolerance
        As of the hidden Markov model.
    starts : int
        First partitions.
    least : int
        Fewest known rows of an axis.
    """

    rare: float = 0.05
    starts: int = 4
    strength: float = 1000.0
    stay: float = 0.985
    shrink: float = 20.0
    rounds: int = 100
    tolerance: float = 0.05
    least: int = 60

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> AxesFit:
        """Fit on ``state`` ``[time, feature]``; ``previous`` keeps the order of states.

        Raises
        ------
        NotFittedError
            No axis is known on ``least`` rows.
        """
        axes = tuple(
            axis
            for place, name in enumerate(AXES)
            if (axis := self._axis(place, name, state, columns, seed)) is not None
        )
        if not axes:
            raise NotFittedError(
                f"no axis of market state is known on the {self.least} sessions that are needed",
                where=f"{len(state)} sessions, columns: {', '.join(columns) or 'none'}",
                fix="give more history",
            )
        mass = _combined(axes, state).mean(axis=0)
        combinations = _named(axes)
        kept, merged = _merge(combinations, mass, self.rare)
        fit = AxesFit(kept, axes, merged)
        if isinstance(previous, AxesFit):
            order = kept_order(previous.filter(state), fit.filter(state))
            merged = np.ascontiguousarray(merged[:, order])
            fit = AxesFit(tuple(kept[s] for s in order), axes, merged)
        return fit

    def _axis(
        self, place: int, name: str, state: Floats, columns: tuple[str, ...], seed: int
    ) -> Axis | None:
        """Fit one axis, if one of its columns is known and varies."""
        for column in READS[AXES[place]]:
            if column not in columns:
                continue
            try:
                alone = state[:, [columns.index(column)]]
                scaling = scaling_of(alone, (column,), least=self.least)
            except NotFittedError:
                continue  # the next column may be known
            x = scaling.standardised(alone)
            chain, evidence = self._chain(x, 3 if name == TREND else 2, seed)
            member = filtered(x, chain, evidence)
            words = tuple(told.split()[place] for told in name_states(state, columns, member))
            whole = dataclasses.replace(scaling, columns=columns)
            return Axis(place, words, whole, evidence, chain)
        return None

    def _chain(self, x: Floats, most: int, seed: int) -> tuple[Chain, Floats]:
        """Take the number of states whose likelihood pays for them (BIC)."""
        cut = self._first(x[np.isfinite(x).all(axis=1)], most, seed)[0]
        evidence = evidence_of(x, cut, np.ones(1))
        for _ in range(2):
            evidence = evidence_of(x, self._climbed(x, most, evidence, seed)[0], evidence)
        price = 0.5 * math.log(np.isfinite(x).sum())
        runs = [self._climbed(x, k, evidence, seed) for k in range(1, most + 1)]
        best = max(runs, key=lambda run: run[2] - price * run[0].states)
        return best[0], evidence

    def _climbed(
        self, x: Floats, states: int, evidence: Floats, seed: int
    ) -> tuple[Chain, float, float]:
        """Run EM from every first partition; keep the best."""
        prior = sticky_prior(states, self.strength, self.stay)
        runs = (
            climb(
                x,
                chain,
                prior=prior,
                evidence=evidence,
                shrink=self.shrink,
                rounds=self.rounds,
                tolerance=self.tolerance,
            )
            for chain in self._first(x[np.isfinite(x).all(axis=1)], states, seed)
        )
        return max(runs, key=lambda run: run[1])

    def _first(self, whole: Floats, states: int, seed: int) -> list[Chain]:
        """Chains whose means and covariance are those of first partitions of the rows."""
        move = sticky_prior(states, 1.0, self.stay)
        chains = []
        for label in partitions(whole, states, count=self.starts, seed=seed):
            groups = [whole[label == s] for s in range(states)]
            means = np.array([g.mean(axis=0) if len(g) else np.zeros(1) for g in groups])
            left = whole - means[label]
            chains.append(Chain(means, left.T @ left / len(left) + 1e-6 * np.eye(1), move))
        return chains

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> AxesFit:
        """Rebuild a fit from what it saved."""
        axes = []
        for told in config["axes"]:
            own = {n: arrays[f"{told['place']}/{n}"] for n in _WEIGHTS}
            chain = Chain(own["means"], own["covariance"], own["move"])
            scaling = Scaling.of(own, told)
            words = tuple(told["words"])
            axes.append(Axis(told["place"], words, scaling, own["evidence"], chain))
        return AxesFit(tuple(config["names"]), tuple(axes), arrays["merged"])


_WEIGHTS = ("centre", "scale", "evidence", "means", "covariance", "move")


def _combined(axes: tuple[Axis, ...], state: Floats) -> Floats:
    """Product of the axes' probabilities; ``[time, combination]``."""
    out = np.ones((len(state), 1))
    for axis in axes:
        p = axis.filter(state)
        out = (out[:, :, None] * p[:, None, :]).reshape(len(state), -1)
    return out


def _named(axes: tuple[Axis, ...]) -> list[tuple[str, ...]]:
    """Four words of every combination of the axes' states, in the order of the product."""
    out = []
    for chosen in product(*(axis.words for axis in axes)):
        words = list(_EMPTY)
        for axis, word in zip(axes, chosen, strict=True):
            words[axis.place] = word
        out.append(tuple(words))
    return out


def _merge(
    combinations: list[tuple[str, ...]], mass: Floats, rare: float
) -> tuple[tuple[str, ...], Floats]:
    """Names that stay, and which combination belongs to which; ``[combination, state]``.

    A rare name goes to the one that shares most words with it, the trend's first, and of those
    to the one seen most.
    """
    total: dict[tuple[str, ...], float] = {}
    for words, share in zip(combinations, mass, strict=True):
        total[words] = total.get(words, 0.0) + float(share)
    most = max(total.values())
    kept = [words for words, share in total.items() if share >= min(rare, most)]

    def nearness(words: tuple[str, ...], other: tuple[str, ...]) -> tuple[int, bool, float]:
        same = [a == b for a, b in zip(words, other, strict=True)]
        return sum(same), same[0], total[other]

    merged = np.zeros((len(combinations), len(kept)))
    for c, words in enumerate(combinations):
        home = words if words in kept else max(kept, key=lambda k: nearness(words, k))
        merged[c, kept.index(home)] = 1.0
    return tuple(" ".join(words) for words in kept), merged


REGIMES.register("axes")(AxesModel())
