"""What the decision path passes on: decisions, verdicts, and the set that is exported.

For: frozen records, shared by ``decide``, ``gate`` and ``transition``. Not for: computing them,
and not for the JSON document (``document``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.learner import held_sets

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """One parameter set of a mix."""

    weight: float
    parameters: dict[str, Any]


@dataclass(frozen=True)
class RegimeRow:
    """What one regime would run: its best set, that set's score and the evidence behind it.

    ``parameters`` is None where no set is eligible; ``score`` is a Sharpe ratio per session and
    ``sessions`` the effective number of sessions.
    """

    parameters: dict[str, Any] | None
    score: float | None
    sessions: float


@dataclass(frozen=True)
class Regime:
    """Today's regime: the likeliest name, all probabilities by name, and since when it leads."""

    name: str
    probabilities: dict[str, float]
    since: str


@dataclass(frozen=True, eq=False)
class Decision:
    """A proposal for one strategy after the close of one session.

    Parameters
    ----------
    session : int
        Index on the history's axis; ``date`` is its ISO date.
    grid : ParamGrid
        The candidates, ``[param]``.
    weights : float64, ``[param]``
        The mix over the candidates; the rest is cash.
    by_regime : dict of str to RegimeRow
    confidence : float
        Probability that the mix earns more than the plain average of all eligible sets over the
        next 30 sessions; one half where nothing is known.
    parameter_confidence : dict of str to float
        The same for the values that the mix gives each parameter; see :mod:`ml.confidence`.
    selected_at, refitted_at : int
        Sessions of the selection and of the regime fit in force.
    """

    strategy: str
    session: int
    date: str
    grid: ParamGrid
    weights: Floats
    regime: Regime
    by_regime: dict[str, RegimeRow]
    confidence: float
    parameter_confidence: dict[str, float]
    selected_at: int
    refitted_at: int

    @cached_property
    def mix(self) -> tuple[Member, ...]:
        """The positive weights, heaviest first."""
        return members_of(self.weights, self.grid)

    @property
    def parameters(self) -> dict[str, Any] | None:
        """Those of the heaviest member; None when the mix is all cash."""
        return self.mix[0].parameters if self.mix else None


@dataclass(frozen=True)
class Criterion:
    """One line of the gate's table; a value that does not exist is None with a reason."""

    name: str
    value: float | None
    limit: float
    better: Literal["above", "below"]
    passed: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """Promote or hold, and why.

    Parameters
    ----------
    promote : bool
    criteria : tuple of Criterion
    observations : int
        Out-of-sample sessions looked at.
    smallest_gain : float or None
        Smallest improvement in annual Sharpe ratio over the rival that these sessions could have
        shown.
    champion : str
        Policy that was challenged.
    """

    promote: bool
    criteria: tuple[Criterion, ...]
    observations: int
    smallest_gain: float | None
    champion: str

    @property
    def reason(self) -> str:
        """One clause: what it passed, or what it failed."""
        if self.promote:
            return "all criteria passed"
        failed = [c.name for c in self.criteria if not c.passed]
        return "held: " + ", ".join(failed) if failed else "held"


@dataclass(frozen=True)
class ParameterSet:
    """What is exported for one strategy after one session.

    Parameters
    ----------
    champion : str
        Policy whose mix is run: ``default``, ``incumbent`` or ``regime_aware``.
    weights : float64, ``[param]``
        Over all sets of the walk (candidates, then default and incumbent).
    action : str
        ``update`` where what is run changed because of a promoted policy, else ``hold``.
    unsure : str
        Why a promoted policy was not followed, in words; empty where it was, or is none.
    """

    strategy: str
    champion: str
    weights: Floats
    action: Literal["update", "hold"]
    unsure: str = ""


def members_of(weights: Floats, grid: ParamGrid) -> tuple[Member, ...]:
    """Positive weights as members, heaviest first; ties keep the grid's order."""
    return tuple(Member(float(weights[p]), grid.row(p)) for p in held_sets(weights))
