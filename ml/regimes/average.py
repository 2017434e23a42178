"""Average of several regime models: what most of them say, state by state.

For: not trusting one likelihood. Every member is fitted on the same window; the states of the
others are matched to those of the first by the sessions they share on that window, and the
published probability is the mean. Not for: choosing a member by how it did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from backtest import seeds
from ml.regime import REGIMES, Floats, RegimeFit
from ml.regime_window import times


@dataclass(frozen=True)
class AverageFit:
    """Fitted members; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    members : dict of str to RegimeFit
        By name of their model; the first gives the states their order and their names.
    matches : dict of str to float64, ``[its state, state]``
        Which state each of a member's states counts for; rows sum to 1.
    """

    members: dict[str, RegimeFit]
    matches: dict[str, Floats]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the first member's states."""
        return next(iter(self.members.values())).names

    def filter(self, state: Floats) -> Floats:
        """Mean of the members' probabilities given the rows up to each; ``[time, state]``."""
        told = [times(fit.filter(state), self.matches[name]) for name, fit in self.members.items()]
        return np.asarray(np.mean(told, axis=0))

    def arrays(self) -> dict[str, Floats]:
        """Weights by member and name."""
        out = {f"{name}/match": match for name, match in self.matches.items()}
        for name, fit in self.members.items():
            out |= {f"{name}/{key}": array for key, array in fit.arrays().items()}
        return out

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        told = [fit.config() for fit in self.members.values()]
        return {"model": "average", "names": list(self.names), "members": told}


@dataclass(frozen=True)
class AverageModel:
    """Recipe of the average.

    Parameters
    ----------
    members : tuple of str
        Names in ``REGIMES``; the first leads.
    """

    members: tuple[str, ...] = ("hmm", "jump", "mixture")

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> AverageFit:
        """Fit every member on ``state`` ``[time, feature]``, from its own previous fit.

        Raises
        ------
        NotFittedError
            A member cannot be fitted on this window.
        """
        before = previous.members if isinstance(previous, AverageFit) else {}
        fits: dict[str, RegimeFit] = {
            name: REGIMES.get(name).fit(
                state, columns, previous=before.get(name), seed=seeds.integer(seed, name)
            )
            for name in self.members
        }
        told = {name: fit.filter(state) for name, fit in fits.items()}
        lead = told[self.members[0]]
        return AverageFit(fits, {name: matched(one, lead) for name, one in told.items()})

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> AverageFit:
        """Rebuild a fit from what it saved."""
        members, matches = {}, {}
        for told in config["members"]:
            name = told["model"]
            own = {
                key.removeprefix(f"{name}/"): array
                for key, array in arrays.items()
                if key.startswith(f"{name}/")
            }
            matches[name] = own.pop("match")
            members[name] = REGIMES.get(name).restore(own, told)
        return AverageFit(members, matches)


def matched(one: Floats, lead: Floats) -> Floats:
    """Which of the leading states each of another model's states counts for.

    Parameters
    ----------
    one, lead : float64, ``[time, state]``
        Filtered probabilities of the same rows; the numbers of states may differ.

    Returns
    -------
    float64, ``[state of one, state of lead]``
        One-to-one where that shares most sessions; a state left over counts for the leading
        state that it shares most sessions with.
    """
    shared = one.T @ lead
    out = np.zeros(shared.shape)
    out[np.arange(len(out)), shared.argmax(axis=1)] = 1.0
    here, there = linear_sum_assignment(shared, maximize=True)
    out[here] = 0.0
    out[here, there] = 1.0
    return out


REGIMES.register("average")(AverageModel())
