"""The command that makes a small student of a large learner.

For: distil. Not for: the neural fitter, which is trained by ``fit`` (``research``).
"""

from pathlib import Path
from typing import Any

import click

from pipeline.cli.frame import Stages, answer, cost_option, json_option, out_option
from pipeline.cli.panel import BOOKS, panel_options


@click.command()
@click.option("--strategy", required=True, help="See `weathervane list strategies`.")
@panel_options
@cost_option
@click.option("--book", type=BOOKS, default="dollar-neutral", show_default=True)
@click.option(
    "--teacher", default="ensemble", show_default=True, help="See `weathervane list learners`."
)
@click.option(
    "--train",
    type=click.IntRange(min=60),
    default=756,
    show_default=True,
    help="Sessions before the teacher's first decision.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@out_option
@json_option
def distil(
    strategy: str,
    source: Path,
    as_json: bool,
    teacher: str,
    train: int,
    seed: int,
    **rest: Any,
) -> None:
    """Distil what a learner proposed at every close into a small network.

    It is refitted every 63 closes and judged on those that follow, as the learner `student` is. The
    walk of an ensemble with a neural member takes minutes on a long panel.
    """
    from pipeline.commands.distillation import DistilOptions, run_distil, summary_lines

    asked = DistilOptions(teacher, train, seed)
    done = run_distil(strategy, source, asked=asked, progress=Stages(), **rest)
    values = {**done.told, "seconds": done.seconds}
    answer(values, summary_lines(done, rest["out"]), as_json=as_json)


COMMANDS = (distil,)
