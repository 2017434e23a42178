"""Pictures of a parameter search as PNG bytes: compromises, hypervolume, regret, the surface.

For: the folder of a search and the pages of search assets. Not for: numbers, which stand in tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.canvas import figure_of, png_of
from backtest.evidence.sensitivity import Floats

ALL, FRONT, CHOSEN, HIGHEST = "#b9c3cd", "#0072b2", "#d55e00", "#111111"
BROKEN = "breaks a constraint"

MARKED = 60
"""Most steps of a trace that are marked one by one."""


def front_plot(
    tables: Mapping[str, pl.DataFrame], *, across: str, up: str, synthetic: bool = False
) -> bytes:
    """Draw every set by two metrics, and the front among them, one panel per table.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By title: ``across``, ``up`` and a bool ``front``; optional bools ``feasible`` (all sets
        are, if missing), ``chosen, highest``.
    across, up : str
        Columns on the axes.
    """
    figure, rows = figure_of(len(tables), 3.4, synthetic=synthetic)
    for axes, (title, table) in zip(rows, tables.items(), strict=True):
        known = table.drop_nulls((across, up))
        x, y = known[across].to_numpy(), known[up].to_numpy()
        front, fine = known["front"].to_numpy(), _feasible(known)
        others = ~front & fine
        axes.scatter(x[others], y[others], s=12, color=ALL, label="other sets")
        if not fine.all():
            axes.scatter(x[~fine], y[~fine], s=18, color=ALL, marker="x", label=BROKEN)
        if front.any():
            axes.scatter(x[front], y[front], s=22, color=FRONT, label="front")
        for name, colour, mark in (("chosen", CHOSEN, "*"), ("highest", HIGHEST, "+")):
            if name in known.columns and (held := known[name].to_numpy()).any():
                axes.scatter(x[held], y[held], s=110, color=colour, marker=mark, label=name)
        axes.set_xlabel(across, fontsize=9)
        axes.set_ylabel(up, fontsize=9)
        axes.set_title(title, loc="left", fontsize=11)
        axes.legend(fontsize=8, frameon=False)
    return png_of(figure)


def trace_plot(
    values: Floats, *, title: str, across: str, up: str, synthetic: bool = False
) -> bytes:
    """Draw one number along a search, such as regret or hypervolume; NaN is left out."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = figure_of(1, 2.8, synthetic=synthetic)
    steps = np.arange(1, len(values) + 1)
    # A mark at each step: a line through a single point shows nothing.
    mark = "o" if len(values) <= MARKED else ""
    axes.step(steps, values, where="post", color=FRONT, linewidth=1.6, marker=mark, markersize=4)
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.set_title(title, loc="left", fontsize=11)
    return png_of(figure)


def surface_plot(
    trials: pl.DataFrame,
    parameters: list[str],
    *,
    chosen: Mapping[str, Any],
    synthetic: bool = False,
) -> bytes:
    """Draw merit against each parameter, raw and smoothed over surroundings, chosen value marked.

    Parameters
    ----------
    trials : polars.DataFrame
        ``merit, smoothed``, the parameters and an optional bool ``feasible`` (all sets are, if
        missing).
    parameters : list of str
    chosen : mapping
        The chosen set.
    """
    known = trials.drop_nulls(("merit", "smoothed"))
    fine = _feasible(known)
    merit, smoothed = known["merit"].to_numpy(), known["smoothed"].to_numpy()
    figure, rows = figure_of(len(parameters), 2.6, synthetic=synthetic, columns=2)
    for axes, name in zip(rows, parameters, strict=False):
        values, mark = known[name], chosen[name]
        x = values.to_numpy()
        if values.dtype == pl.String:
            labels = values.unique().sort().to_list()
            x = np.array([labels.index(v) for v in values])
            axes.set_xticks(range(len(labels)), labels)
            mark = labels.index(mark)
        axes.scatter(x[fine], merit[fine], s=10, color=ALL, label="merit")
        if not fine.all():
            axes.scatter(x[~fine], merit[~fine], s=14, color=ALL, marker="x", label=BROKEN)
        axes.scatter(x[fine], smoothed[fine], s=10, color=FRONT, label="smoothed")
        axes.axvline(mark, color=CHOSEN, linewidth=1.2, label="chosen")
        axes.set_title(name, loc="left", fontsize=10)
    if parameters:
        rows[0].legend(fontsize=8, frameon=False)
    return png_of(figure)


def _feasible(sets: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Which sets break no constraint; all where the table knows of none; ``[set]``."""
    if "feasible" not in sets.columns:
        return np.ones(sets.height, dtype=bool)
    return sets["feasible"].to_numpy()


def regime_bars(table: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw what each regime's plateau earns in its regime and on all sessions.

    Parameters
    ----------
    table : polars.DataFrame
        ``strategy, regime, sharpe, overall``; one panel per strategy.
    """
    names = table["strategy"].unique(maintain_order=True).to_list()
    figure, rows = figure_of(len(names), 2.6, synthetic=synthetic)
    for axes, name in zip(rows, names, strict=False):
        one = table.filter(pl.col("strategy") == name).sort("regime")
        at = np.arange(one.height)
        axes.barh(at + 0.2, one["sharpe"].to_numpy(), 0.38, color=FRONT, label="in the regime")
        overall = one["overall"].cast(pl.Float64).to_numpy()
        axes.barh(at - 0.2, overall, 0.38, color=ALL, label="on all sessions")
        axes.set_yticks(at, one["regime"].to_list())
        axes.set_title(f"{name}: Sharpe ratio of each regime's plateau", loc="left", fontsize=11)
        axes.legend(fontsize=8, frameon=False)
    return png_of(figure)
