"""Picture of an ensemble as PNG bytes: its members' weights over time, and how far they are apart.

For: the folder of a distillation and the page of an asset. Not for: numbers, which stand in tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from backtest.canvas import figure_of, legend_beside, png_of

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_CASH = "#e3e8ed"
_BESIDE = ("date", "cash", "disagreement")


def members_plot(tables: Mapping[str, pl.DataFrame], *, synthetic: bool = False) -> bytes:
    """Draw weights as areas that add up to 1, and disagreement as a line, one panel per table.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By title: ``date``, the weight of each member, ``cash`` and ``disagreement``.
    """
    figure, rows = figure_of(len(tables), 2.6, synthetic=synthetic)
    for axes, (title, table) in zip(rows, tables.items(), strict=True):
        names = [name for name in table.columns if name not in _BESIDE]
        colours = [_COLOURS[k % len(_COLOURS)] for k in range(len(names))]
        dates = table["date"].to_numpy()
        axes.stackplot(
            dates,
            *(table[name].to_numpy() for name in (*names, "cash")),
            labels=[*names, "cash"],
            colors=[*colours, _CASH],
            linewidth=0.0,
        )
        axes.plot(
            dates, table["disagreement"].to_numpy(), color="#111111", linewidth=1.0, label="apart"
        )
        axes.set_ylim(0.0, 1.0)
        axes.set_title(title, loc="left", fontsize=10)
        legend_beside(axes)
    return png_of(figure)
