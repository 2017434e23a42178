"""Commands that show what is there: registered parts, schemas, the health of a home.

For: list, schema, doctor. Not for: anything that computes.
"""

from pathlib import Path

import click

from pipeline.cli.frame import answer, home_option, json_option

KINDS = click.Choice(
    [
        *("strategies", "features", "states", "labels", "regimes", "searchers", "learners"),
        *("metrics", "providers", "settings"),
    ]
)


@click.command("list")
@click.argument("kind", type=KINDS)
@json_option
def list_parts(kind: str, as_json: bool) -> None:
    """Name the registered parts of one kind, with what each is, or the settings."""
    from pipeline.commands.catalogue import part_lines, parts

    found = parts(kind)
    answer(found, part_lines(found), as_json=as_json)


@click.command()
@click.argument("name")
def schema(name: str) -> None:
    """Print the JSON Schema of a strategy's parameters or of a document."""
    from pipeline.commands.catalogue import schema_of

    answer(schema_of(name), [], as_json=True)


@click.command()
@home_option
@json_option
def doctor(home: Path | None, as_json: bool) -> None:
    """Check the store, the files, the ledger, the registry and the calendar."""
    from pipeline.commands.doctor import examine

    found = examine(home)
    lines = [f"{'ok ' if check.ok else 'BAD'}  {check.name}: {check.found}" for check in found]
    lines += [f"     heal: {check.heal}" for check in found if not check.ok]
    answer({"checks": [vars(check) for check in found]}, lines, as_json=as_json)
    if not all(check.ok for check in found):
        bad = ", ".join(check.name for check in found if not check.ok)
        raise click.exceptions.Exit(1) if as_json else _unhealthy(bad)


def _unhealthy(bad: str) -> Exception:
    from backtest.errors import StoreError

    return StoreError(bad, where="doctor", fix="heal as said above", code="E_UNHEALTHY")


COMMANDS = (list_parts, schema, doctor)
