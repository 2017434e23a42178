"""Pictures of a neural fit as PNG bytes: training by epoch, parameters by session.

For: the folder of a fit, the tracker and an asset's page. Not for: numbers, which stand in tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from backtest.canvas import figure_of, legend_beside, png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SHOWN = {
    "divergence from the table's mix": (("train_mix", "valid_mix"), "nats"),
    "what its mixes earned, as a loss: lower is better": (("train_earned", "valid_earned"), "loss"),
    "gradient before clipping": (("gradient_norm",), "norm"),
    "learning rate": (("learning_rate",), "per step"),
}
_SESSIONS = {"train": "learned from", "valid": "kept back"}


def training_plot(history: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw losses, gradient norm and learning rate over the epochs of both stages.

    Parameters
    ----------
    history : polars.DataFrame
        ``network, stage, epoch`` and the columns measured; see ``ml.fitter.results``.
    """
    known = {name for name in history.columns if history[name].null_count() < history.height}
    shown = {
        title: ([name for name in names if name in known], unit)
        for title, (names, unit) in _SHOWN.items()
        if known & set(names)
    }
    figure, rows = figure_of(len(shown), 2.2, synthetic=synthetic)
    for axes, (title, (names, unit)) in zip(rows, shown.items(), strict=False):
        for number, own in enumerate(history.partition_by("network", maintain_order=True)):
            _network(axes, own, names, number)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_ylabel(unit, fontsize=9)
        axes.locator_params(axis="x", integer=True)
        if "learning_rate" in names:
            axes.set_yscale("log")
        legend_beside(axes)
    rows[-1].set_xlabel("epoch, stage two right of the upright line", fontsize=9)
    return png_of(figure)


def _network(axes: Axes, own: pl.DataFrame, names: list[str], number: int) -> None:
    """Curves of one network, and where its second stage begins."""
    colour = _COLOURS[number % len(_COLOURS)]
    epochs = range(1, own.height + 1)
    for name in names:
        sessions = _SESSIONS.get(name.split("_")[0])
        axes.plot(
            epochs,
            own[name].cast(pl.Float64).to_numpy(),
            "--" if sessions == _SESSIONS["train"] else "-",
            color=colour,
            linewidth=1.3,
            marker="." if own.height == 1 else None,
            label=f"network {number}" if sessions is None else f"network {number}, {sessions}",
        )
    first = int((own["stage"] == 1).sum())
    if 0 < first < own.height:
        axes.axvline(first + 0.5, color=colour, linewidth=0.8, linestyle=":")


def parameters_plot(history: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw each parameter of the mix over sessions.

    Parameters
    ----------
    history : polars.DataFrame
        ``date`` and one column per parameter; categories as text.
    """
    names = [name for name in history.columns if name != "date"]
    figure, rows = figure_of(max(len(names), 1), 1.7, synthetic=synthetic)
    dates = history["date"].to_numpy()
    for axes, name in zip(rows, names, strict=False):
        column = history[name]
        if column.dtype == pl.String:
            values = sorted(column.unique())
            places = {value: k for k, value in enumerate(values)}
            axes.step(dates, [places[v] for v in column], where="post", color=_COLOURS[1])
            axes.set_yticks(range(len(values)), values, fontsize=8)
            meaning = "heaviest value"
        else:
            axes.plot(dates, column.to_numpy(), color=_COLOURS[0], linewidth=1.3)
            axes.ticklabel_format(axis="y", useOffset=False)
            meaning = "mean of the mix"
        axes.set_title(f"{name} ({meaning}, cash aside)", loc="left", fontsize=10)
        axes.set_ylabel(name, fontsize=9)
    rows[-1].set_xlabel("session", fontsize=9)
    return png_of(figure)
