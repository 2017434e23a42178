"""Commands that answer a question from files; state only where `tune` is given a home.

For: backtest, sweep, tune, walk-forward, regimes, metrics, quality. Not for: proofs
(``proof``), trained networks (``learning``) or the daily chain.
"""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.frame import (
    Progress,
    Stages,
    answer,
    bars_option,
    cost_option,
    counted,
    home_option,
    json_option,
    names_of,
    out_option,
)
from pipeline.cli.panel import (
    BOOKS,
    base_option,
    calendar_option,
    members_option,
    panel_options,
    path,
    rates_option,
    symbols_option,
)


@click.command()
@click.option("--strategy", required=True, help="See `weathervane list strategies`.")
@click.option("--params", required=True, help="One parameter set, as JSON or @FILE.")
@bars_option
@symbols_option
@calendar_option
@cost_option
@click.option(
    "--engine",
    type=click.Choice(["events", "lanes", "reference", "execution"]),
    help="Left out: events, or lanes where the strategy has guards or sizes.",
)
@out_option
@json_option
def backtest(
    strategy: str, params: str, source: Path, out: Path, as_json: bool, **rest: Any
) -> None:
    """Backtest one parameter set, per symbol and over all."""
    from pipeline.commands.backtests import run_backtest
    from pipeline.commands.files import json_argument

    metrics = run_backtest(strategy, json_argument(params), source, out=out, **rest)
    total = metrics["all"]
    lines = [f"{len(metrics) - 1} symbols, equal weight of those with a bar on each session:"]
    lines += [f"  {name:<20} {_number(name, total[name])}" for name in _SHOWN if name in total]
    lines.append(f"files: {out}")
    answer(metrics, lines, as_json=as_json)


_SHOWN = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown", "trades", "win_rate")


@click.command()
@click.option("--strategy", required=True, help="See `weathervane list strategies`.")
@click.option("--grid", type=path, help="JSON: a list of sets, or lists of values by parameter.")
@click.option("--samples", type=int, help="Draw this many sets by a scrambled Sobol sequence.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the samples."
)
@panel_options
@cost_option
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="cuda: a GPU, if there is one.",
)
@click.option("--book", type=BOOKS, help="Also one portfolio per set, of this kind.")
@click.option("--top", type=int, help="Books of the N best sets only.")
@out_option
@json_option
def sweep(
    strategy: str,
    grid: Path | None,
    samples: int | None,
    seed: int,
    source: Path,
    as_json: bool,
    **rest: Any,
) -> None:
    """Backtest many parameter sets on every symbol."""
    from pipeline.commands.sweeps import Asked, run_sweep

    if (grid is None) == (samples is None):
        raise click.UsageError("give either --grid FILE.json or --samples N")
    done = run_sweep(
        strategy, Asked(grid, samples, seed), source, progress=Progress("sweep"), **rest
    )
    found = done.summary
    flat = found.get("book_flat_sessions", 0)
    lines = [
        f"{found['sets']} sets x {found['symbols']} symbols in {found['seconds']} s"
        f" ({found['infeasible']} infeasible sets dropped)",
        "best by mean Sharpe ratio over symbols:",
        *(f"  {row['mean_sharpe']:+.3f}  {_values(row)}" for row in done.best),
        *([f"books are flat on {flat} sessions with fewer than 5 members"] if flat else []),
        f"files: {rest['out']}",
    ]
    answer(found, lines, as_json=as_json)


@click.command("walk-forward")
@panel_options
@click.option(
    "--strategies",
    default="rsi_swing",
    show_default=True,
    callback=names_of,
    help="Names, by comma.",
)
@click.option("--book", type=BOOKS, default="dollar-neutral", show_default=True)
@click.option(
    "--train", type=int, default=756, show_default=True, help="Sessions before the first decision."
)
@click.option("--step", type=int, default=5, show_default=True, help="Sessions between selections.")
@click.option(
    "--refit", type=int, default=125, show_default=True, help="Sessions between regime fits."
)
@click.option(
    "--window", type=click.Choice(["anchored", "rolling"]), default="anchored", show_default=True
)
@cost_option
@click.option("--incumbent", type=path, help="JSON: the parameters that you run today.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@out_option
@json_option
def walk_forward(source: Path, out: Path, as_json: bool, **rest: Any) -> None:
    """Give the whole evidence on a panel: decisions, returns of every variant, the gate."""
    from pipeline.commands.walks import run_walk_forward, summary_lines

    done = run_walk_forward(source, out=out, progress=Stages(), **rest)
    answer(done.evidence, summary_lines(done.evidence, out), as_json=as_json)


@click.command()
@bars_option
@symbols_option
@calendar_option
@click.option("--model", default="hmm", show_default=True, help="See `weathervane list regimes`.")
@click.option(
    "--train", type=int, default=756, show_default=True, help="Sessions before the first fit."
)
@click.option("--refit", type=int, default=125, show_default=True, help="Sessions between fits.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--out", type=path, required=True, help="File to write: FILE.parquet.")
@click.option("--plot", type=path, help="Also draw the regimes over the market, as FILE.png.")
@json_option
def regimes(source: Path, out: Path, as_json: bool, **rest: Any) -> None:
    """Write the regime probabilities as each close was told them."""
    from pipeline.commands.regimes import write_regimes

    found = write_regimes(source, out=out, **rest)
    lines = [f"{found['sessions']} sessions, {counted(found['fits'], 'fit')} of {found['model']}"]
    lines += [
        f"  {row['regime']:<36} {row['sessions']:>6} sessions ({row['share']:.0%}),"
        f" {counted(row['spells'], 'spell')} of {row['mean_spell']:.0f} on average"
        for row in found["table"]
    ]
    told = found["summary"]
    switches = counted(told["switches"], "switch", "switches")
    lines.append(f"{switches}, entropy {told['entropy']:.2f} of 1")
    lines += [f"file: {file}" for file in (out, rest["plot"]) if file is not None]
    answer(found, lines, as_json=as_json)


@click.command()
@click.option("--returns", type=path, required=True, help="CSV with the header date,return.")
@click.option("--benchmark", type=path, help="CSV of the same form.")
@click.option("--periods", type=int, default=252, show_default=True, help="Periods per year.")
@click.option("--risk-free", type=float, default=0.0, show_default=True, help="Annual, decimal.")
@click.option("--json", "as_json", is_flag=True, help="Accepted; the answer is JSON anyway.")
def metrics(returns: Path, as_json: bool, **rest: Any) -> None:
    """Print every metric of a series of returns, as JSON."""
    from pipeline.commands.metrics import metrics_of_file

    answer(metrics_of_file(returns, **rest), [], as_json=True)


@click.command()
@bars_option
@calendar_option
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="quality.KEY=VALUE",
    help="A threshold, such as quality.stale_sessions=8.",
)
@out_option
@json_option
def quality(source: Path, out: Path, as_json: bool, **rest: Any) -> None:
    """Judge bars by named rules; what was found is a result, not an error."""
    from pipeline.commands.quality import judge_quality, quality_lines

    told = judge_quality(source, out=out, **rest)
    answer(told, quality_lines(told, out), as_json=as_json)


@click.command()
@click.option("--strategy", default="rsi_swing", show_default=True, help="What to tune.")
@click.option(
    "--searcher", default="tpe", show_default=True, help="See `weathervane list searchers`."
)
@click.option("--trials", type=int, default=128, show_default=True, help="Most sets to try.")
@click.option("--batch", type=int, default=16, show_default=True, help="Sets of one sweep.")
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    default=("sharpe",),
    show_default=True,
    callback=names_of,
    help="A metric, a sum such as sharpe+2*max_drawdown, risk_adjusted; several by comma, or given"
    " again.",
)
@click.option(
    "--constraint", "constraints", multiple=True, metavar="METRIC<=X", help="May be given again."
)
@click.option(
    "--regime", help="Judge by the sessions of one regime: a whole name, or words: bull, volatile."
)
@click.option(
    "--timeframes",
    multiple=True,
    default=("1d",),
    show_default=True,
    callback=names_of,
    help="1d, 1w, or both.",
)
@click.option(
    "--combine",
    type=click.Choice(["mean", "worst"]),
    default="mean",
    show_default=True,
    help="A set's value over several timeframes.",
)
@click.option("--bounds", help="Narrower bounds, as JSON or @FILE; equal ones hold a value fixed.")
@click.option("--lattice", is_flag=True, help="Only the values of the strategy's default grid.")
@click.option("--book", type=BOOKS, default="dollar-neutral", show_default=True)
@click.option(
    "--holdout", type=float, default=0.3, show_default=True, help="Share of sessions kept back."
)
@cost_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--data", "source", type=path, help="Bars; the embedded synthetic market if left out."
)
@symbols_option
@calendar_option
@members_option
@base_option
@rates_option
@home_option
@out_option
@json_option
def tune(
    source: Path | None,
    out: Path,
    home: Path | None,
    as_json: bool,
    bounds: str | None,
    **rest: Any,
) -> None:
    """Search parameters: plateaus, not peaks, and every trial counted.

    The same command into the same folder goes on where it stopped. With --home, the trials count
    in the ledger of that home.
    """
    from pipeline.commands.tuning import bounds_of, run_tune
    from pipeline.commands.tuning_study import Asked
    from pipeline.commands.tuning_words import tune_lines

    panel = ("symbols", "calendar", "members", "base_currency", "rates")
    options = {name: rest.pop(name) for name in panel}
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in rest.items()}
    asked = Asked(**plain, bounds=bounds_of(bounds))
    done = run_tune(asked, source, out=out, home=home, progress=Stages(), **options)
    answer(done.summary, tune_lines(done.summary, out, resumed=done.resumed), as_json=as_json)


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:,.0f}" if name == "trades" else f"{value:+.4f}"


def _values(row: dict[str, Any]) -> str:
    shown = {name: value for name, value in row.items() if name not in ("set", "mean_sharpe")}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in shown.items()
    )


COMMANDS = (backtest, sweep, tune, walk_forward, regimes, metrics, quality)
