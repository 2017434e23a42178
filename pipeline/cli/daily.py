"""Commands of the daily chain and of what it exported.

For: run, show, explain, diff, history, rollback, restore. Not for: research from files.
"""

import warnings
from datetime import date, datetime
from pathlib import Path

import click

from pipeline.cli.frame import answer, home_option, json_option

day_type = click.DateTime(formats=["%Y-%m-%d"])


def _day(_context: click.Context, _option: click.Parameter, moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _moment(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> date | datetime | None:
    from backtest.errors import DataError
    from pipeline.partitions import moment_of

    try:
        return None if text is None else moment_of(text)
    except DataError as error:
        raise click.BadParameter(f"{error.what}; {error.fix}") from None


session_option = click.option(
    "--session", type=day_type, callback=_day, metavar="DATE", help="A session; else the latest."
)


@click.command()
@click.option("--profile", help="demo, files, or a TOML file.  [default: demo]")
@click.option(
    "--data", "source", type=click.Path(path_type=Path), help="Your own bars; implies files."
)
@session_option
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override.")
@click.option(
    "--as-of",
    callback=_moment,
    metavar="DATE|MOMENT",
    help="Use only what was known before 00:00 UTC on the day of the next session after DATE, "
    "or before a moment (ISO, UTC unless it names a zone).",
)
@home_option
@json_option
def run(
    profile: str | None,
    source: Path | None,
    session: date | None,
    overrides: tuple[str, ...],
    as_of: date | datetime | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Run the whole chain: bars in, today's parameters and their evidence out."""
    # Dagster warns of parts that its makers call beta; whoever runs the chain cannot act on it.
    warnings.filterwarnings("ignore", message=".*is currently in beta.*")
    from pipeline.chain import run_chain
    from pipeline.commands.summary import plain_summary, summary_lines
    from pipeline.config import load_settings, open_home

    settings = load_settings(profile, path=source, overrides=overrides)
    done = run_chain(
        settings,
        open_home(home),
        session=session,
        as_of=as_of,
        progress=lambda line: click.echo(line, err=True),
    )
    answer(plain_summary(done), summary_lines(done), as_json=as_json)


@click.command()
@session_option
@click.option(
    "--regime",
    metavar="WORDS",
    help="Instead, what each strategy would run in a regime: a whole name, or words of it.",
)
@home_option
@json_option
def show(session: date | None, regime: str | None, home: Path | None, as_json: bool) -> None:
    """Show the parameters of a session: today's, if none is named."""
    from ml.export.document import plain
    from pipeline import exports
    from pipeline.config import Home, home_of

    if regime is not None:
        if session is not None:
            raise click.UsageError("--regime asks the registered model, --session a document")
        return _show_regime(regime, home, as_json=as_json)
    document = exports.read_document(Home(home_of(home)), session)
    answer(plain(document), exports.show(document), as_json=as_json)


def _show_regime(regime: str, home: Path | None, *, as_json: bool) -> None:
    from pipeline.commands.regime_parameters import regime_lines, regime_parameters

    told = regime_parameters(regime, home)
    answer(told, regime_lines(told), as_json=as_json)


@click.command()
@session_option
@home_option
@json_option
def explain(session: date | None, home: Path | None, as_json: bool) -> None:
    """Say why the parameters of a session are what they are."""
    from ml.export.document import plain
    from pipeline import exports
    from pipeline.config import Home, home_of

    document = exports.read_document(Home(home_of(home)), session)
    answer(plain(document), exports.explain(document), as_json=as_json)


@click.command()
@click.argument("a")
@click.argument("b")
@home_option
@json_option
def diff(a: str, b: str, home: Path | None, as_json: bool) -> None:
    """Say what changed from session A to session B."""
    from pipeline import exports
    from pipeline.config import Home, home_of

    place = Home(home_of(home))
    before, after = (exports.read_document(place, session) for session in (a, b))
    changes = exports.diff(before, after)
    answer(
        {"from": a, "to": b, "changes": [vars(change) for change in changes]},
        exports.diff_lines(before, after),
        as_json=as_json,
    )


@click.command()
@home_option
@json_option
def history(home: Path | None, as_json: bool) -> None:
    """List the ledger of exports, oldest first, after checking every file."""
    from pipeline import exports
    from pipeline.config import Home, home_of

    found = exports.history(Home(home_of(home)))
    values = {
        "entries": [entry.plain() for entry in found.entries],
        "in_force": sorted(found.in_force),
        "latest": found.latest,
    }
    answer(values, exports.history_lines(found), as_json=as_json)


@click.command()
@click.argument("entry", type=int)
@home_option
@json_option
def rollback(entry: int, home: Path | None, as_json: bool) -> None:
    """Go back to a ledger entry; what was exported since stays in the ledger."""
    from pipeline import exports
    from pipeline.config import Home, home_of

    done = exports.rollback(Home(home_of(home)), entry)
    lines = [f"entry {done.entry.entry}: back to entry {entry}, session {done.entry.session}"]
    answer(done.entry.plain(), [*lines, f"file: {done.path}"], as_json=as_json)


@click.command()
@home_option
@json_option
def restore(home: Path | None, as_json: bool) -> None:
    """Put the last copy of the store in its place; what stood there is moved aside."""
    from pipeline.config import Home, home_of
    from pipeline.store import backup

    done = backup.restore(Home(home_of(home)))
    lines = [f"store of commit {done.backup.number} restored from {done.backup.path.name}"]
    if done.lost:
        lines.append(
            f"{done.lost} later commits are not in it: run `weathervane run` to fetch anew"
        )
    if done.aside:
        lines.append(f"what stood there before: {done.aside}")
    values = {
        "commit": done.backup.number,
        "backup": str(done.backup.path),
        "lost": done.lost,
        "aside": str(done.aside) if done.aside else None,
    }
    answer(values, lines, as_json=as_json)


COMMANDS: tuple[click.Command, ...] = (run, show, explain, diff, history, rollback, restore)
