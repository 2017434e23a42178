"""The market that parts are tried on for leaks, and the same with another future.

For: the proof of ``leaks`` and the traps that try its detectors. Not for: the trying itself.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from backtest import seeds
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays

SYMBOLS, SESSIONS = 10, 420


def market(
    *, symbols: int = SYMBOLS, sessions: int = SESSIONS, seed: int = 5, whole: bool = False
) -> Panel:
    """Make the market of the proof: moves overnight, and bars missing unless it is ``whole``.

    Two sectors, so that one is large enough to be ranked among itself and the other is not
    where a bar is missing.
    """
    config = WorldConfig(symbols=symbols, seed=seed, overnight_share=0.4, sectors=2)
    made = generate(config, weekdays(sessions))
    late = (pl.col("symbol") == "SYN002") & (pl.int_range(pl.len()).over("symbol") < 40)
    holes = (pl.col("symbol") == "SYN003") & (pl.int_range(pl.len()).over("symbol") % 17 == 5)
    return Panel.from_frame(made.bars if whole else made.bars.filter(~late & ~holes))


def with_noise_after(panel: Panel, t: int, *, seed: int = 0) -> Panel:
    """Move every bar after session ``t`` to other prices and volumes; the same ones are missing."""
    source = seeds.generator(seed, f"leaks/noise/{t}")
    shape = panel.close[:, t + 1 :].shape
    level = np.exp(np.cumsum(0.05 * source.standard_normal(shape), axis=1))
    out = {}
    for name in ("open", "high", "low", "close"):
        out[name] = getattr(panel, name).copy()
        out[name][:, t + 1 :] *= level
    out["volume"] = panel.volume.copy()
    out["volume"][:, t + 1 :] *= np.exp(source.standard_normal(shape))
    return dataclasses.replace(panel, **out)
