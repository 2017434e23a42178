"""What a strategy declares: indicators, comparisons with a level, and how they combine.

For: rules that any engine can read without knowing the strategy: which indicators are needed for
which parameters, which comparisons of them, when a position opens and closes, and what guards it
on its way. Not for: computing any of it (``engine``).

An indicator is named by its function and its parameters, so that sets which share them share the
work; a comparison by its indicator, its level and its direction, so that sets share that, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Compute = Callable[..., Floats]


@dataclass(frozen=True, eq=False)
class Indicator:
    """Values of one kind for every parameter set.

    Parameters
    ----------
    compute : callable
        Called with one symbol's bars and, for each name in ``by``, the different values that are
        wanted, ``[row]``; returns float64, ``[row, bar]``, NaN where missing. The value at a bar
        may use bars up to it, no later one.
    by : dict of str to ndarray, ``[param]``
        Parameters of the indicator, one value a set. Without any there is one row for all sets.
    """

    compute: Compute
    by: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """One bit per bar: whether an indicator lies beyond a level; False where it is missing.

    Parameters
    ----------
    indicator : Indicator
    level : float or float64, ``[param]``, or Indicator
        Another indicator is compared bar by bar, and nothing lies beyond it where it is missing.
    above : bool or bool, ``[param]``
        Beyond means above the level, else below it.
    equal : bool
        Whether a value at the level lies beyond it.
    """

    indicator: Indicator
    level: float | Floats | Indicator
    above: bool | Bools
    equal: bool = False


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same bit at every bar, which the parameters of a set decide.

    Parameters
    ----------
    value : bool or bool, ``[param]``
    """

    value: bool | Bools


@dataclass(frozen=True, eq=False)
class Votes:
    """True where at least so many of some conditions are.

    Parameters
    ----------
    of : tuple of Condition
        Up to 63; more are refused with a ValueError when they are planned.
    needed : int or int64, ``[param]``
        Below 1 it is always true, above their number never.
    """

    of: tuple[Condition, ...]
    needed: int | Ints


Condition = Comparison | Fixed | Votes


@dataclass(frozen=True, eq=False)
class Measure:
    """A number of each trade, fixed at the close that decides to open it.

    Parameters
    ----------
    times : float or float64, ``[param]``
        Infinity stands for no limit, whatever the indicator says.
    of : Indicator, optional
        What it is a multiple of; without one it is ``times`` itself. Where it is missing at the
        deciding close, nothing is opened.
    """

    times: float | Floats
    of: Indicator | None = None


NO_LIMIT = Measure(math.inf)


@dataclass(frozen=True, eq=False)
class Guards:
    """What ends a trade by its own path, and how much of the account it may use.

    Guards look at closes and are filled at the next open, like all decisions: bars do not say
    whether their high or their low came first. After a guard has ended a position, the same side
    opens again only once its entry has been false at a close, that one included.

    Parameters
    ----------
    stop_loss : Measure
        Loss, as a fraction of the entry's fill price, at which a close ends the trade.
    take_profit : Measure
        Gain, as a fraction of the entry's fill price, at which a close ends the trade.
    trailing_stop : Measure
        Fraction that a close may fall back from the best price of the trade so far: of its entry
        and its closes.
    longest : int or int64, ``[param]``
        Bars from the entry's fill to the exit's; 0 for no limit.
    size : Measure, optional
        Fraction of the account's money that the trade uses; above 1 it is 1, and where it is not
        above 0 nothing is opened. Without one all money is used.
    """

    stop_loss: Measure = NO_LIMIT
    take_profit: Measure = NO_LIMIT
    trailing_stop: Measure = NO_LIMIT
    longest: int | Ints = 0
    size: Measure | None = None


@dataclass(frozen=True, eq=False)
class Rules:
    """When positions open and close, for all sets of one grid.

    At each close the exit of the position held is looked at first. An account that is then flat
    is opened long if ``enter_long`` is true, else short if ``enter_short`` is: a position is
    reversed where its exit and the other entry fall together, and kept where its own entry does.

    Parameters
    ----------
    size : int
        Number of sets.
    enter_long, exit_long : Condition
    enter_short, exit_short : Condition
        Never true in rules that do not sell short.
    guards : Guards, optional
        What depends on the path of a trade; without it an engine need not walk its bars.
    """

    size: int
    enter_long: Condition
    exit_long: Condition
    enter_short: Condition = Fixed(value=False)
    exit_short: Condition = Fixed(value=False)
    guards: Guards | None = None


def above(indicator: Indicator, level: float | Floats | Indicator) -> Comparison:
    """Whether values lie above a level."""
    return Comparison(indicator, level, above=True)


def below(indicator: Indicator, level: float | Floats | Indicator) -> Comparison:
    """Whether values lie below a level."""
    return Comparison(indicator, level, above=False)


def at_least(indicator: Indicator, level: float | Floats | Indicator) -> Comparison:
    """Whether values lie at a level or above it."""
    return Comparison(indicator, level, above=True, equal=True)


def all_of(*conditions: Condition) -> Votes:
    """Whether all of them are true."""
    return Votes(conditions, len(conditions))


def any_of(*conditions: Condition) -> Votes:
    """Whether one of them is true."""
    return Votes(conditions, 1)
