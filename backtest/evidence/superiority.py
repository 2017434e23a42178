"""Whether any of several streams beats a benchmark, with all of them counted.

For: Hansen's test of superior predictive ability, the stepwise list of those that beat the
benchmark, and the set of models among which the best one is found, all through ``arch``. Not for:
daily looks, which need a boundary that stays valid (``ml.export.gate``).

Sources: Hansen, "A test for superior predictive ability" (2005); Romano and Wolf, "Stepwise
multiple testing as formalized data snooping" (2005); Hansen, Lunde and Nason, "The model
confidence set" (2011).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST = 60
"""Sessions below which nothing is tested."""


@dataclass(frozen=True)
class Superiority:
    """What the three tests say; every value is None where ``reason`` says why.

    Parameters
    ----------
    spa_p_value : float or None
        Of "no stream beats the benchmark" (the consistent version).
    superior : tuple of str or None
        Streams that beat the benchmark, family-wise error ``size``.
    confidence_set : tuple of str or None
        Streams, the benchmark among them, that cannot be told from the best.
    reason : str
    """

    spa_p_value: float | None
    superior: tuple[str, ...] | None
    confidence_set: tuple[str, ...] | None
    reason: str = ""


def superiority(
    benchmark: str,
    streams: Mapping[str, Floats],
    *,
    seed: int,
    size: float = 0.05,
    reps: int = 500,
) -> Superiority:
    """Test streams against one of them; losses are negative returns over full-span deviations.

    Parameters
    ----------
    benchmark : str
        A key of ``streams``.
    streams : mapping of str to float64 ``[time]``
        Returns per session of the policies that were tried.
    seed : int
    size : float
    reps : int
        Bootstrap samples (stationary, blocks of the square root of the sessions).

    Notes
    -----
    Streams are brought to one volatility, because the question is about Sharpe ratios. One whose
    losses equal the benchmark's is left out of the first two tests: it cannot beat it.
    """
    losses = {}
    for name, returns in streams.items():
        deviation = float(np.std(returns)) if len(returns) else 0.0
        if np.isfinite(deviation) and deviation > 1e-12:
            losses[name] = -np.asarray(returns, float) / deviation
    sessions = len(streams[benchmark])
    if sessions < FEWEST:
        return Superiority(None, None, None, f"fewer than {FEWEST} sessions")
    base = losses.get(benchmark, np.zeros(sessions))  # a benchmark that never trades is cash
    rivals = {n: x for n, x in losses.items() if n != benchmark and np.std(x - base) > 1e-9}
    if not rivals:
        return Superiority(None, None, None, "no stream differs from the benchmark")
    from arch.bootstrap import MCS, SPA, StepM

    names, block = list(rivals), max(1, round(sessions**0.5))
    models = np.column_stack(list(rivals.values()))
    sets: dict[str, Any] = {}  # positions of columns, which arch types as labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        terms: dict[str, Any] = {"block_size": block, "reps": reps}
        spa = SPA(base, models, seed=np.random.default_rng(seed), **terms)
        steps = StepM(base, models, size=size, seed=np.random.default_rng(seed), **terms)
        every = np.column_stack([base, models])
        kept = MCS(every, size, seed=np.random.default_rng(seed), **terms)
        for test in (spa, steps, kept):
            test.compute()
        sets["superior"], sets["kept"] = steps.superior_models, kept.included
    together = [benchmark, *names]
    return Superiority(
        spa_p_value=float(spa.pvalues["consistent"]),
        superior=tuple(names[int(k)] for k in sets["superior"]),
        confidence_set=tuple(together[k] for k in sorted(int(k) for k in sets["kept"])),
    )
