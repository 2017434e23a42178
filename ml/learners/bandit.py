"""Contextual bandit by Thompson sampling: each set as often as it is likely the best one today.

For: the learner whose context is the regime, and whose doubt spreads the mix. Not for: exploring
by trading: what every set would have earned is known, so nothing has to be tried to be learned.

A set's mean return in a regime, in its own deviations per session, has the prior N(0, ``prior``^2).
With effective ``n`` sessions of mean ``m`` the posterior is N(m n / (n + 1/prior^2), 1 / (n +
1/prior^2)). The weight of a set is the share of draws from the posterior, mixed by today's
probabilities of the regimes, in which it beats all others and cash. Source: Thompson, "On the
likelihood that one unknown probability exceeds another" (1933); with contexts, Agrawal and Goyal
(2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest import seeds
from ml.learner import LEARNERS, Floats, LearnerView, heaviest
from ml.score_table import sharpe_by_regime


@dataclass(frozen=True)
class BanditSelection:
    """Posterior means, and draws from the posterior.

    Parameters
    ----------
    scores : float64, ``[state, param]``
        Posterior mean, Sharpe per session; -inf where a set is ineligible.
    sessions : float64, ``[state]``
    draws : float64, ``[draw, state, param]``
        0 where a set is ineligible.
    """

    scores: Floats
    sessions: Floats
    draws: Floats


@LEARNERS.register("bandit")
@dataclass(frozen=True)
class Bandit:
    """Thompson sampling over sets, one posterior per regime.

    Parameters
    ----------
    prior : float
        Deviation of a set's mean before anything is known, Sharpe per session.
    draws : int
        The same random numbers at every selection, so that luck does not make turnover.
    members : int
        Most sets in the mix.
    """

    prior: float = 0.1
    draws: int = 256
    members: int = 16

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {"learner": "bandit", **vars(self)}

    def select(self, view: LearnerView, *, before: Any = None) -> BanditSelection:
        """Update the posterior of every set in every regime, and draw from it."""
        known = sharpe_by_regime(view)
        precision = known.sessions + self.prior**-2  # [K]
        mean = known.ratio * (known.sessions / precision)[:, None]  # [K, P]
        normal = seeds.generator(0, "bandit").standard_normal((self.draws, *mean.shape))
        draws = mean + normal / np.sqrt(precision)[:, None]
        return BanditSelection(
            np.where(known.eligible, mean, -np.inf),
            known.sessions,
            np.where(known.eligible, draws, 0.0),
        )

    def weigh(self, selection: BanditSelection, view: LearnerView) -> Floats:
        """Share of draws that each set wins under today's probabilities; ``[param]``."""
        able = np.isfinite(selection.scores[0])
        mixed = np.einsum("k,dkp->dp", view.probabilities[-1], selection.draws)
        today = np.where(able, mixed, -np.inf)
        best = today.argmax(axis=1)
        won = today[np.arange(len(today)), best] > 0.0
        counts = np.bincount(best[won], minlength=len(able))
        return heaviest(counts / len(today), self.members)
