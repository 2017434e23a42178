"""What each synthetic world does to returns and volume in each of its three states.

For: the planted numbers, so that a test can hold them against what was found. Not for: making a
market (``synthetic``).
"""

from __future__ import annotations

from dataclasses import dataclass

HALF_LIVES = (2.0, 12.0)


@dataclass(frozen=True)
class Regime:
    """What one state does to the market, per session.

    Parameters
    ----------
    drift : float
        Mean market return, decimal.
    market_volatility : float
        Standard deviation of the market's shock, decimal, before stochastic volatility.
    volume : float
        Shift of log volume.
    loading : float
        What the next idiosyncratic return, in its own standard deviations, takes from ``z``.
    half_life : float
        Of the average behind ``z``, sessions; one of ``HALF_LIVES``.
    """

    drift: float
    market_volatility: float
    volume: float
    loading: float
    half_life: float


@dataclass(frozen=True)
class Physics:
    """One world: its regimes in the order of ``STATES``, and the noise that hides them.

    Parameters
    ----------
    regimes : tuple of Regime
    common_volatility : float
        Standard deviation of the common log volatility, a slow autoregression.
    volume_noise : float
        Standard deviation of the common log volume, an autoregression.
    """

    regimes: tuple[Regime, Regime, Regime]
    common_volatility: float
    volume_noise: float


_CLEAR = Physics(
    (
        Regime(0.0, 0.0080, 0.0, -0.052, 2.0),
        Regime(0.0008, 0.0045, 0.50, 0.027, 12.0),
        Regime(-0.0012, 0.0150, 1.00, -0.055, 12.0),
    ),
    common_volatility=0.10,
    volume_noise=0.10,
)
_MURKY = Physics(
    (
        Regime(0.0, 0.0085, 0.0, -0.052, 2.0),
        Regime(0.0004, 0.0042, 0.35, 0.027, 12.0),
        Regime(-0.0006, 0.0160, 0.65, -0.055, 12.0),
    ),
    common_volatility=0.40,
    volume_noise=0.25,
)


def _changed(base: Physics, **values: float) -> Physics:
    """Set the named fields alike in all regimes of ``base``."""
    regimes = tuple(Regime(**{**vars(regime), **values}) for regime in base.regimes)
    return Physics(regimes, base.common_volatility, base.volume_noise)  # type: ignore[arg-type]


WORLDS: dict[str, Physics] = {
    "clear": _CLEAR,
    "murky": _MURKY,
    "null": _changed(_CLEAR, drift=0.0, loading=0.0),
    "constant": _changed(_CLEAR, loading=0.027, half_life=12.0),
    "trend-only": _changed(_CLEAR, loading=0.0),
    "structural-break": _CLEAR,
}
