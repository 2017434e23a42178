"""Pictures of the worst findings: a few weeks of price around each, as PNG bytes.

For: one figure that the page and the asset share. Not for: which findings are the worst
(``quality_page``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from backtest.canvas import LINES, figure_of, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AROUND = 15
"""Bars shown before and after a finding."""
_COLUMNS = 3
_PRICE = LINES["regime_aware"][0]
_BAD = LINES["oracle"][0]


def findings_plot(
    spots: Sequence[tuple[str, date, str]],
    *,
    bars: pl.DataFrame,
    quarantined: pl.DataFrame,
    synthetic: bool = False,
) -> bytes:
    """Draw the raw close around each finding, rows that were taken out as crosses.

    Parameters
    ----------
    spots : sequence of (symbol, date, rule)
        One panel each, three in a row.
    bars : polars.DataFrame
        ``symbol, date, close_raw``.
    quarantined : polars.DataFrame
        ``symbol, date, close``, raw.
    synthetic : bool
    """
    figure, made = figure_of(len(spots), 2.0, synthetic=synthetic, columns=_COLUMNS)
    for axes, (symbol, day, rule) in zip(made, spots, strict=False):
        kept = bars.filter(pl.col("symbol") == symbol).select("date", close="close_raw")
        bad = quarantined.filter(pl.col("symbol") == symbol).select("date", "close")
        _panel(axes, _near(kept, day), bad.drop_nulls(), day)
        axes.set_title(f"{symbol} {day}: {rule}", loc="left", fontsize=8)
    return png_of(figure)


def _near(kept: pl.DataFrame, day: date) -> pl.DataFrame:
    """Bars of a symbol around a date."""
    before = kept.filter(pl.col("date") < day).sort("date").tail(AROUND)
    return pl.concat([before, kept.filter(pl.col("date") >= day).sort("date").head(AROUND)])


def _panel(axes: Axes, kept: pl.DataFrame, bad: pl.DataFrame, day: date) -> None:
    """Draw one finding."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    near = bad.filter(pl.col("date").is_between(kept["date"].min(), kept["date"].max()))
    axes.axvline(day, color=_BAD, linewidth=0.8, alpha=0.5)  # type: ignore[arg-type]
    axes.plot(kept["date"].to_numpy(), kept["close"].to_numpy(), color=_PRICE, linewidth=1.2)
    axes.plot(kept["date"].to_numpy(), kept["close"].to_numpy(), ".", color=_PRICE, markersize=3)
    axes.plot(near["date"].to_numpy(), near["close"].to_numpy(), "x", color=_BAD, markersize=7)
    locator = AutoDateLocator(minticks=2, maxticks=4)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    shown = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(shown)
