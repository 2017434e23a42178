"""Pictures of an ensemble and its student as PNG bytes: members' weights, and what both earned.

For: the folder of a distillation and the pages of assets. Not for: numbers, which stand in tables.
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


def student_plot(tables: Mapping[str, pl.DataFrame], *, synthetic: bool = False) -> bytes:
    """Draw what teacher and student earned, summed up, one panel per table.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By title: ``date``, and the net returns of ``teacher`` and ``student``.
    """
    figure, rows = figure_of(len(tables), 2.2, synthetic=synthetic)
    for axes, (title, table) in zip(rows, tables.items(), strict=False):
        for name, colour in (("teacher", "#8a8a8a"), ("student", "#0072b2")):
            axes.plot(
                table["date"].to_numpy(),
                table[name].cum_sum().to_numpy(),
                color=colour,
                linewidth=1.3,
                label=name,
            )
        axes.set_title(
            f"{title}: sum of net returns where the student was not fitted", loc="left", fontsize=10
        )
        legend_beside(axes)
    return png_of(figure)
