"""Socket of regime models: filtered probabilities only, and the registry that finds them.

For: what a regime model must offer, and the refit schedule that walk-forward and export share.
Not for: smoothing or decoding, which look ahead.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backtest.registry import Registry

Floats = npt.NDArray[np.float64]


class RegimeFit(Protocol):
    """A fitted model; immutable."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the states ``[state]``, for example ``"bull calm thin dispersed"``.

        Trend, volatility, volume and correlation along the training means.
        """
        ...

    def filter(self, state: Floats) -> Floats:
        """Probabilities of each state given the rows up to and including each row.

        Parameters
        ----------
        state : float64, ``[time, feature]``
            From the first session on; rows that hold a NaN carry no evidence.

        Returns
        -------
        float64, ``[time, state]``
            Rows sum to 1.
        """
        ...

    def arrays(self) -> dict[str, Floats]:
        """Weights by name, for a safetensors file."""
        ...

    def config(self) -> dict[str, Any]:
        """Plain values that, with the weights, rebuild the fit."""
        ...


class RegimeModel(Protocol):
    """A recipe that fits on one training window."""

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> RegimeFit:
        """Fit on ``state`` ``[time, feature]``; ``previous`` warm-starts and keeps state order."""
        ...

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> RegimeFit:
        """Rebuild a fit from what it saved."""
        ...


def by_name(probabilities: Floats, names: tuple[str, ...]) -> tuple[tuple[str, ...], Floats]:
    """Add up states that share a name.

    Parameters
    ----------
    probabilities : float64, ``[time, state]``
    names : tuple of str, ``[state]``

    Returns
    -------
    distinct : tuple of str, ``[name]``
        In the order of their first states.
    summed : float64, ``[time, name]``
    """
    distinct = tuple(dict.fromkeys(names))
    member = np.array([[name == one for one in distinct] for name in names], dtype=float)
    return distinct, np.asarray(probabilities @ member)


REGIMES: Registry[RegimeModel] = Registry("regime", "ml.regimes", called="regime model")
