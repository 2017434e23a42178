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
from ml.hidden_markov import Chain, climb, evidence_of, filtered, smoothed, sticky_prior
from ml.market_state import AXES, STATE_COLUMNS, name_states
from ml.regime import REGIMES, Floats, RegimeFit

_LIMIT = 4.0
_FEW_COLUMNS = 3


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
    evidence : float64, ``[feature]``
        Share of each column's log density that counts.
    chain : Chain
        Over standardised columns.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    used: tuple[str, ...]
    centre: Floats
    scale: Floats
    evidence: Floats
    chain: Chain

    def standardised(self, state: Floats) -> Floats:
        """Columns used, in training deviations, cut at four; ``[time, feature]``."""
        pick = [self.columns.index(name) for name in self.used]
        return np.clip((state[:, pick] - self.centre) / self.scale, -_LIMIT, _LIMIT)

    def filter(self, state: Floats) -> Floats:
        """Probabilities given the rows up to each; ``[time, state]``."""
        return filtered(self.standardised(state), self.chain, self.evidence)

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "evidence": self.evidence,
            "means": self.chain.means,
            "covariance": self.chain.covariance,
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
        }


@dataclass(frozen=True)
class HmmModel:
    """Recipe of the hidden Markov model.

    Parameters
    ----------
    states : tuple of int
        Numbers of states to choose from on the training window.
    expected, away : int, float
        Prior of that choice: how many states are expected, and the nats of likelihood that each
        state more or less must bring beyond the price of its means (BIC).
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

    states: tuple[int, ...] = (2, 3, 4)
    expected: int = 3
    away: float = 40.0
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
        used = _usable(state, columns)
        values = state[:, [columns.index(name) for name in used]]
        whole = np.isfinite(values).all(axis=1)
        if not used or whole.sum() < self.least:
            known = ", ".join(used) or "none"
            raise NotFittedError(
                f"{int(whole.sum()) if used else 0} whole rows of market state where "
                f"{self.least} are needed",
                where=f"{len(state)} sessions, varying columns: {known}",
                fix="give more history or a larger train",
            )
        centre, scale = values[whole].mean(axis=0), values[whole].std(axis=0)
        x = np.clip((values - centre) / scale, -_LIMIT, _LIMIT)  # [T, F]
        warm = _warm(previous, used, centre, scale)
        evidence = self._evidence(x, warm, seed)
        chain = self._best(x, evidence, None if warm is None else warm.chain, seed)
        fit = HmmFit((), columns, used, centre, scale, evidence, chain)
        if isinstance(previous, HmmFit):
            fit = dataclasses.replace(fit, chain=_aligned(fit, previous, state))
        return dataclasses.replace(fit, names=name_states(state, columns, fit.filter(state)))

    def _evidence(self, x: Floats, warm: HmmFit | None, seed: int) -> Floats:
        """How much each column counts: by what the last chain, or a first try, leaves over."""
        if warm is not None:
            return evidence_of(x, warm.chain, warm.evidence)
        one = Chain(np.zeros((1, x.shape[1])), np.eye(x.shape[1]), np.ones((1, 1)))
        evidence = evidence_of(x, one, np.ones(x.shape[1]))
        for _ in range(2):
            chain = self._climbed(x, max(self.states), evidence, None, seed)[0]
            evidence = evidence_of(x, chain, evidence)
        return evidence

    def _best(self, x: Floats, evidence: Floats, warm: Chain | None, seed: int) -> Chain:
        """Take the number of states whose likelihood pays for its means."""
        price = 0.5 * x.shape[1] * np.log(np.isfinite(x).all(axis=1).sum())
        runs = [self._climbed(x, k, evidence, warm, seed) for k in self.states]

        def worth(run: tuple[Chain, float, float]) -> float:
            k = run[0].states
            return float(run[2] - price * k - self.away * abs(k - self.expected))

        return max(runs, key=worth)[0]

    def _climbed(
        self, x: Floats, states: int, evidence: Floats, warm: Chain | None, seed: int
    ) -> tuple[Chain, float, float]:
        """Run EM briefly from every start, to its end from the best few; keep the best."""
        count = self.starts if states == self.expected else max(1, self.starts // 4)
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
            columns=tuple(config["columns"]),
            used=tuple(config["used"]),
            centre=arrays["centre"],
            scale=arrays["scale"],
            evidence=arrays["evidence"],
            chain=Chain(arrays["means"], arrays["covariance"], arrays["move"]),
        )


def _usable(state: Floats, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that the chain reads: varying, and known on at least half of the known sessions.

    Where fewer than three of ``STATE_COLUMNS`` are left, as with a single symbol, the axes help.
    """
    known = np.isfinite(state).sum(axis=0)
    enough = max(2, int(known.max(initial=0)) // 2)

    def varies(name: str) -> bool:
        column = state[:, columns.index(name)]
        seen = column[np.isfinite(column)]
        if len(seen) < enough:
            return False
        return float(seen.std()) > 1e-12 * max(1.0, float(np.abs(seen).max()))

    varying = [name for name in columns if varies(name)]
    used = [name for name in varying if name in STATE_COLUMNS]
    if len(used) < _FEW_COLUMNS:
        used += [name for name in varying if name in AXES and name not in used]
    return tuple(used or varying)


def _warm(
    previous: RegimeFit | None, used: tuple[str, ...], centre: Floats, scale: Floats
) -> HmmFit | None:
    """The previous fit in today's units, if it reads the same columns."""
    if not isinstance(previous, HmmFit) or previous.used != used:
        return None
    ratio = previous.scale / scale
    chain = Chain(
        (previous.chain.means * previous.scale + previous.centre - centre) / scale,
        previous.chain.covariance * np.outer(ratio, ratio),
        previous.chain.move,
    )
    return dataclasses.replace(previous, centre=centre, scale=scale, chain=chain)


def _starts(x: Floats, states: int, count: int, stay: float, seed: int) -> list[Chain]:
    """Cut smoothed rows into groups: along each column, then around random rows."""
    whole = x[np.isfinite(x).all(axis=1)]  # [T, F]
    calm = smoothed(whole, 8)
    calm /= np.maximum(calm.std(axis=0), 1e-12)
    random = seeds.generator(seed, f"starts/{states}")
    identity = np.eye(x.shape[1])
    chains = []
    for number in range(count):
        if number < x.shape[1]:
            edges = np.quantile(calm[:, number], np.arange(1, states) / states)
            label = np.searchsorted(edges, calm[:, number])
        else:
            around = calm[random.choice(len(calm), states, replace=False)]
            label = ((calm[:, None, :] - around) ** 2).sum(axis=2).argmin(axis=1)
        groups = [whole[label == s] for s in range(states)]
        means = np.array([g.mean(axis=0) if len(g) else np.zeros(x.shape[1]) for g in groups])
        residual = whole - means[label]
        covariance = 0.9 * residual.T @ residual / len(whole) + 0.1 * identity
        chains.append(Chain(means, covariance, sticky_prior(states, 1.0, stay)))
    return chains


def _aligned(fit: HmmFit, previous: HmmFit, state: Floats) -> Chain:
    """Reorder states so that each keeps the index of the one it shares most sessions with."""
    shared = previous.filter(state).T @ fit.filter(state)  # [K before, K now]
    before, now = linear_sum_assignment(shared, maximize=True)
    order = [int(n) for _, n in sorted(zip(before, now, strict=True))]
    order += [s for s in range(fit.chain.states) if s not in order]
    chain = fit.chain
    return Chain(chain.means[order], chain.covariance, chain.move[np.ix_(order, order)])


REGIMES.register("hmm")(HmmModel())
