"""Sticky Gaussian hidden Markov model of the market's state, forward filter only.

For: fitting on one training window, with several starts, the number of states chosen on that
window, warm refits and states kept in order. Not for: smoothed or decoded paths.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from backtest import seeds
from backtest.errors import NotFittedError
from ml.hidden_markov import Chain, climb, filtered, sticky_prior
from ml.market_state import AXES, STATE_COLUMNS, name_states
from ml.regime import REGIMES, Floats, RegimeFit

_LIMIT = 5.0


@dataclass(frozen=True)
class HmmFit:
    """A fitted chain; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    columns : tuple of str
        All columns of the state that it was fitted on.
    used : tuple of str, ``[feature]``
        Those that the chain reads; the others were constant, unknown, or serve names only.
    centre, scale : float64, ``[feature]``
        Training mean and deviation of the columns used.
    chain : Chain
        Over standardised columns.
    evidence : float
        Share of each row's log density that counts.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    used: tuple[str, ...]
    centre: Floats
    scale: Floats
    chain: Chain
    evidence: float

    def standardised(self, state: Floats) -> Floats:
        """Columns used, in training deviations, cut at five; ``[time, feature]``."""
        pick = [self.columns.index(name) for name in self.used]
        return np.clip((state[:, pick] - self.centre) / self.scale, -_LIMIT, _LIMIT)

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        return filtered(self.standardised(state), self.chain, self.evidence)[0]

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "means": self.chain.means,
            "covariances": self.chain.covariances,
            "move": self.chain.move,
        }

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        return {
            "model": "hmm",
            "names": list(self.names),
            "columns": list(self.columns),
            "used": list(self.used),
            "dropped": [c for c in self.columns if c not in self.used and c in STATE_COLUMNS],
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class HmmModel:
    """Recipe of the hidden Markov model.

    Parameters
    ----------
    states : tuple of int
        Numbers of states to choose from on the training window.
    starts : int
        Random starts per number of states, beside the warm one.
    strength, stay : float
        Prior of the moves: pseudo-observations from each state, and the share that stays.
    shrink : float
        Pseudo-rows with unit covariance in each state.
    evidence : float
        Share of each row's log density that counts, because rows overlap in time.
    overlap : float
        Sessions per independent row, for the choice of the number of states.
    least : int
        Fewest whole rows that a fit accepts.
    """

    states: tuple[int, ...] = (3,)
    starts: int = 8
    strength: float = 1000.0
    stay: float = 0.985
    shrink: float = 20.0
    evidence: float = 1.0
    overlap: float = 10.0
    least: int = 120
    rounds: int = 60
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
        used = _usable(state, columns)
        if not used:
            raise NotFittedError(
                "no column of the market's state varies",
                where=f"{len(state)} sessions",
                fix="give more history",
            )
        values = state[:, [columns.index(name) for name in used]]
        whole = np.isfinite(values).all(axis=1)
        if whole.sum() < self.least:
            raise NotFittedError(
                f"{int(whole.sum())} whole rows of market state where {self.least} are needed",
                where=f"{len(state)} sessions, columns {', '.join(used)}",
                fix="give more history or a larger train",
            )
        centre, scale = values[whole].mean(axis=0), values[whole].std(axis=0)
        x = np.clip((values - centre) / scale, -_LIMIT, _LIMIT)  # [T, F]
        warm = _warm(previous, used, centre, scale)
        chain = self._best(x, warm, seed)
        fit = HmmFit((), columns, used, centre, scale, chain, self.evidence)
        if isinstance(previous, HmmFit):
            fit = dataclasses.replace(fit, chain=_aligned(fit, previous, state))
        names = name_states(state, columns, fit.filter(state))
        return dataclasses.replace(fit, names=names)

    def _best(self, x: Floats, warm: Chain | None, seed: int) -> Chain:
        """The chain with the best penalised objective over numbers of states and starts."""
        found: list[tuple[float, Chain]] = []
        whole = x[np.isfinite(x).all(axis=1)]
        for k in self.states:
            prior = sticky_prior(k, self.strength, self.stay)
            starts = [self._start(whole, k, s, seed) for s in range(self.starts)]
            if warm is not None and len(warm.means) == k:
                starts.append(warm)
            runs = [self._climb(x, start, prior) for start in starts]
            chain, _ = max(runs, key=lambda run: run[1])
            total = filtered(x, chain, self.evidence)[1]
            size = k * (x.shape[1] * (x.shape[1] + 3) / 2) + k * (k - 1)
            rows = len(whole) / self.overlap
            found.append((total / self.overlap - 0.5 * size * np.log(rows), chain))
        return max(found, key=lambda pair: pair[0])[1]

    def _climb(self, x: Floats, start: Chain, prior: Floats) -> tuple[Chain, float]:
        return climb(
            x,
            start,
            prior=prior,
            shrink=self.shrink,
            evidence=self.evidence,
            rounds=self.rounds,
            tolerance=self.tolerance,
        )

    def _start(self, whole: Floats, k: int, number: int, seed: int) -> Chain:
        """Cut the rows into ``k`` groups along one column, or around random rows."""
        random = seeds.generator(seed, f"start/{k}/{number}")
        if number < whole.shape[1]:
            axis = whole[:, number]
            label = np.searchsorted(np.quantile(axis, np.arange(1, k) / k), axis)
        else:
            seeds_at = whole[random.choice(len(whole), k, replace=False)]
            for _ in range(10):
                label = ((whole[:, None, :] - seeds_at) ** 2).sum(axis=2).argmin(axis=1)
                seeds_at = np.array(
                    [
                        whole[label == s].mean(axis=0) if (label == s).any() else seeds_at[s]
                        for s in range(k)
                    ]
                )
        means = np.array(
            [
                whole[label == s].mean(axis=0) if (label == s).any() else whole.mean(axis=0)
                for s in range(k)
            ]
        )
        identity = np.repeat(np.eye(whole.shape[1])[None], k, axis=0)
        prior = sticky_prior(k, 1.0, self.stay)
        return Chain(means, identity, prior)

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> HmmFit:
        """Rebuild a fit from what it saved."""
        return HmmFit(
            names=tuple(config["names"]),
            columns=tuple(config["columns"]),
            used=tuple(config["used"]),
            centre=arrays["centre"],
            scale=arrays["scale"],
            chain=Chain(arrays["means"], arrays["covariances"], arrays["move"]),
            evidence=float(config["evidence"]),
        )


def _usable(state: Floats, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that the chain reads: known and varying; the axes too where few are left."""

    def varies(name: str) -> bool:
        column = state[:, columns.index(name)]
        seen = column[np.isfinite(column)]
        return len(seen) > 1 and float(seen.std()) > 1e-12 * max(1.0, float(np.abs(seen).max()))

    known = [name for name in columns if varies(name)]
    used = [name for name in known if name in STATE_COLUMNS]
    if len(used) < 3:
        used += [name for name in known if name in AXES and name not in used]
    return tuple(used or known)


def _warm(
    previous: RegimeFit | None, used: tuple[str, ...], centre: Floats, scale: Floats
) -> Chain | None:
    """The previous chain in today's units, if it reads the same columns."""
    if not isinstance(previous, HmmFit) or previous.used != used:
        return None
    ratio = previous.scale / scale
    means = (previous.chain.means * previous.scale + previous.centre - centre) / scale
    covariances = previous.chain.covariances * np.outer(ratio, ratio)
    return Chain(means, covariances, previous.chain.move)


def _aligned(fit: HmmFit, previous: HmmFit, state: Floats) -> Chain:
    """Reorder states so that each keeps the index of the one it shares most sessions with."""
    shared = previous.filter(state).T @ fit.filter(state)  # [K before, K now]
    before, now = linear_sum_assignment(shared, maximize=True)
    k = shared.shape[1]
    order = [int(n) for _, n in sorted(zip(before, now, strict=True))]
    order += [s for s in range(k) if s not in order]
    chain = fit.chain
    return Chain(chain.means[order], chain.covariances[order], chain.move[np.ix_(order, order)])


REGIMES.register("hmm")(HmmModel())
