"""Options by which a command is given a panel.

For: one way to say which bars, and how they are read. Not for: what is done with them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.cli.frame import bars_option, names_of

Command = TypeVar("Command", bound=Callable[..., Any])

BOOKS = click.Choice(["long-only", "dollar-neutral", "sector-neutral"])

symbols_option = click.option(
    "--symbols", callback=names_of, help="Only these symbols, separated by commas."
)
calendar_option = click.option(
    "--calendar",
    help="Exchange calendar of all symbols (XNYS, XETR, ...), or `data` for the dates present.",
)
path = click.Path(path_type=Path)
members_option = click.option(
    "--members", type=path, help="Table `symbol, valid_from, valid_to`: who belongs when."
)
base_option = click.option(
    "--base-currency", help="Convert prices to it, as `USD`; each stays as it is quoted otherwise."
)
rates_option = click.option(
    "--rates", type=path, help="Exchange rates: bars of pairs (`EURUSD`), `symbol, date, close`."
)


def panel_options(command: Command) -> Command:
    """Let a command be given a panel: bars, and how they are read."""
    options = (
        bars_option,
        symbols_option,
        calendar_option,
        members_option,
        base_option,
        rates_option,
    )
    for option in reversed(options):
        command = option(command)
    return command
