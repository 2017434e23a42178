"""Pictures of online learning as PNG bytes: how well sets were ranked, and when alarms came.

For: the folder of a state and an asset's page. Not for: numbers, which stand in tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from backtest.canvas import figure_of, legend_beside, png_of

_RANKING, _REGIME, _ALARM, _ONE = "#0072b2", "#e69f00", "#d55e00", "#9db8cc"


def prequential_plot(tables: Mapping[str, pl.DataFrame], *, synthetic: bool = False) -> bytes:
    """Draw prequential ranking and regime accuracy over time, one panel per strategy.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By strategy: ``judged_on, ranking, ranking_accuracy, regime_accuracy, alarm``; see
        ``ml.online_course``.
    synthetic : bool
    """
    figure, rows = figure_of(len(tables), 2.8, synthetic=synthetic)
    for axes, (name, table) in zip(rows, tables.items(), strict=True):
        days = table["judged_on"].to_numpy()
        single = table["ranking"].to_numpy()
        axes.plot(days, single, ".", color=_ONE, markersize=3, label="ranking, one decision")
        axes.plot(days, table["ranking_accuracy"].to_numpy(), color=_RANKING, label="ranking")
        regime = table["regime_accuracy"].to_numpy()
        axes.plot(days, regime, color=_REGIME, linewidth=1.0, label="regime that came")
        axes.axhline(0.5, color="#8a8a8a", linewidth=0.8, linestyle=":")
        alarms = table.filter("alarm")["judged_on"].to_numpy()
        for number, day in enumerate(alarms):
            label = "alarm" if number == 0 else None
            axes.axvline(day, color=_ALARM, linewidth=1.3, linestyle="--", label=label)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("share told right", fontsize=9)
        axes.set_title(
            f"{name}: predicted at each decision, judged when its outcome was over",
            loc="left",
            fontsize=10,
        )
        legend_beside(axes)
    return png_of(figure)
