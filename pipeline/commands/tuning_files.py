"""The folder that a search leaves: tables, the set to run, pictures, a page.

For: files of ``weathervane tune``; equal searches leave equal bytes, so no file holds a time. Not
for: searching.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import write_bytes, write_json, write_parquet, write_text

if TYPE_CHECKING:
    import polars as pl

    from backtest.pages import Block, Picture
    from ml.tuning import Search, Verdict
    from pipeline.commands.tuning_study import Study


def write_study(
    study: "Study", found: "Search", verdict: "Verdict", folder: Path
) -> dict[str, Any]:
    """Write everything that a search found; the content of ``tune.json``."""
    from backtest.pages import to_html, to_markdown
    from ml.search_tables import trial_table

    trials, summary = trial_table(found, verdict), _summary(study, found, verdict)
    if study.loaded is not None:
        study.loaded.write_quarantine(folder)
    write_parquet(folder / "trials.parquet", trials)
    front = trials.filter("front").sort(
        [name for name in trials.columns if name.startswith("objective_")], descending=True
    )
    write_parquet(folder / "front.parquet", front)
    drawn = _pictures(study, found, verdict, trials)
    for one in drawn:
        write_bytes(folder / one.name, one.png)
    blocks = _page(summary, drawn)
    write_text(folder / "tune.md", to_markdown(blocks))
    write_text(folder / "tune.html", to_html(blocks, title=summary["title"]))
    write_json(folder / "best.json", found.rows[verdict.chosen])
    write_json(folder / "tune.json", summary)
    return summary


def _summary(study: "Study", found: "Search", verdict: "Verdict") -> dict[str, Any]:
    """Everything that a search found, in plain values."""
    from ml.overfitting import best_of_grid

    asked, panel, rows = study.asked, study.panel, found.rows
    returns = study.evaluation.returns(rows)
    first = study.evaluation.markets[0].panel
    luck = best_of_grid(returns, periods_per_year=first.periods_per_year, seed=asked.seed)
    return {
        "title": f"{asked.strategy}: {len(rows)} sets by {asked.searcher}",
        "market": study.market,
        **study.terms(),
        "synthetic": study.synthetic,
        "training": _span(panel.dates[: study.stop]),
        "trials": len(rows),
        "asked_trials": asked.trials,
        "feasible": int(found.feasible.sum()),
        "chosen": _set(found, verdict, verdict.chosen),
        "highest": _set(found, verdict, verdict.highest),
        "default": _default(study),
        "edges": list(verdict.edges),
        "notes": [*verdict.notes, *_words(study)],
        "front": verdict.front.tolist(),
        "hypervolume": {
            "reference": verdict.reference.tolist(),
            "by_batch": verdict.volume.tolist(),
        },
        "best_of_search": luck.model_dump(mode="json"),
        "held_back": _held_back(study, found, verdict),
    }


def _words(study: "Study") -> list[str]:
    """What else a reader should know."""
    notes = [] if study.loaded is None else list(study.loaded.notes)
    if study.synthetic:
        notes.append("a synthetic market: its numbers say nothing about a real one")
    if study.asked.regime is not None:
        notes.append(
            f"judged by sessions of {study.asked.regime!r}, weighted by the probability filtered"
            " at the close before; luck is told of all sessions"
        )
    return notes


def _span(dates: Any) -> dict[str, Any]:
    return {"first": str(dates[0]), "last": str(dates[-1]), "sessions": len(dates)}


def _set(found: "Search", verdict: "Verdict", k: int) -> dict[str, Any]:
    """One set of the search."""
    return {
        "number": k,
        "parameters": found.rows[k],
        "merit": _plain(verdict.merit[k]),
        "smoothed": _plain(verdict.smoothed[k]),
        "metrics": {name: _plain(column[k]) for name, column in found.metrics.items()},
    }


def _default(study: "Study") -> dict[str, Any]:
    """The strategy's defaults, judged alike; no trial of the search."""
    from backtest.params import default_set

    row = default_set(study.strategy.params)
    told = study.evaluation([row]).metrics
    return {
        "parameters": row,
        "metrics": {name: _plain(column[0]) for name, column in told.items()},
    }


def _held_back(study: "Study", found: "Search", verdict: "Verdict") -> dict[str, Any] | None:
    """What three sets earned on the sessions kept back; looked at once, after choosing."""
    import numpy as np

    from backtest.engine.books import sweep_book
    from backtest.params import ParamGrid, default_set
    from ml.tuning import PURGED, held_out
    from pipeline.commands.tuning_study import markets_seen

    if study.start >= study.panel.shape[1]:
        return None
    evaluation = study.evaluation
    market = markets_seen(study.panel, study.asked, training=study.stop, fits=study.fits)[0]
    bars = market.panel
    rows = [found.rows[verdict.chosen], found.rows[verdict.highest]]
    rows.append(default_set(study.strategy.params))
    grid = ParamGrid.of(study.strategy.params, rows)
    book = sweep_book(bars, study.strategy, grid, kind=evaluation.book, cost=evaluation.cost)
    start = int(np.searchsorted(bars.dates, study.panel.dates[study.start]))
    told = held_out(book, start, periods_per_year=bars.periods_per_year, weights=market.weights)
    if not grid.columns:
        told = {name: np.repeat(column, 3) for name, column in told.items()}
    roles = ("chosen", "highest", "default")
    return {
        **_span(study.panel.dates[study.start :]),
        "purged": PURGED,
        **{
            role: {name: _plain(column[k]) for name, column in told.items()}
            for k, role in enumerate(roles)
        },
    }


def _plain(value: Any) -> float | None:
    import math

    return float(value) if math.isfinite(value) else None


def _pictures(
    study: "Study", found: "Search", verdict: "Verdict", trials: "pl.DataFrame"
) -> "list[Picture]":
    """Draw the search."""
    import numpy as np
    import polars as pl

    from backtest.pages import Picture
    from backtest.search_plots import front_plot, surface_plot, trace_plot

    made_up, names = study.synthetic, found.names
    marked = trials.with_columns(
        chosen=pl.col("number") == verdict.chosen, highest=pl.col("number") == verdict.highest
    ).rename({f"objective_{k}": f"objective: {name}" for k, name in enumerate(names)})
    across = f"objective: {names[0]}"
    up = f"objective: {names[1]}" if len(names) > 1 else "max_drawdown"
    regret = np.where(np.isfinite(verdict.regret), verdict.regret, np.nan)
    searched = [one.name for one in found.space.searched]
    chosen = found.rows[verdict.chosen]
    return [
        Picture(
            "pareto.png",
            front_plot({study.asked.strategy: marked}, across=across, up=up, synthetic=made_up),
            "every set by two measures, and the front",
        ),
        Picture(
            "hypervolume.png",
            trace_plot(
                verdict.volume,
                title="hypervolume of the front",
                across="batch",
                up="hypervolume",
                synthetic=made_up,
            ),
            "hypervolume after each batch",
        ),
        Picture(
            "regret.png",
            trace_plot(
                regret,
                title="best so far below the best of the search",
                across="set",
                up="regret",
                synthetic=made_up,
            ),
            "regret to the best of the search",
        ),
        Picture(
            "surface.png",
            surface_plot(trials, searched, chosen=chosen, synthetic=made_up),
            "merit by parameter, raw and smoothed over surroundings",
        ),
    ]


def _page(summary: dict[str, Any], drawn: "list[Picture]") -> "list[Block]":
    """Say what was found, with its reservations first."""
    from backtest.pages import Heading, Paragraph, Table, cell

    held, best = summary["held_back"], summary["best_of_search"]
    rows = []
    for role in ("chosen", "highest", "default"):
        seen = summary[role]["metrics"]
        later = held[role] if held else {}
        rows.append(
            (
                role,
                json.dumps(summary[role]["parameters"]),
                cell(seen["sharpe"], "{:+.2f}"),
                cell(seen["max_drawdown"], "{:.3f}"),
                cell(later.get("sharpe"), "{:+.2f}"),
                cell(later.get("max_drawdown"), "{:.3f}"),
            )
        )
    header = ("", "parameters", "Sharpe", "drawdown", "Sharpe kept back", "drawdown kept back")
    objectives = ", ".join(summary["objectives"])
    blocks: list[Block] = [Heading(summary["title"], 1)]
    blocks += [Paragraph(note, note=True) for note in (*summary["edges"], *summary["notes"])]
    blocks += [
        Paragraph(
            f"{summary['market']}; sought: {objectives}; trained on {summary['training']['first']}"
            f" to {summary['training']['last']}"
            + (f", kept back {held['first']} to {held['last']}." if held else ", none kept back.")
        ),
        Paragraph(
            "Chosen: the feasible set on the highest plateau, where each score is averaged with"
            " its surroundings. Highest: the raw winner. Sessions kept back were looked at once,"
            " after choosing."
        ),
        Table(header, tuple(rows), words=2),
        Paragraph(
            f"The best Sharpe ratio of {best['candidates']} sets over all sessions has a"
            f" probability of {cell(best['dsr'], '{:.2f}')} to be more than luck once every trial"
            f" is counted (deflated Sharpe ratio); probability of overfitting"
            f" {cell(best['pbo'], '{:.2f}')} beside"
            f" {cell(best['pbo_null_mean'], '{:.2f}')} among sets of"
            " equal merit."
        ),
        *drawn,
    ]
    return blocks
