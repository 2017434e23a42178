"""Pictures of a neural fit as PNG bytes: training by epoch, parameters by session.

For: the folder of a fit and the tracker. Not for: numbers, which stand in tables.
"""

from __future__ import annotations

import polars as pl

from backtest.canvas import figure_of, legend_beside, png_of

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SHOWN = {
    "divergence from the table's mix": ("train_mix", "valid_mix"),
    "what mixes earned (loss, lower is better)": ("train_earned", "valid_earned"),
    "norm of the gradient": ("gradient_norm",),
    "learning rate": ("learning_rate",),
}


def training_plot(history: pl.DataFrame, *, synthetic: bool = False) -> bytes:
    """Draw losses, gradient norm and learning rate over epochs; stage two is shaded.

    Parameters
    ----------
    history : polars.DataFrame
        ``network, stage, epoch`` and the columns measured; see ``ml.fitter.results``.
    """
    shown = {t: [c for c in cs if c in history.columns] for t, cs in _SHOWN.items()}
    shown = {title: columns for title, columns in shown.items() if columns}
    figure, rows = figure_of(len(shown), 2.2, synthetic=synthetic)
    for axes, (title, columns) in zip(rows, shown.items(), strict=True):
        for number, (_, own) in enumerate(history.group_by("network", maintain_order=True)):
            steps = range(1, own.height + 1)
            for column in columns:
                stroke = "--" if column.startswith("train") else "-"
                label = f"network {number}, {column.split('_')[0]}" if "_" in column else column
                axes.plot(
                    steps,
                    own[column].cast(pl.Float64).to_numpy(),
                    stroke,
                    color=_COLOURS[number % len(_COLOURS)],
                    linewidth=1.3,
                    label=label if len(columns) > 1 else f"network {number}",
                )
            second = int((own["stage"] == 1).sum())
            if 0 < second < own.height:
                axes.axvline(second + 0.5, color=_COLOURS[number % len(_COLOURS)], linewidth=0.6)
        axes.set_title(title, loc="left", fontsize=10)
        legend_beside(axes)
    rows[-1].set_xlabel("epoch (a thin line: stage two begins)", fontsize=9)
    return png_of(figure)


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
        else:
            axes.plot(dates, column.to_numpy(), color=_COLOURS[0], linewidth=1.3)
        axes.set_title(name, loc="left", fontsize=10)
    return png_of(figure)
