"""The command that keeps a model and goes on with it.

For: online. Not for: research without state (``research``).
"""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.frame import answer, cost_option, json_option, out_option
from pipeline.cli.panel import BOOKS, panel_options, path


@click.command()
@click.option("--strategy", required=True, help="See `weathervane list strategies`.")
@panel_options
@cost_option
@click.option("--book", type=BOOKS, default="dollar-neutral", show_default=True)
@click.option(
    "--detector",
    type=click.Choice(["adwin", "page_hinkley", "kswin"]),
    default="adwin",
    show_default=True,
    help="What hears that errors are not what they were.",
)
@click.option(
    "--alarm",
    type=click.Choice(["demote", "freeze"]),
    default="demote",
    show_default=True,
    help="While an alarm lasts: the static table speaks, or the mix stays.",
)
@click.option("--state", type=path, required=True, help="Folder of the state that is kept.")
@out_option
@json_option
def online(strategy: str, source: Path, as_json: bool, **rest: Any) -> None:
    """Go on with the online model of a strategy, and keep its state.

    The state is begun where the folder holds none. Bars that are not those that it was taught are
    refused.
    """
    from pipeline.commands.onlines import run_online, summary_lines

    told = run_online(strategy, source, **rest)
    answer(told, summary_lines(told, rest["state"], rest["out"]), as_json=as_json)


COMMANDS = (online,)
