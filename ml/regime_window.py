"""A training window as regime models see it: columns that can be read, in training deviations.

For: what models of ``regimes/`` share and must not copy from each other: the choice of columns,
scaling, first partitions of the rows, the order of states across refits, and temperature. Not
for: densities or filters, which are a model's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import linear_sum_assignment, minimize_scalar

from backtest import seeds
from backtest.errors import NotFittedError
from ml.hidden_markov import smoothed
from ml.market_state import AXES, STATE_COLUMNS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LIMIT = 4.0
"""Training deviations at which a standardised value is cut."""

_FEW_COLUMNS = 3
_LATELY = 60
_CALM = 8
_FLOOR = 1e-12
_WIDEST = 8.0
"""Largest temperature, and its inverse the smallest."""


@dataclass(frozen=True)
class Scaling:
    """Columns that a model reads, and their units.

    Parameters
    ----------
    columns : tuple of str
        All columns of the state that it was fitted on.
    used : tuple of str, ``[feature]``
        Those that the model reads; the others were constant, unknown, or serve names only.
    centre, scale : float64, ``[feature]``
        Training mean and deviation of the columns used.
    """

    columns: tuple[str, ...]
    used: tuple[str, ...]
    centre: Floats
    scale: Floats

    def standardised(self, state: Floats) -> Floats:
        """Columns used, in training deviations, cut at ``LIMIT``; ``[time, feature]``."""
        pick = [self.columns.index(name) for name in self.used]
        return np.clip((state[:, pick] - self.centre) / self.scale, -LIMIT, LIMIT)

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {"centre": self.centre, "scale": self.scale}

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        dropped = [c for c in self.columns if c not in self.used and c in STATE_COLUMNS]
        return {"columns": list(self.columns), "used": list(self.used), "dropped": dropped}

    @classmethod
    def of(cls, arrays: dict[str, Floats], config: dict[str, Any]) -> Scaling:
        """Rebuild from :meth:`arrays` and :meth:`config`."""
        names = tuple(config["columns"]), tuple(config["used"])
        return cls(*names, arrays["centre"], arrays["scale"])


def scaling_of(state: Floats, columns: tuple[str, ...], *, least: int) -> Scaling:
    """Choose the columns that a training window can be fitted on, and measure them.

    Parameters
    ----------
    state : float64, ``[time, feature]``
        NaN where unknown.
    columns : tuple of str, ``[feature]``
    least : int
        Fewest rows without NaN in the columns used.

    Raises
    ------
    NotFittedError
        No usable column, or fewer than ``least`` whole rows.
    """
    used = usable(state, columns)
    while True:
        values = state[:, [columns.index(name) for name in used]]
        whole = np.isfinite(values).all(axis=1)
        still = [n for n, c in zip(used, values[whole].T, strict=True) if not _varies(c)]
        if not still or not whole.any():
            break
        used = tuple(name for name in used if name not in still)  # constant where all are known
    if not used or whole.sum() < least:
        known = ", ".join(used) or "none"
        raise NotFittedError(
            f"{int(whole.sum()) if used else 0} whole rows of market state where "
            f"{least} are needed",
            where=f"{len(state)} sessions, varying columns: {known}",
            fix="give more history",
        )
    return Scaling(columns, used, values[whole].mean(axis=0), values[whole].std(axis=0))


def usable(state: Floats, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that a model reads: varying, and known on half of the known sessions, also lately.

    A column that is no longer told would leave every later row without evidence. Where fewer than
    three of ``STATE_COLUMNS`` are left, as with a single symbol, the axes help.
    """
    known = np.isfinite(state)
    last = np.flatnonzero(known.any(axis=1))[-_LATELY:]
    lately = known[last].sum(axis=0)
    enough, still = max(2, int(known.sum(axis=0).max(initial=0)) // 2), lately.max(initial=0) / 2

    def varies(name: str) -> bool:
        at = columns.index(name)
        seen = state[known[:, at], at]
        return len(seen) >= enough and bool(lately[at] >= still) and _varies(seen)

    varying = [name for name in columns if varies(name)]
    used = [name for name in varying if name in STATE_COLUMNS]
    if len(used) < _FEW_COLUMNS:
        used += [name for name in varying if name in AXES and name not in used]
    return tuple(used or varying)


def _varies(column: Floats) -> bool:
    """Whether known values differ by more than rounding."""
    largest = float(np.abs(column).max(initial=0.0))
    return column.size > 0 and float(column.std()) > _FLOOR * max(1.0, largest)


@dataclass(frozen=True)
class NumberPrior:
    """What is known of the number of states before a window is looked at.

    Parameters
    ----------
    states : tuple of int
        Numbers to choose from.
    expected : int
        The one expected.
    away : float
        Nats of likelihood that each state more or less than that must bring beyond its price.
    change : float
        Nats that another number than that of the fit before must bring: a state that comes and
        goes would take the others' indices with it.
    """

    states: tuple[int, ...] = (1, 2, 3, 4, 5)
    expected: int = 3
    away: float = 20.0
    change: float = 10.0

    def worth(self, states: int, gain: float, price: float, before: int | None) -> float:
        """Log likelihood ``gain`` of a fit less its states' price and what the prior says.

        Parameters
        ----------
        states : int
        gain : float
        price : float
            Of one state.
        before : int, optional
            States of the fit before.
        """
        changed = before is not None and states != before
        prior = self.away * abs(states - self.expected) + self.change * changed
        return gain - price * states - prior


def price_of(x: Floats) -> float:
    """What a state more must bring in likelihood on whole rows of ``x [T, F]``, in nats (BIC).

    It has a mean in each column, and moves that lead to it and away.
    """
    whole = int(np.isfinite(x).all(axis=1).sum())
    return 0.5 * float(x.shape[1] + 2) * math.log(whole)


def partitions(whole: Floats, states: int, *, count: int, seed: int) -> list[Ints]:
    """First guesses: cut smoothed rows into groups, along each column, then around random rows.

    Parameters
    ----------
    whole : float64, ``[time, feature]``
        Standardised rows without NaN.
    states, count : int
    seed : int

    Returns
    -------
    list of int64, ``[time]``
    """
    calm = smoothed(whole, _CALM)
    calm /= np.maximum(calm.std(axis=0), _FLOOR)
    random = seeds.generator(seed, f"starts/{states}")
    out: list[Ints] = []
    for number in range(count):
        if number < whole.shape[1]:
            edges = np.quantile(calm[:, number], np.arange(1, states) / states)
            out.append(np.searchsorted(edges, calm[:, number]).astype(np.int64))
        else:
            around = calm[random.choice(len(calm), states, replace=False)]
            out.append(((calm[:, None, :] - around) ** 2).sum(axis=2).argmin(axis=1))
    return out


def kept_order(before: Floats, now: Floats) -> list[int]:
    """Order in which each new state keeps the index of the one it shares most sessions with.

    Parameters
    ----------
    before, now : float64, ``[time, state]``
        Filtered probabilities of the same rows by the fit before and by the new one; the
        numbers of states may differ. Where there are fewer than before, those that are left
        move up: an index means one state only as long as no state is given up.
    """
    old, new = linear_sum_assignment(before.T @ now, maximize=True)
    order = [int(n) for _, n in sorted(zip(old, new, strict=True))]
    return order + [s for s in range(now.shape[1]) if s not in order]


@njit(cache=True, nogil=True)
def times(rows: Floats, matrix: Floats) -> Floats:
    """Product of rows ``[time, a]`` with a matrix ``[a, b]``, each row by itself.

    A library's matrix product may add in another order when there are more rows, and a cut
    history would then differ in the last bit.
    """
    out = np.zeros((len(rows), matrix.shape[1]))
    for t in range(len(rows)):
        for i in range(matrix.shape[0]):
            for j in range(matrix.shape[1]):
                out[t, j] += rows[t, i] * matrix[i, j]
    return out


@njit(cache=True, nogil=True)
def softmax(logs: Floats, temperature: float) -> Floats:
    """Probabilities from logs ``[time, state]`` over a temperature; rows sum to 1."""
    out = np.empty_like(logs)
    for t in range(len(logs)):
        top = logs[t].max()
        total = 0.0
        for s in range(logs.shape[1]):
            out[t, s] = math.exp((logs[t, s] - top) / temperature)
            total += out[t, s]
        for s in range(logs.shape[1]):
            out[t, s] /= total
    return out


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Make probabilities ``[time, state]`` less sure (above 1) or surer (below); rows sum to 1.

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    return softmax(np.log(np.maximum(probabilities, 1e-300)), temperature)


def temperature_of(probabilities: Floats, labels: Ints) -> float:
    """Temperature under which filtered probabilities explain the labels of a window best.

    Parameters
    ----------
    probabilities : float64, ``[time, state]``
        Filtered, so each row knows only rows up to itself.
    labels : int64, ``[time]``
        States of the same window once all of it was seen. They never leave the window.

    Returns
    -------
    float
        Minimises the mean log loss, between an eighth and eight.
    """
    rows, limit = np.arange(len(labels)), float(np.log(_WIDEST))
    known = np.maximum(probabilities, 1e-12)

    def loss(log_temperature: float) -> float:
        told = tempered(known, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(told[rows, labels], 1e-300)).mean())

    found = minimize_scalar(loss, bounds=(-limit, limit), method="bounded")
    return math.exp(float(found.x))
