"""What all commands share: errors to one line and an exit code, progress, JSON, common options.

For: the manners of the command line. Not for: any single command.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from backtest.errors import ParameterError, UnknownNameError, WeathervaneError

Wrapped = Callable[..., Any]


GOES_ON = ("tune", "fit", "prove", "board")
"""Commands that go on where they were interrupted."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class House(click.Group):
    """A group that ends a person's mistake in one line on standard error and exit code 1.

    A bad value is such a mistake; an option or command that does not exist, and one that lacks a
    value, stay wrong usage. Ctrl-C is no mistake: one line, and a code of its own.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except click.MissingParameter:
            raise
        except click.BadParameter as error:
            click.echo(str(_bad_value(error)), err=True)
            ctx.exit(1)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal's line holds ^C or half a bar
            click.echo(_interrupted(ctx.invoked_subcommand), err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has seen enough; a flush at exit must not complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:
            if ctx.params.get("debug"):
                click.echo(traceback.format_exc(), err=True, nl=False)
            if isinstance(error, WeathervaneError):
                click.echo(str(error), err=True)
            else:
                click.echo(line_of(error), err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order in which a newcomer meets them."""
        return list(self.commands)


def _bad_value(error: click.BadParameter) -> ParameterError:
    """Turn a value that an option or argument does not take into the house's error."""
    part, ctx = error.param, error.ctx
    named = isinstance(part, click.Parameter) and isinstance(part.type, click.Choice)
    kind = UnknownNameError if named else ParameterError
    where = "" if part is None else part.opts[0] if isinstance(part, click.Option) else part.name
    help_of = "weathervane --help" if ctx is None else f"{ctx.command_path} --help"
    return kind(error.message.rstrip("."), where=where or "", fix=f"see `{help_of}`")


def _interrupted(command: str | None) -> str:
    """Say what is left after Ctrl-C."""
    if command in GOES_ON:
        return f"interrupted: the same `weathervane {command}` goes on where it stopped"
    return "interrupted: earlier results are untouched; run it again"


def line_of(error: Exception) -> str:
    """Put an error that no room of the house named into one line."""
    if isinstance(error, OSError) and error.strerror:
        where = str(error.filename or "a file")
        what = f"E_FILE: {error.strerror}, {where}, check the path, its rights and the free space"
    elif isinstance(error, MemoryError):
        what = "E_MEMORY: not enough memory, this command, give fewer symbols or parameter sets"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = (
            f"E_INTERNAL: {type(error).__name__}: {error}, {Path(last.filename).name} line "
            f"{last.lineno}, a fault of the program: run again as `weathervane --debug ...`"
        )
    return " ".join(what.split())


class Progress:
    """Report of how far a long step is: a bar on a terminal, a plain line per tenth elsewhere.

    Call it with what is done and what there is in all; it writes to standard error, so that
    standard output stays what a program reads.
    """

    def __init__(self, label: str):
        self.label = label
        self._tenth = -1
        self._bar: Any = None
        self._drawn = self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps are behind us."""
        if done < self._done:
            self._tenth = -1
        self._done = done
        if sys.stderr.isatty():
            self._draw(done, total)
        elif total > 0 and (tenth := 10 * done // total) > max(self._tenth, 0):
            self._tenth = tenth
            click.echo(f"{self.label}: {10 * tenth} % ({done} of {total})", err=True)

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None or self._bar.length != total or done < self._drawn:
            self.close()
            self._bar = click.progressbar(length=total, label=self.label, file=sys.stderr)
            self._bar.__enter__()
            self._drawn = 0
        self._bar.update(done - self._drawn)
        self._drawn = done
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the line of the bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


class Stages:
    """Progress of work in several stages, each with a bar of its own."""

    def __init__(self) -> None:
        self._now = Progress("")

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage != self._now.label:
            self._now.close()
            self._now = Progress(stage)
        self._now(done, total)


def home_option(command: Wrapped) -> Wrapped:
    """Add ``--home`` to a command that reads or writes state."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path),
        help="Folder of all state; else $WEATHERVANE_HOME, else .weathervane in the project.",
    )(command)


def json_option(command: Wrapped) -> Wrapped:
    """Add ``--json`` to a command whose answer a program may want to read."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Answer in JSON on standard output."
    )(command)


def bars_option(command: Wrapped) -> Wrapped:
    """Add ``--data`` to a command that reads bars."""
    return click.option(
        "--data",
        "source",
        type=click.Path(path_type=Path),
        required=True,
        help="Bars: a Parquet or CSV file, or a folder of them.",
    )(command)


def out_option(command: Wrapped) -> Wrapped:
    """Add ``--out`` to a command that writes a folder of results."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        help="Folder for the results; made when missing.",
    )(command)


def cost_option(command: Wrapped) -> Wrapped:
    """Add ``--cost-bps`` to a command that trades."""
    return click.option(
        "--cost-bps",
        type=float,
        default=5.0,
        show_default=True,
        help="Cost per side, in basis points of traded notional.",
    )(command)


def names_of(
    _context: click.Context, _option: click.Parameter, text: str | tuple[str, ...] | None
) -> list[str] | None:
    """Split ``A,B``, once or as often as the option was given, into names."""
    if text is None:
        return None
    texts = (text,) if isinstance(text, str) else text
    names = [name.strip() for one in texts for name in one.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("give at least one name")
    return names


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Put a number before its noun: ``1 spell``, ``2 spells``."""
    return f"{number} {noun if number == 1 else several or noun + 's'}"


def answer(values: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print a result: one JSON object for a program, or plain lines for a person."""
    if as_json:
        click.echo(json.dumps(values, indent=2, sort_keys=False, default=str, allow_nan=False))
    else:
        click.echo("\n".join(lines))
