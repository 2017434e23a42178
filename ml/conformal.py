"""Intervals that cover as often as they say: conformal quantiles of past misses.

For: the half-width of an interval from misses that were not fitted on, adapting as outcomes come
in, and how often it covered. Not for: predictions.

With ``n`` misses that are exchangeable with the next one, the interval of half-width "the
``ceil((n + 1) c)``-th smallest" covers with probability at least ``c``. Returns are not
exchangeable, so the level follows what was covered: it moves by a twentieth of the difference, once
per horizon. Sources: Vovk, Gammerman, Shafer (2005); Gibbs and Candes, "Adaptive conformal
inference under distribution shift" (2021).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import ParameterError

Floats = npt.NDArray[np.float64]

LEAST, MOST = 0.5, 0.995
"""Coverages that can be asked for, and levels that are used."""

_MEMORY = 50
_RATE = 0.05


def half_width(misses: Floats, coverage: float) -> float:
    """Half-width of an interval with the given coverage; infinite with too few misses.

    Parameters
    ----------
    misses : float64, ``[sample]``
        Absolute; NaN is left out.
    coverage : float
        In (0, 1).

    Examples
    --------
    >>> half_width(np.array([4.0, 1.0, 3.0, 2.0]), 0.8)
    4.0
    """
    known = np.sort(misses[np.isfinite(misses)])
    rank = math.ceil((len(known) + 1) * coverage - 1e-9)
    return float(known[rank - 1]) if rank <= len(known) else math.inf


def adaptive_widths(misses: Floats, *, coverage: float, delay: int) -> Floats:
    """Half-width at every step, from the misses that were known by then.

    Steps less than ``delay`` apart share their outcome: ``delay`` of them count as one. The
    quantile is of the last 50 times ``delay`` misses.

    Parameters
    ----------
    misses : float64, ``[step, sample]``
        Absolute, NaN where unknown; those of a step become known ``delay`` steps later.
    coverage : float
        In [``LEAST``, ``MOST``].
    delay : int
        At least 1.

    Returns
    -------
    float64, ``[step]``
        Infinite before as many outcomes are known as an interval with this coverage takes.

    Raises
    ------
    ParameterError
        The coverage lies outside.
    """
    if not LEAST <= coverage <= MOST:
        raise ParameterError(
            f"no interval covers {coverage:g}",
            where="coverage",
            fix=f"ask for a share from {LEAST:g} to {MOST:g}",
        )
    least = delay * coverage / (1.0 - coverage)
    out, level = np.full(len(misses), np.inf), coverage
    for step in range(len(misses)):
        settled = step - delay
        if settled < 0:
            continue
        fresh = misses[settled][np.isfinite(misses[settled])]
        if fresh.size and np.isfinite(out[settled]):
            level += _RATE / delay * (coverage - float((fresh <= out[settled]).mean()))
            level = min(max(level, LEAST), MOST)
        past = misses[max(settled + 1 - _MEMORY * delay, 0) : settled + 1]
        if np.isfinite(past).any(axis=1).sum() >= least - 1e-9:
            out[step] = half_width(past.ravel(), level)
    return out


def coverage_frame(misses: Floats, widths: Floats, regimes: tuple[str, ...]) -> pl.DataFrame:
    """How often intervals covered, over all steps and by regime.

    Parameters
    ----------
    misses : float64, ``[step, sample]``
        Absolute, NaN where unknown.
    widths : float64, ``[step]``
        Half-widths; an infinite one is left out.
    regimes : tuple of str, ``[step]``

    Returns
    -------
    polars.DataFrame
        ``regime`` (``all`` or a name), ``steps``, ``samples``, ``covered`` (share), ``width``
        (mean half-width).
    """
    names, rows = np.array(regimes), []
    for regime in ("all", *sorted(set(regimes))):
        own = np.isfinite(widths) & ((names == regime) | (regime == "all"))
        known = np.isfinite(misses[own])
        inside = (misses[own] <= widths[own][:, None]) & known
        if known.any():
            share = float(inside.sum() / known.sum())
            width = float(widths[own].mean())
            rows.append((regime, int(own.sum()), int(known.sum()), share, width))
    schema = {
        "regime": pl.String,
        "steps": pl.Int64,
        "samples": pl.Int64,
        "covered": pl.Float64,
        "width": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
