"""Drift detectors: what says that a model's errors are not what they were.

For: River's detectors by name, and the registry. Not for: what follows from an alarm.

ADWIN keeps a window of errors and cuts it where two parts differ beyond chance (Bifet and Gavalda,
2007); Page-Hinkley adds up what errors exceed their mean by (Page, 1954); KSWIN compares the newest
errors with a sample of the window (Raab and others, 2020). Of the three ADWIN has few false alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import drift

from backtest.registry import Registry

DETECTORS: Registry[Callable[[int], Any]] = Registry(
    "detector", "ml.online.drift", called="drift detector"
)


@DETECTORS.register("adwin")
def adwin(_seed: int) -> Any:
    """Adaptive windowing."""
    # River's own clock looks at every 32nd error only: half a year of weekly decisions.
    return drift.ADWIN(delta=0.002, clock=1)  # type: ignore[no-untyped-call]


@DETECTORS.register("page_hinkley")
def page_hinkley(_seed: int) -> Any:
    """Cumulated excess over the mean."""
    return drift.PageHinkley(min_instances=30, delta=0.005, threshold=5.0)


@DETECTORS.register("kswin")
def kswin(seed: int) -> Any:
    """Kolmogorov-Smirnov test between the newest errors and the window."""
    return drift.KSWIN(alpha=0.001, window_size=100, stat_size=30, seed=seed)
