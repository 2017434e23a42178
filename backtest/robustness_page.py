"""How robust a walk-forward is: a section of its page.

For: folds, stability, sensitivity with its warnings in words, paths, costs, confidence and
intervals. Not for: computing any of it (``ml.robustness``), or the page around it (``report``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from backtest import robustness_plots as plots
from backtest.canvas import ordered
from backtest.evidence.cost_curve import BREAK_EVEN
from backtest.pages import Block, Heading, Paragraph, Picture, Table, cell

Tables = Mapping[str, pl.DataFrame]

INTRODUCTION = (
    "None of this decides anything. A fold is what lies between two refits. Expected is the score"
    " in sample of each regime's best set, to be compared with the Sharpe ratio that followed."
)
_EDGE = "Edge of the grid: {}."


def robustness_pictures(tables: Tables, found: Mapping[str, Any]) -> list[Picture]:
    """Draw folds, the sensitivity of each strategy, and paths; nothing without tables.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By the names of ``ml.robustness.tables.TABLES``.
    found : mapping
        Content of ``evidence.json``.
    """
    if not tables:
        return []
    marked = {"synthetic": bool(found["synthetic"])}
    drawn = [
        Picture(
            "folds.png",
            plots.folds_plot(tables["folds"], **marked),
            "Sharpe ratio of each fold; pale: shorter than half of the longest",
        )
    ]
    for name, part in found["strategies"].items():
        if tables["sensitivity"].filter(pl.col("strategy") == name).is_empty():
            continue
        error = part["robustness"]["standard_error"]
        png = plots.sensitivity_plot(tables["sensitivity"], strategy=name, error=error, **marked)
        caption = f"{name}: Sharpe ratio of the candidates over all sessions, by parameter"
        drawn.append(Picture(f"sensitivity_{name}.png", png, caption))
    if tables["paths"]["sharpe"].count():
        png = plots.paths_plot(tables["paths"], **marked)
        drawn.append(Picture("paths.png", png, "Sharpe ratio of each combinatorial path"))
    if tables["reliability"].height:
        png = plots.reliability_plot(tables["reliability"], **marked)
        drawn.append(Picture("reliability.png", png, "Confidence against what then happened"))
    return drawn


def robustness_blocks(
    tables: Tables, found: Mapping[str, Any], drawn: Mapping[str, Picture]
) -> list[Block]:
    """Lay out the section; empty without tables.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
    found : mapping
        Content of ``evidence.json``.
    drawn : mapping of str to Picture
        By file name.
    """
    if not tables:
        return []
    blocks: list[Block] = [Heading("How robust it is"), Paragraph(INTRODUCTION)]
    blocks += [drawn["folds.png"]]
    blocks += [drawn[name] for name in ("paths.png", "reliability.png") if name in drawn]
    for name, part in found["strategies"].items():
        own = {
            key: frame.filter(pl.col("strategy") == name).drop("strategy")
            for key, frame in tables.items()
        }
        picture = drawn.get(f"sensitivity_{name}.png")
        blocks += [Heading(name, 3), *_folds(own["folds"], part)]
        blocks += _stability(own["stability"], part["robustness"])
        blocks += _sensitivity(part["robustness"], picture)
        blocks += [Paragraph(paths_line(part["robustness"])), costs_table(own["costs"])]
        blocks += reliability_blocks(part["robustness"]["confidence"])
        blocks += interval_blocks(part["robustness"]["intervals"])
    return blocks


def _folds(folds: pl.DataFrame, part: Mapping[str, Any]) -> list[Block]:
    said = part["robustness"]
    whole = cell(part["variants"]["regime_aware"]["sharpe"], "{:+.2f}")
    text = (
        f"Folds: {said['folds']}, Sharpe ratio above 0 in {cell(said['folds_positive'], '{:.0%}')}"
        f" of them and above static in {cell(said['folds_above_static'], '{:.0%}')}. Expected in"
        f" sample {cell(said['in_sample_sharpe'], '{:+.2f}')}, out of sample {whole}."
    )
    return [Paragraph(text), folds_table(folds)]


def folds_table(folds: pl.DataFrame) -> Table:
    """One row per fold: regime-aware with what was expected, and static beside it."""
    static = folds.filter(pl.col("variant") == "static").select("fold", static="sharpe")
    own = folds.filter(pl.col("variant") == "regime_aware").join(static, on="fold", how="left")
    rows = tuple(
        (
            f"{row['first']} to {row['last']}",
            _parameters(row["parameters"]),
            str(row["sessions"]),
            cell(row["in_sample_sharpe"], "{:+.2f}"),
            cell(row["sharpe"], "{:+.2f}"),
            cell(row["static"], "{:+.2f}"),
            f"{row['net_return']:+.1%}",
            f"{row['max_drawdown']:.1%}",
            f"{row['turnover']:.1f}",
        )
        for row in own.sort("fold").iter_rows(named=True)
    )
    header = ("fold", "heaviest set at its start", "sessions", "expected", "Sharpe", "static")
    return Table((*header, "return", "drawdown", "turnover/year"), rows, words=2)


def _parameters(text: str | None) -> str:
    """Write a set as a person reads it."""
    if text is None:
        return "cash"
    return ", ".join(f"{name} {value}" for name, value in json.loads(text).items()) or "-"


def _stability(stability: pl.DataFrame, said: Mapping[str, Any]) -> list[Block]:
    """Say how steady the mixes were, and what they held on average."""
    text = (
        f"Stability {cell(said['stability'], '{:.2f}')} (1: no selection changed the mix, 0: each"
        f" replaced all of it). The heaviest set changed on"
        f" {cell(said['heaviest_changed'], '{:.1%}')} of the sessions."
    )
    named = stability.filter(pl.col("parameter") != "")
    rows = []
    for parameter in named["parameter"].unique(maintain_order=True):
        part = named.filter(pl.col("parameter") == parameter)
        if part["statistic"][0] == "share":
            shares = [
                f"{row['category']} {cell(row['value'], '{:.0%}')}"
                for row in part.iter_rows(named=True)
            ]
            rows.append((parameter, ", ".join(shares)))
        else:
            mean, spread = (cell(value, "{:.4g}") for value in part["value"])
            rows.append((parameter, f"{mean}, deviation {spread}"))
    table = [Table(("parameter", "mean of the mix over time"), tuple(rows), words=2)]
    return [Paragraph(text), *(table if rows else [])]


def _sensitivity(said: Mapping[str, Any], picture: Picture | None) -> list[Block]:
    """Say how wide the best set's plateau is, and where the grid ends too early."""
    text = (
        f"Best candidate in hindsight: Sharpe {cell(said['best_sharpe'], '{:+.2f}')};"
        f" {cell(said['near_best'], '{:.0%}')} of the candidates lie within one standard error"
        f" ({said['standard_error']:.2f}) of it."
    )
    blocks: list[Block] = [Paragraph(text)]
    if picture is not None:
        blocks.append(picture)
    rows = tuple(
        (name, f"{one['best']:g}", str(one["below"]), str(one["above"]))
        for name, one in said["plateaus"].items()
    )
    if rows:
        header = ("parameter", "best", "plateau, steps below", "steps above")
        blocks.append(Table(header, rows))
    return [*blocks, *(Paragraph(_EDGE.format(edge), note=True) for edge in said["edges"])]


def paths_line(said: Mapping[str, Any]) -> str:
    """Say what the combinatorial paths show, or why there are none."""
    if said["path_sharpe_mean"] is None:
        return f"Combinatorial paths: none, {said['reasons']['path_sharpe_mean']}."
    return (
        f"Combinatorial paths of the choice without regimes: {said['paths']}, Sharpe"
        f" {said['path_sharpe_mean']:+.2f} on average, 5 % to 95 %"
        f" {said['path_sharpe_low']:+.2f} to {said['path_sharpe_high']:+.2f},"
        f" {said['paths_below_zero']:.0%} below 0. They also train on later data: a diagnostic of"
        " the selection, to be compared with static, and no record."
    )


def costs_table(costs: pl.DataFrame) -> Table:
    """Sharpe ratio of every variant by cost per side, and the cost at which it is 0."""
    points = [p for p in costs["point"].unique(maintain_order=True) if p != BREAK_EVEN]
    rows = []
    for variant in ordered(costs["variant"].unique()):
        part = costs.filter(pl.col("variant") == variant)
        known = dict(zip(part["point"], part["sharpe"], strict=True))
        even = part.filter(pl.col("point") == BREAK_EVEN)["cost_bps"][0]
        ratios = [cell(known[point], "{:+.2f}") for point in points]
        rows.append((variant, *ratios, cell(even, "{:.1f}")))
    return Table(
        ("Sharpe at cost per side", *(f"{point} bps" for point in points), "break-even bps"),
        tuple(rows),
    )


def reliability_blocks(said: Mapping[str, Any]) -> list[Block]:
    """Say how often confidence kept its word, by event, and for the mix by regime."""
    rows = tuple(
        (
            event,
            str(one["sessions"]),
            cell(one["said"], "{:.0%}"),
            cell(one["happened"], "{:.0%}"),
            cell(one["brier"], "{:.3f}"),
            cell(one["brier_half"], "{:.3f}"),
            cell(one["calibration_error"], "{:.3f}"),
        )
        for event, one in said.items()
    )
    header = ("confidence in", "sessions", "said", "happened", "Brier", "of one half")
    regimes = [
        f"{name} {one['said']:.0%} said, {one['happened']:.0%} happened"
        f" ({one['sessions']} sessions)"
        for name, one in said["overall"]["regimes"].items()
    ]
    told = [Paragraph(f"Confidence in the mix by regime: {'; '.join(regimes)}.")] if regimes else []
    return [Table((*header, "calibration error"), rows), *told]


def interval_blocks(said: Mapping[str, Any]) -> list[Block]:
    """Say how often intervals around the day's best score covered what came, by regime."""
    if said["covered"] is None:
        return [Paragraph(f"Intervals around the day's best score: none, {said['reason']}.")]
    last = "unknown"
    if said["low"] is not None:
        last = f"{said['low']:+.2f} to {said['high']:+.2f}"
    text = (
        f"Intervals around the score of the day's best set, {said['coverage']:.0%} asked:"
        f" {said['covered']:.0%} of {said['sessions']} outcomes lay inside"
        f" ({said['effective']:.0f} horizons that do not overlap). In Sharpe per session, the last"
        f" one is {last}."
    )
    rows = tuple(
        (name, str(one["sessions"]), f"{one['covered']:.0%}", f"{one['width']:.2f}")
        for name, one in said["regimes"].items()
    )
    return [Paragraph(text), Table(("intervals in", "sessions", "covered", "half-width"), rows)]
