"""The command line: every command of the project, each a thin layer over one public function.

For: parsing what a person typed, showing progress, and turning errors into one line and an exit
code. Not for: work; that is done by the functions of ``pipeline.commands``, ``pipeline.run`` and
``pipeline.exports``, which a notebook can call too.
"""

import click

from pipeline.cli import daily, distil, learning, look, online, proof, research
from pipeline.cli.frame import House


@click.group(cls=House, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="weathervane", prog_name="weathervane")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Regime-aware trading-strategy parameters: learned, proven and exported.

    Exit codes: 0 done (a hold is also done); 1 an error you can act on, one line on standard
    error; 2 wrong usage; 130 interrupted.
    """


for room in (daily, research, learning, online, distil, proof, look):
    for command in room.COMMANDS:
        main.add_command(command)
