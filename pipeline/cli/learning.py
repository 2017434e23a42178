"""Commands that train networks on bars, and ask trained ones; state only with a home.

For: fit, suggest. Not for: judging what was trained (``proof``).
"""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.frame import (
    Stages,
    answer,
    cost_option,
    home_option,
    json_option,
    out_option,
)
from pipeline.cli.panel import BOOKS, panel_options, path


@click.command()
@click.option("--strategy", required=True, help="See `weathervane list strategies`.")
@panel_options
@cost_option
@click.option("--book", type=BOOKS, default="dollar-neutral", show_default=True)
@click.option("--extractor", default="tcn", show_default=True, help="tcn or conv_lstm.")
@click.option(
    "--refinement",
    type=click.Choice(["gradient", "evolution", "reinforce", "none", "alone"]),
    default="gradient",
    show_default=True,
    help="Stage two; alone: reinforcement without a stage one.",
)
@click.option(
    "--networks",
    type=click.IntRange(min=1, max=16),
    default=2,
    show_default=True,
    help="Trained one after the other; the mix is their mean.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1, max=10_000),
    default=60,
    show_default=True,
    help="Most of stage one, which ends after ten without a better one; stage two has up to 15.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--fast", is_flag=True, help="On a GPU: bfloat16, compiled, algorithms that need not repeat."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@home_option
@out_option
@json_option
def fit(
    strategy: str,
    source: Path,
    as_json: bool,
    home: Path | None,
    extractor: str,
    refinement: str,
    networks: int,
    epochs: int,
    device: str,
    fast: bool,
    seed: int,
    **rest: Any,
) -> None:
    """Train the neural fitter on all bars; an interrupted fit goes on.

    With --home the fit is logged in its tracker, and its weights are registered.
    """
    from pipeline.commands.fits import run_fit, summary_lines
    from pipeline.config import open_home
    from pipeline.fitting import FitOptions

    asked = FitOptions(extractor, refinement, networks, epochs, device, fast, seed)
    kept = None if home is None else open_home(home)
    done = run_fit(strategy, source, asked=asked, home=kept, progress=Stages(), **rest)
    answer(done.told, summary_lines(done.told, rest["out"]), as_json=as_json)


@click.command()
@click.option("--strategy", help="Whose fitter; the folder of `weathervane fit` says so itself.")
@click.option("--fit", "folder", type=path, help="Folder that `weathervane fit` wrote.")
@home_option
@click.option(
    "--alias", default="challenger", show_default=True, help="Of the model registered in the home."
)
@panel_options
@json_option
def suggest(
    strategy: str | None,
    folder: Path | None,
    home: Path | None,
    alias: str,
    source: Path,
    as_json: bool,
    **rest: Any,
) -> None:
    """Ask a trained fitter for parameters after the last close of some bars.

    With --fit its weights are read from that folder, else from the registry of the home.
    """
    from pipeline.commands.suggestions import Trained, suggestion_lines
    from pipeline.commands.suggestions import suggest as ask

    if folder is None and strategy is None:
        raise click.UsageError("give --strategy NAME, or --fit FOLDER")
    if folder is not None and home is not None:
        raise click.UsageError("--fit reads a folder, --home a registry: give one of them")
    told = ask(Trained(strategy, folder, home, alias), source, **rest)
    answer(told, suggestion_lines(told), as_json=as_json)


COMMANDS = (fit, suggest)
