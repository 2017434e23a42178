"""The folder that a search leaves: tables, the set to run, pictures, a page.

For: files of ``weathervane tune``; equal searches leave equal bytes, so no file holds a time. Not
for: searching.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import write_bytes, write_json, write_parquet, write_text
from pipeline.commands.tuning_words import ROLES, merit_of, notes_of, sets_of, sought, warnings_of

if TYPE_CHECKING:
    import polars as pl

    from backtest.pages import Block, Picture
    from ml.evaluation import Market
    from ml.tuning import Search, Verdict
    from pipeline.commands.tuning_study import Study

_DRAWDOWN = "max_drawdown, lower is better"


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
    first = study.evaluation.markets[0]
    luck = best_of_grid(returns, periods_per_year=first.panel.periods_per_year, seed=asked.seed)
    told = {
        "title": f"{asked.strategy}: {sets_of(len(rows))} by {asked.searcher}",
        "market": study.market,
        **study.terms(),
        "synthetic": study.synthetic,
        "training": _span(panel.dates[: study.stop], first, 0),
        "trials": len(rows),
        "asked_trials": asked.trials,
        "feasible": int(found.feasible.sum()),
        "ranked_by": merit_of(found.names),
        "chosen": _set(study, found, verdict, verdict.chosen),
        "highest": _set(study, found, verdict, verdict.highest),
        "default": _default(study),
        "edges": list(verdict.edges),
        "front": verdict.front.tolist(),
        "hypervolume": {
            "reference": verdict.reference.tolist(),
            "by_batch": verdict.volume.tolist(),
        },
        "best_of_search": luck.model_dump(mode="json"),
        "held_back": _held_back(study, found, verdict),
    }
    signs = {one.text: one.sign for one in study.evaluation.goal.objectives}
    said = {"warnings": warnings_of(told, signs), "notes": [*verdict.notes, *notes_of(study, told)]}
    return told | said


def _span(dates: Any, market: "Market", start: int) -> dict[str, Any]:
    """Sessions of a span, and of one regime that is judged: bars, and how many it fills."""
    weights = market.weights
    return {
        **{"first": str(dates[0]), "last": str(dates[-1]), "sessions": len(dates)},
        "bars": market.panel.shape[1] - start,
        "effective": None if weights is None else float(weights[start:].sum()),
    }


def _objectives(study: "Study", values: Any) -> dict[str, float | None]:
    """Objectives of one set by name, as people know them: a drawdown is positive."""
    goal = study.evaluation.goal.objectives
    # The addition makes of a negative zero a plain one.
    return {one.text: _plain(one.sign * v + 0.0) for one, v in zip(goal, values, strict=True)}


def _set(study: "Study", found: "Search", verdict: "Verdict", k: int) -> dict[str, Any]:
    """One set of the search."""
    return {
        "number": k,
        "parameters": found.rows[k],
        "objectives": _objectives(study, found.values[k]),
        "merit": _plain(verdict.merit[k]),
        "smoothed": _plain(verdict.smoothed[k]),
        "metrics": {name: _plain(column[k]) for name, column in found.metrics.items()},
    }


def _default(study: "Study") -> dict[str, Any]:
    """The strategy's defaults, judged alike; no trial of the search."""
    from backtest.params import default_set

    row = default_set(study.strategy.params)
    told = study.evaluation([row])
    return {
        "parameters": row,
        "feasible": bool(told.feasible[0]),
        "objectives": _objectives(study, told.values[0]),
        "metrics": {name: _plain(column[0]) for name, column in told.metrics.items()},
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
    told = held_out(
        *(book, start),
        periods_per_year=bars.periods_per_year,
        weights=market.weights,
        sought=evaluation.goal.metrics,
    )
    if not grid.columns:
        told = {name: np.repeat(column, 3) for name, column in told.items()}
    known = [one for one in evaluation.goal.objectives if all(n in told for _, n in one.terms)]
    objectives = {one.text: one.sign * one.of(told) + 0.0 for one in known}
    return {
        **_span(study.panel.dates[study.start :], market, start),
        "purged": PURGED,
        **{
            role: {
                **{name: _plain(column[k]) for name, column in told.items()},
                "objectives": {name: _plain(column[k]) for name, column in objectives.items()},
            }
            for k, role in enumerate(ROLES)
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

    from backtest.pages import Picture
    from backtest.search_plots import surface_plot, trace_plot

    made_up = study.synthetic
    regret = np.where(np.isfinite(verdict.regret), verdict.regret, np.nan)
    searched = [one.name for one in found.space.searched]
    chosen = found.rows[verdict.chosen]
    return [
        _compromises(study, verdict, trials),
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


def _compromises(study: "Study", verdict: "Verdict", trials: "pl.DataFrame") -> "Picture":
    """Draw every set by two measures."""
    import polars as pl

    from backtest.pages import Picture
    from backtest.search_plots import front_plot

    goal = study.evaluation.goal.objectives
    labels = [f"{one.text}, lower is better" if one.sign < 0 else one.text for one in goal]
    marked = trials.with_columns(
        chosen=pl.col("number") == verdict.chosen, highest=pl.col("number") == verdict.highest
    ).with_columns(
        (one.sign * pl.col(f"objective_{k}")).alias(labels[k]) for k, one in enumerate(goal)
    )
    if len(goal) > 1:
        up, caption = labels[1], "every set by two measures, and the front"
    else:
        # The front of one objective is its best set: what is drawn beside it was not sought.
        marked = marked.with_columns(pl.col("max_drawdown").alias(_DRAWDOWN), front=False)
        up = "sharpe" if goal[0].text == "max_drawdown" else _DRAWDOWN
        caption = "every set by two measures"
    drawn = front_plot(
        {study.asked.strategy: marked}, across=labels[0], up=up, synthetic=study.synthetic
    )
    return Picture("pareto.png", drawn, caption)


def _page(summary: dict[str, Any], drawn: "list[Picture]") -> "list[Block]":
    """Say what was found, with its reservations first."""
    from backtest.pages import Heading, Paragraph, Table, cell

    held, best = summary["held_back"], summary["best_of_search"]
    rows = []
    for role in ROLES:
        seen = summary[role]["metrics"]
        later = held[role] if held else {}
        rows.append(
            (
                role,
                json.dumps(summary[role]["parameters"]),
                sought(summary[role]["objectives"]),
                cell(seen["sharpe"], "{:+.2f}"),
                cell(seen["max_drawdown"], "{:.3f}"),
                cell(later.get("sharpe"), "{:+.2f}"),
                cell(later.get("max_drawdown"), "{:.3f}"),
            )
        )
    header = ("", "parameters", "sought", "Sharpe", "drawdown", "Sharpe kept back")
    header = (*header, "drawdown kept back")
    objectives = ", ".join(summary["objectives"])
    said = (*summary["edges"], *summary["warnings"], *summary["notes"])
    blocks: list[Block] = [Heading(summary["title"], 1)]
    blocks += [Paragraph(note, note=True) for note in said]
    blocks += [
        Paragraph(
            f"{summary['market']}; sought: {objectives}; trained on {summary['training']['first']}"
            f" to {summary['training']['last']}"
            + (f", kept back {held['first']} to {held['last']}." if held else ", none kept back.")
        ),
        Paragraph(
            "Chosen: the feasible set on the highest plateau, where each score is averaged with"
            f" its surroundings. Highest: the raw winner in {summary['ranked_by']}. Sessions kept"
            " back were looked at once, after choosing."
        ),
        Table(header, tuple(rows), words=3),
        Paragraph(
            f"The best Sharpe ratio of {sets_of(best['candidates'])} over all sessions has a"
            f" probability of {cell(best['dsr'], '{:.2f}')} to be more than luck once every trial"
            f" is counted (deflated Sharpe ratio); probability of overfitting"
            f" {cell(best['pbo'], '{:.2f}')} beside"
            f" {cell(best['pbo_null_mean'], '{:.2f}')} among sets of"
            " equal merit."
        ),
        *drawn,
    ]
    return blocks
