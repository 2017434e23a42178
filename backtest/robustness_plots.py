"""Pictures of robustness as PNG bytes: folds, sensitivity, paths, reliability.

For: figures that the report and the page of the asset ``robustness`` share. Not for: the numbers
in them, which stand in tables (``ml.robustness``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from backtest.canvas import LINES, figure_of, legend_beside, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#1c2733"
_BAND = "#fff0c2"
_MEAN = "#8a8a8a"
_MARK = LINES["oracle"][0]
_COLUMNS = 4
_MOST_NAMED = 12


def folds_plot(folds: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw the Sharpe ratio of each fold, regime-aware beside static, one panel per strategy.

    A fold shorter than half of the longest one is pale and does not set the scale: a few sessions
    make a ratio of any size.

    Parameters
    ----------
    folds : polars.DataFrame
        As ``ml.robustness.folds.folds_frame`` returns it.
    """
    names = folds["strategy"].unique(maintain_order=True).to_list()
    figure, rows = figure_of(len(names), 2.2, synthetic=synthetic)
    for axes, name in zip(rows, names, strict=True):
        one = folds.filter(pl.col("strategy") == name)
        long = one["sessions"].max()
        for side, variant in ((-0.2, "regime_aware"), (0.2, "static")):
            part = one.filter(pl.col("variant") == variant).sort("fold")
            short = (part["sessions"] * 2 < long).to_list()
            bars = axes.bar(
                part["fold"].to_numpy() + side,
                part["sharpe"].cast(pl.Float64).to_numpy(),
                width=0.38,
                color=LINES[variant][0],
                label=variant,
            )
            for bar, pale in zip(bars, short, strict=True):
                bar.set_alpha(0.35 if pale else 1.0)
        own = one.filter(pl.col("variant") == "regime_aware").sort("fold")
        at = own["fold"].to_numpy()
        axes.hlines(
            own["in_sample_sharpe"].to_numpy(),
            at - 0.39,
            at - 0.01,
            color=_MARK,
            linewidth=2.5,
            label="expected in sample",
        )
        named = own.gather_every(-(-own.height // _MOST_NAMED))
        axes.set_xticks(named["fold"].to_numpy(), [str(day)[:7] for day in named["first"]])
        axes.axhline(0.0, color=_INK, linewidth=0.8)
        _frame_long_folds(axes, one.filter(pl.col("sessions") * 2 >= long))
        axes.set_title(
            f"{name}: Sharpe ratio of each fold out of sample, by its first month",
            loc="left",
            fontsize=10,
        )
        legend_beside(axes)
    return png_of(figure)


def _frame_long_folds(axes: Axes, long: pl.DataFrame) -> None:
    """Let the longer folds set the scale."""
    shown = long.filter(pl.col("variant").is_in(["regime_aware", "static"]))
    values = pl.concat([shown["sharpe"], shown["in_sample_sharpe"]]).drop_nulls().to_numpy()
    if values.size:
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        margin = 0.1 * max(high - low, 0.1)
        axes.set_ylim(low - margin, high + margin)


def sensitivity_plot(
    sensitivity: pl.DataFrame, *, strategy: str, error: float, synthetic: bool = False
) -> bytes:
    """Draw how the candidates' Sharpe ratio depends on each parameter, one panel per parameter.

    The band reaches one standard error below the best set; its plateau is where the slice through
    it stays inside, step by step.

    Parameters
    ----------
    sensitivity : polars.DataFrame
        As ``ml.robustness.tables.sensitivity_frame`` returns it.
    strategy : str
    error : float
        Standard error of an annual Sharpe ratio.
    """
    one = sensitivity.filter(pl.col("strategy") == strategy)
    names = one["parameter"].unique(maintain_order=True).to_list()
    figure, made = figure_of(len(names), 2.6, synthetic=synthetic, columns=_COLUMNS)
    for axes, name in zip(made, names, strict=False):
        _slice_panel(axes, one.filter(pl.col("parameter") == name), error)
        axes.set_title(f"{strategy}: {name}", loc="left", fontsize=10)
    low = min((axes.get_ylim()[0] for axes in made), default=0.0)
    high = max((axes.get_ylim()[1] for axes in made), default=1.0)
    for axes in made:
        axes.set_ylim(low, high)  # one scale, or a flat parameter looks as steep as a steep one
    if names:
        shown = [axes.get_legend_handles_labels() for axes in made]
        entries = {label: handle for pair in shown for handle, label in zip(*pair, strict=True)}
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=len(entries),
            fontsize=8,
            frameon=False,
        )
    return png_of(figure)


def _slice_panel(axes: Axes, part: pl.DataFrame, error: float) -> None:
    """Draw one parameter: values evenly spaced, because the grid's steps are what counts."""
    at = np.arange(part.height)
    chosen = int(np.flatnonzero(part["best"].to_numpy())[0])
    best = float(part["along"][chosen])
    axes.axhspan(best - error, best, color=_BAND, label="within one standard error")
    ordered = part["steps"].null_count() == 0
    joined = "-" if ordered else "none"
    for column, colour, marker, label in (
        ("mean", _MEAN, ".", "mean of all sets with the value"),
        ("along", LINES["regime_aware"][0], "o", "best set, only this parameter changed"),
    ):
        values = part[column].cast(pl.Float64).to_numpy()
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "linestyle": joined,
        }
        axes.plot(at, values, label=label, **style)
    if ordered:
        on = np.flatnonzero(part["plateau"].to_numpy())
        slice_on = part["along"].to_numpy()[on]
        axes.plot(on, slice_on, color=_MARK, linewidth=3.0, label="plateau")
    axes.plot([chosen], [best], "*", markersize=13, color=_MARK, label="best set")
    axes.axhline(0.0, color=_INK, linewidth=0.8)
    axes.set_xticks(at, part["value"].to_list())
    axes.margins(x=0.12)


def paths_plot(paths: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw the Sharpe ratio of every combinatorial path, one line of points per strategy.

    Parameters
    ----------
    paths : polars.DataFrame
        As ``ml.robustness.paths.paths_frame`` returns it.
    """
    known = paths.drop_nulls("sharpe")
    names = known["strategy"].unique(maintain_order=True).to_list()
    height = 0.5 + 0.45 * max(len(names), 1)
    figure, (axes,) = figure_of(1, height, synthetic=synthetic)
    for k, name in enumerate(names):
        values = known.filter(pl.col("strategy") == name)["sharpe"].to_numpy()
        low, high = np.quantile(values, [0.05, 0.95])
        axes.plot([low, high], [k, k], color=_MEAN, linewidth=6.0, alpha=0.4, solid_capstyle="butt")
        axes.plot(values, np.full(values.size, k), "o", color=LINES["static"][0], markersize=5)
        axes.plot([values.mean()], [k], "|", color=_INK, markersize=16, markeredgewidth=2.0)
    axes.axvline(0.0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title(
        "Sharpe ratio of each combinatorial path; bar: 5 % to 95 %, line: mean",
        loc="left",
        fontsize=10,
    )
    return png_of(figure)


def reliability_plot(reliability: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw what was said against how often it happened, one panel per strategy.

    Confidence that keeps its word lies on the diagonal; the bars are 95 % intervals.

    Parameters
    ----------
    reliability : polars.DataFrame
        As ``ml.robustness.reliability.reliability_frame`` returns it.
    """
    known = reliability.filter(pl.col("regime") == "all")
    names = known["strategy"].unique(maintain_order=True).to_list()
    figure, made = figure_of(len(names), 3.4, synthetic=synthetic, columns=2)
    for axes, name in zip(made, names, strict=False):
        axes.plot([0.0, 1.0], [0.0, 1.0], color=_MEAN, linewidth=1.0, label="kept word")
        one = known.filter(pl.col("strategy") == name)
        for event in one["event"].unique(maintain_order=True):
            part = one.filter(pl.col("event") == event)
            said, happened = part["said"].to_numpy(), part["happened"].to_numpy()
            if event != "overall":
                axes.plot(said, happened, ".-", linewidth=0.8, alpha=0.6, label=event)
                continue
            off = np.stack([happened - part["low"].to_numpy(), part["high"].to_numpy() - happened])
            axes.errorbar(
                said,
                happened,
                yerr=np.maximum(off, 0.0),
                fmt="o-",
                color=LINES["regime_aware"][0],
                capsize=2.0,
                label="the mix",
            )
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0.0, 1.0)
        axes.set_title(f"{name}: confidence said, and share that happened", loc="left", fontsize=10)
        legend_beside(axes)
    return png_of(figure)
