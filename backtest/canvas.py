"""What every picture shares: figures of panels, strokes of the variants, PNG bytes.

For: one look in the report, on an asset's page and in the tracker. Not for: what a picture shows
(``plots``, ``robustness_plots``). matplotlib is imported on first use only, without its global
state.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LineStyle = Literal["-", "--", "-.", ":"]

LINES: dict[str, tuple[str, LineStyle, float]] = {
    "regime_aware": ("#0072b2", "-", 2.0),
    "regime_aware_single": ("#56b4e9", "-", 1.1),
    "static": ("#e69f00", "-", 1.3),
    "experts": ("#cc79a7", "-", 1.1),
    "default": ("#8a8a8a", "-", 1.1),
    "exported": ("#111111", "--", 1.8),
    "buy_and_hold": ("#7a5230", ":", 1.3),
    "incumbent": ("#009e73", "-.", 1.3),
    "oracle": ("#d55e00", "-", 1.1),
}
"""Colour, stroke and width of each variant, the same in every plot; told apart by colour-blind
eyes too (Okabe and Ito's palette)."""

_OTHER: tuple[str, LineStyle, float] = ("#b04a8f", "-", 1.1)
_WIDE = 10.5


def stroke(variant: str) -> dict[str, Any]:
    """How a variant's line is drawn."""
    colour, style, width = LINES.get(variant, _OTHER)
    return {"color": colour, "linestyle": style, "linewidth": width}


def ordered(names: Iterable[str]) -> list[str]:
    """Variants, known ones first and in the order of ``LINES``."""
    given = set(names)
    return [name for name in LINES if name in given] + sorted(given - set(LINES))


def legend_beside(axes: Axes) -> None:
    """Put the legend to the right of a panel, where it hides nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)


def figure_of(
    panels: int, height: float, *, synthetic: bool, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels; a made-up market says so on the figure itself.

    Parameters
    ----------
    panels : int
        Laid out row by row; at least one is made.
    height : float
        Of one panel, inches.
    synthetic : bool
    columns : int
        At most; fewer panels share the width.
    """
    from matplotlib.figure import Figure

    panels = max(panels, 1)
    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(_WIDE, height * rows + 0.4), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    made = list(grid.flat)
    for axes in made[panels:]:
        axes.remove()
    for axes in made[:panels]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e3e8ed", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
    if synthetic:
        figure.suptitle("SYNTHETIC MARKET", color="#d99a00", fontsize=9, x=0.99, ha="right")
    return figure, made[:panels]


def png_of(figure: Figure) -> bytes:
    """Render a figure; no time stamp or version goes into the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=110, metadata={"Software": None})
    return sink.getvalue()
