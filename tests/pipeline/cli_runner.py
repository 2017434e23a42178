"""For: running the command line in this process, with its two streams apart. Not for: asserts."""

from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from pipeline.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line of an error, after checking that it is one."""
        lines = [line for line in self.err.splitlines() if not line.startswith(" ")]
        errors = [line for line in lines if line.startswith("E_")]
        assert len(errors) == 1, self.err
        assert "Traceback" not in self.err
        return errors[0]


def weathervane(*arguments: Any) -> Ran:
    """Run ``weathervane`` with the arguments."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="weathervane")
    return Ran(result.exit_code, result.stdout, result.stderr)
