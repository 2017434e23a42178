"""Commands that prove: markets with a known truth, and parts that cannot see the future.

For: market, leaks, prove, board. Not for: research on a user's own bars.
"""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.frame import Progress, answer, home_option, json_option, names_of, out_option

WORLDS = click.Choice(["clear", "murky", "null", "constant", "trend-only", "structural-break"])
path = click.Path(path_type=Path)


@click.command()
@click.option("--world", type=WORLDS, required=True, help="What is planted.")
@click.option("--symbols", type=int, default=100, show_default=True)
@click.option("--sessions", type=int, default=3024, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--overnight-share",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of a session's variance that falls before the open.",
)
@click.option("--sectors", type=int, default=8, show_default=True, help="From 1 to 8.")
@click.option(
    "--factor",
    type=float,
    default=1.0,
    show_default=True,
    help="Times the strength of the common shock; at 0 volatility hides the state.",
)
@click.option(
    "--volatility",
    type=float,
    default=1.0,
    show_default=True,
    help="Times every standard deviation.",
)
@click.option(
    "--volume",
    type=float,
    default=1.0,
    show_default=True,
    help="Times the shift of volume with the state; at 0 volume hides it.",
)
@click.option(
    "--break-session",
    type=int,
    default=1512,
    show_default=True,
    help="First session with other signs, in the world structural-break.",
)
@out_option
@json_option
def market(world: str, as_json: bool, **rest: Any) -> None:
    """Write a synthetic market and the truth planted in it."""
    from pipeline.commands.markets import write_market

    made = write_market(world, **rest)
    lines = [
        f"synthetic market {world!r}, seed {made['seed']}: {made['symbols']} symbols, "
        f"{made['sessions']} sessions, {made['first']} to {made['last']}",
        f"files: {rest['out']}",
    ]
    answer(made, lines, as_json=as_json)


@click.command()
@click.option("--part", help="Only the part of this name; all parts by default.")
@click.option(
    "--cuts",
    type=click.IntRange(min=1, max=200),
    default=8,
    show_default=True,
    help="Sessions at which the history is cut.",
)
@click.option(
    "--traps", is_flag=True, help="Instead, plant leaks and show which detector sees which."
)
@json_option
def leaks(part: str | None, cuts: int, traps: bool, as_json: bool) -> None:
    """Prove that no feature, label, strategy, regime model, learner or decision sees the future."""
    if traps:
        if part is not None:
            raise click.UsageError("--traps tries the detectors, --part a part: give one of them")
        return _traps(as_json=as_json)
    from pipeline.commands.leaks import leak_lines, prove_parts, refuse_leaks

    found = prove_parts(part, cuts=cuts, progress=Progress("leaks"))
    answer(found, leak_lines(found), as_json=as_json)
    refuse_leaks(found)


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), help="Of every world; else the long form.")
@click.option(
    "--worlds", callback=names_of, help="Names, by comma; all by default, none beside --data."
)
@click.option(
    "--data",
    "data",
    type=path,
    multiple=True,
    help="Folder with bars and truth.parquet, of any generator; may be given again.",
)
@click.option("--short", is_flag=True, help="Small markets, two seeds: judges nothing.")
@click.option(
    "--first-seed",
    type=click.IntRange(min=0),
    default=1001,
    show_default=True,
    help="Of the first market of each world; the next ones follow.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one per core by default.")
@out_option
@json_option
def prove(out: Path, as_json: bool, worlds: list[str] | None, **rest: Any) -> None:
    """Walk markets with a known truth: what is there is found, and nothing else.

    The long form takes about half an hour on two cores; one that was cut short goes on where it
    stopped.
    """
    from pipeline.commands.proofs import proof_lines, prove_worlds, refuse_missed

    _refuse_worlds(worlds)
    proof = prove_worlds(out, worlds=worlds, progress=Progress("prove"), **rest)
    answer(proof.values, proof_lines(proof, out), as_json=as_json)
    refuse_missed(proof)


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), help="Of every world; 10, and 5 of constant.")
@click.option(
    "--worlds",
    callback=names_of,
    help="Names, by comma; clear,murky,null,constant by default, none beside --data.",
)
@click.option(
    "--data",
    "data",
    type=path,
    multiple=True,
    help="Bars, file or folder, a market of its own; may be given again.",
)
@click.option("--strategies", callback=names_of, help="Names, by comma, walked on --data.")
@click.option(
    "--learners",
    callback=names_of,
    help="Names, by comma, beside those that are on every board; all but those that train "
    "networks by default.",
)
@click.option("--short", is_flag=True, help="Small markets, two seeds: judges nothing.")
@click.option(
    "--first-seed",
    type=click.IntRange(min=0),
    default=2001,
    show_default=True,
    help="Of the first market of each world; the next ones follow.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one per core by default.")
@click.option(
    "--out", type=path, default=Path("out/board"), show_default=True, help="Folder of the page."
)
@home_option
@json_option
def board(out: Path, as_json: bool, worlds: list[str] | None, **rest: Any) -> None:
    """Put every learner on every market: who wins, where, and by how much.

    One that was cut short goes on where it stopped. With --home, what is looked at on --data counts
    in the ledger of that home.
    """
    from pipeline.commands.proofs import board_lines, make_board

    _refuse_worlds(worlds)
    values = make_board(out, worlds=worlds, progress=Progress("board"), **rest)
    answer(values, board_lines(values, out), as_json=as_json)


def _refuse_worlds(worlds: list[str] | None) -> None:
    """Refuse a name that is no world."""
    from backtest.errors import UnknownNameError
    from backtest.registry import closest

    for name in worlds or ():
        if name not in WORLDS.choices:
            raise UnknownNameError(
                f"unknown world {name!r}", where="--worlds", fix=closest(name, [*WORLDS.choices])
            )


def _traps(*, as_json: bool) -> None:
    from pipeline.commands.leaks import refuse_faults, spring_traps

    found = spring_traps(progress=Progress("traps"))
    answer(found, found["table"], as_json=as_json)
    refuse_faults(found)


COMMANDS = (market, leaks, prove, board)
