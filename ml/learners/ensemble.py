"""Learners together: mixes of the fitter, the online model, the table and the experts.

For: weights of members from what each earned out of sample, and their mixes mixed by them. Not
for: the rules (``ml.ensemble``), or sets that no member proposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.errors import UnknownNameError
from backtest.registry import closest
from ml.learner import HORIZON, LEARNERS, Floats, LearnerView, heaviest

MEMBERS = ("experts", "neural", "online", "regime_table")


@dataclass(frozen=True)
class EnsembleSelection:
    """Weights of the members as of one selection.

    Parameters
    ----------
    scores : float64, ``[1, param]``
        Weight that the mix gives each set; a comparison between sets, not a Sharpe ratio.
    sessions : float64, ``[1]``
    shares : float64, ``[member]``
        Sum at most 1; the rest is cash.
    disagreement : float
        Part of the capital that a member would hold elsewhere than the mix does.
    spread : float64, ``[param]``
        Mean distance of the members' weights from the mix; see :mod:`ml.ensemble.disagreement`.
    """

    scores: Floats
    sessions: Floats
    shares: Floats
    disagreement: float
    spread: Floats


@dataclass(frozen=True)
class Ensemble:
    """Members by one rule; see the registered ones below.

    Parameters
    ----------
    combiner : str
        Name in ``ml.ensemble.combiner.COMBINERS``.
    members : int
        Most sets in the mix.
    advisers : tuple of str
        Names in ``LEARNERS``.
    every : int
        Sessions between two decisions that are stacked on.
    standing : str
        The adviser that the others have to beat, where the combiner has one.

    Raises
    ------
    UnknownNameError
        ``standing`` is no adviser.
    """

    combiner: str = "softmax"
    members: int = 16
    advisers: tuple[str, ...] = MEMBERS
    every: int = 5
    standing: str = "regime_table"

    def __post_init__(self) -> None:
        if self.standing not in self.advisers:
            raise UnknownNameError(
                f"the standing member {self.standing!r} is no adviser of {self.name}",
                fix=closest(self.standing, self.advisers),
            )

    @property
    def name(self) -> str:
        """Name in ``LEARNERS``."""
        return "ensemble" if self.combiner == "softmax" else f"ensemble_{self.combiner}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Learners whose past proposals are read."""
        return self.advisers

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": self.name, **vars(self), "advisers": list(self.advisers)}

    def select(self, view: LearnerView, *, before: Any = None) -> EnsembleSelection:
        """Weigh the members by what they earned since their first proposal."""
        from ml.ensemble.combiner import COMBINERS, Earned
        from ml.ensemble.disagreement import disagreement, spread
        from ml.performance import outcomes

        proposals = np.stack([view.proposals[name] for name in self.advisers])  # [M, T, P]
        start = self._start(proposals)
        held = proposals[:, start:-1]
        streams = np.einsum("mtp,pt->mt", held, view.returns[:, start + 1 :])
        decisions = np.arange(start, view.sessions - HORIZON, self.every)
        shares = COMBINERS.get(self.combiner)(
            Earned(
                streams,
                decisions,
                proposals[:, decisions],
                outcomes(view.returns, decisions),
                self.advisers.index(self.standing),
            )
        )
        today = proposals[:, -1]
        return EnsembleSelection(
            scores=(shares @ today)[None],
            sessions=np.array([float(streams.shape[1])]),
            shares=shares,
            disagreement=float(disagreement(today, shares)),
            spread=spread(today, shares)[:-1],
        )

    @staticmethod
    def _start(proposals: Floats) -> int:
        """First session on which some member proposed something."""
        any_there = proposals.any(axis=(0, 2))
        return int(any_there.argmax()) if any_there.any() else proposals.shape[1] - 1

    def weigh(self, selection: EnsembleSelection, view: LearnerView) -> Floats:
        """Mix today's proposals by the members' weights; ``[param]``."""
        today = np.stack([view.proposals[name][-1] for name in self.advisers])
        return heaviest(np.asarray(selection.shares @ today), self.members)


@LEARNERS.register("ensemble")
@dataclass(frozen=True)
class SoftmaxEnsemble(Ensemble):
    """Softmax of recent performance."""

    combiner: str = "softmax"


@LEARNERS.register("ensemble_sharpe")
@dataclass(frozen=True)
class SharpeEnsemble(Ensemble):
    """Positive recent Sharpe, adjusted for correlation."""

    combiner: str = "sharpe"


@LEARNERS.register("ensemble_stacked")
@dataclass(frozen=True)
class StackedEnsemble(Ensemble):
    """Stacked on proposals that were out of sample."""

    combiner: str = "stacked"


@LEARNERS.register("ensemble_earned")
@dataclass(frozen=True)
class EarnedEnsemble(Ensemble):
    """The regime table, and others as far as their records are clearly above its own."""

    combiner: str = "earned"
