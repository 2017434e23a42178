"""Commands of the daily chain and of what it exported.

For: run, show, explain, diff, history, rollback. Not for: research from files.
"""

import click

COMMANDS: tuple[click.Command, ...] = ()
