"""Pictures of evidence as PNG bytes: equity, regimes over price, parameters, cost.

For: figures that the report, an asset's page and the tracker share. Not for: numbers, which
stand in tables. matplotlib is imported on first use only, without its global state.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from backtest.canvas import LINES, figure_of, legend_beside, ordered, png_of, stroke
from backtest.evidence.cost_curve import sharpe_by_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHERS = {"volatile": "#b5541c", "heavy": "#3d5a99", "correlated": "#6b4c9a"}
TRENDS = {"bull": "#3a9d5d", "sideways": "#c9ced4", "bear": "#cf4b3f"}


def equity_plot(returns: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw the equity of every variant, one panel per strategy.

    Parameters
    ----------
    returns : polars.DataFrame
        ``date, strategy, variant, net_return``.
    """
    names = returns["strategy"].unique(maintain_order=True).to_list()
    figure, rows = figure_of(len(names), 3.0, synthetic=synthetic)
    for axes, name in zip(rows, names, strict=True):
        one = returns.filter(pl.col("strategy") == name)
        for variant in ordered(one["variant"].unique()):
            part = one.filter(pl.col("variant") == variant).sort("date")
            equity = (1.0 + part["net_return"].to_numpy()).cumprod()
            axes.plot(
                part["date"].to_numpy(),
                equity,
                label=variant,
                **stroke(variant),
            )
        remark = _frame_without_market(axes)
        _scale_levels(axes)
        axes.set_title(f"{name}: equity after costs{remark}", loc="left", fontsize=11)
        legend_beside(axes)
    return png_of(figure)


def regime_plot(prices: pl.DataFrame, regimes: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw the market with the likeliest trend behind it, and the probabilities below.

    Parameters
    ----------
    prices : polars.DataFrame
        ``date, level``: the equal-weight market, 1 at the start.
    regimes : polars.DataFrame
        Published rows: ``date, p_bull, p_sideways, p_bear, p_volatile, p_heavy`` and optional
        ``p_correlated``, null before the first fit.
    """
    figure, (top, middle, low) = figure_of(3, 2.2, synthetic=synthetic)
    both = prices.join(regimes, on="date", how="left").sort("date")
    days = both["date"].to_numpy()
    known = both["p_bull"].is_not_null().to_numpy()
    shares = np.stack([both[f"p_{name}"].fill_null(0.0).to_numpy() for name in TRENDS])  # [3, T]
    likeliest = np.where(known, shares.argmax(axis=0), -1)
    behind = (likeliest == np.arange(len(TRENDS))[:, None]).astype(float)  # [3, T]
    colours = list(TRENDS.values())
    across = top.get_xaxis_transform()
    top.stackplot(
        days, behind, colors=colours, alpha=0.4, step="post", linewidth=0, transform=across
    )
    top.plot(days, both["level"].to_numpy(), color="#1c2733", linewidth=1.1)
    _scale_levels(top)
    top.set_title("equal-weight market, likeliest trend behind it", loc="left", fontsize=11)
    middle.stackplot(days[known], shares[:, known], colors=colours, labels=list(TRENDS))
    middle.set_ylim(0, 1)
    middle.set_title("filtered probabilities of the trend", loc="left", fontsize=11)
    legend_beside(middle)
    _draw_others(low, both)
    for axes in (top, middle, low):
        axes.set_xlim(days[0], days[-1])
    return png_of(figure)


def _draw_others(axes: Axes, both: pl.DataFrame) -> None:
    """Draw the other words' probabilities in rows of their own: often they are the same."""
    # Rows of an older version lack an axis.
    names = [name for name in OTHERS if f"p_{name}" in both.columns]
    for row, name in enumerate(reversed(names)):
        known = both.drop_nulls(f"p_{name}")
        values = known[f"p_{name}"].cast(pl.Float64).to_numpy()
        days = known["date"].to_numpy()
        axes.fill_between(days, row, row + 0.85 * values, color=OTHERS[name], linewidth=0.5)
    axes.set_ylim(0, len(names))
    axes.set_yticks(np.arange(len(names)) + 0.42, list(reversed(names)))
    title = "filtered probabilities, each from 0 to 1: volatile, heavy volume, correlated"
    axes.set_title(title, loc="left", fontsize=11)


def parameter_plot(decisions: pl.DataFrame, *, strategy: str, synthetic: bool = False) -> bytes:
    """Draw each parameter of the heaviest member over time, one panel per parameter.

    Parameters
    ----------
    decisions : polars.DataFrame
        ``date, strategy, parameters`` with the parameters as JSON.
    """
    one = decisions.filter(pl.col("strategy") == strategy).sort("date")
    sets = [json.loads(text) if text else {} for text in one["parameters"]]
    names = list(dict.fromkeys(name for row in sets for name in row)) or ["cash"]
    figure, rows = figure_of(len(names), 1.35, synthetic=synthetic)
    days = one["date"].to_numpy()
    for axes, name in zip(rows, names, strict=True):
        values = [row.get(name) for row in sets]
        labels = sorted({v for v in values if isinstance(v, str)})
        if labels:
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(-0.5, len(labels) - 0.5)
        coded = [labels.index(v) if isinstance(v, str) else v for v in values]
        numbers = np.array([np.nan if v is None else float(v) for v in coded])
        axes.step(days, numbers, where="post", color=LINES["regime_aware"][0], linewidth=1.0)
        axes.set_title(f"{strategy}: {name}", loc="left", fontsize=10)
    return png_of(figure)


def cost_plot(
    returns: pl.DataFrame, *, cost_bps: float, periods: int = 252, synthetic: bool = False
) -> bytes:
    """Draw the Sharpe ratio of each variant against the cost per side, one panel per strategy.

    Parameters
    ----------
    returns : polars.DataFrame
        ``date, strategy, variant, net_return, turnover``, net of ``cost_bps``.
    """
    names = returns["strategy"].unique(maintain_order=True).to_list()
    figure, rows = figure_of(len(names), 2.4, synthetic=synthetic)
    costs = np.linspace(0.0, max(20.0, 3.0 * cost_bps), 61)
    for axes, name in zip(rows, names, strict=True):
        one = returns.filter(pl.col("strategy") == name)
        for variant in ordered(one["variant"].unique()):
            part = one.filter(pl.col("variant") == variant)
            sharpe = sharpe_by_cost(
                part["net_return"].to_numpy(),
                part["turnover"].to_numpy(),
                costs,
                cost_bps=cost_bps,
                periods=periods,
            )
            axes.plot(costs, sharpe, label=variant, **stroke(variant))
        axes.axhline(0.0, color="#1c2733", linewidth=0.8)
        axes.axvline(cost_bps, color="#1c2733", linewidth=0.8, linestyle=":")
        axes.set_title(
            f"{name}: Sharpe ratio against cost per side in basis points "
            f"(assumed: {cost_bps:g}; break-even where a line meets 0)",
            loc="left",
            fontsize=10,
        )
        axes.set_xlim(costs[0], costs[-1])
        legend_beside(axes)
    return png_of(figure)


def _scale_levels(axes: Axes) -> None:
    """Use a logarithmic scale for levels that more than double, with plain numbers on it."""
    low, high = axes.get_ylim()
    if low > 0.0 and high > 2.0 * low:
        from matplotlib.ticker import MaxNLocator, NullLocator

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(MaxNLocator(6))  # a decade's own ticks end at 1
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _frame_without_market(axes: Axes) -> str:
    """Frame the strategies; a market that swings far wider than they do may run off the panel."""
    spans = {
        str(line.get_label()): (float(y.min()), float(y.max()))
        for line in axes.get_lines()
        if (y := np.asarray(line.get_ydata())).size
    }
    market = spans.pop("buy_and_hold", None)
    if market is None or not spans:
        return ""
    low, high = min(s[0] for s in spans.values()), max(s[1] for s in spans.values())
    if high <= low or market[1] - market[0] < 2.0 * (high - low):
        return ""
    margin = 0.3 * (high - low)
    axes.set_ylim(max(low - margin, 0.5 * low), high + margin)
    return " (buy_and_hold runs off the scale)"
