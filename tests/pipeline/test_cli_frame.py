"""Manners of the command line: exit codes, one line per error, progress, help."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from backtest.errors import DataError
from pipeline.cli import main
from pipeline.cli.frame import GOES_ON, House, Progress, line_of
from tests.pipeline.cli_runner import weathervane

ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    *("run", "backtest", "sweep", "walk-forward", "regimes", "metrics", "market", "list"),
    *("schema", "show", "explain", "diff", "history", "rollback", "doctor"),
)


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_promised_command_is_there_and_has_help():
    assert set(PROMISED) <= set(main.commands)
    for name in PROMISED:
        ran = weathervane(name, "--help")
        assert ran.code == 0
        assert ran.out.startswith(f"Usage: weathervane {name}")


@pytest.mark.parametrize(
    "name", ["run", "show", "explain", "diff", "history", "rollback", "doctor"]
)
def test_commands_with_state_take_a_home(name: str):
    assert "--home" in weathervane(name, "--help").out


def test_version_and_help_from_a_fresh_process():
    version = process("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("weathervane, version ")
    assert process("--help").returncode == 0


def test_wrong_usage_is_exit_2_and_an_error_to_act_on_is_exit_1():
    assert process("sweep", "--strategy").returncode == 2
    wrong = process("schema", "rsi_swign")
    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert wrong.stderr.startswith("E_UNKNOWN: ")
    assert "did you mean 'rsi_swing'" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("market", "--world", "cleer"),
            "E_UNKNOWN: 'cleer' is not one of 'clear', 'murky', 'null', 'constant', 'trend-only', "
            "'structural-break', --world, see `weathervane market --help`",
        ),
        (
            ("tune", "--seed", "-1"),
            "E_PARAMETER: -1 is not in the range x>=0, --seed, see `weathervane tune --help`",
        ),
        (
            ("walk-forward", "--train", "many"),
            "E_PARAMETER: 'many' is not a valid integer, --train, see `weathervane walk-forward "
            "--help`",
        ),
        (
            ("tune", "--objective", ","),
            "E_PARAMETER: give at least one name, --objective, see `weathervane tune --help`",
        ),
        (
            ("list", "parts"),
            "E_UNKNOWN: 'parts' is not one of 'strategies', ",
        ),
    ],
)
def test_a_bad_value_is_one_line_and_exit_1(arguments: tuple[str, ...], line: str):
    ran = weathervane(*arguments)
    assert ran.code == 1
    assert ran.error_line.startswith(line)
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("tun",), ("tune", "--sead", "1"), ("tune", "--seed")])
def test_what_does_not_exist_or_lacks_its_value_is_wrong_usage(arguments: tuple[str, ...]):
    assert weathervane(*arguments).code == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tune", "the same `weathervane tune` goes on where it stopped"),
        ("sweep", "earlier results are untouched; run it again"),
    ],
)
def test_an_interrupt_is_one_line_and_its_own_code(name: str, said: str):
    from click.testing import CliRunner

    @click.group(cls=House)
    def group() -> None:
        """Hold one command."""

    @group.command(name)
    def stopped() -> None:
        """Be stopped."""
        raise KeyboardInterrupt

    ran = CliRunner().invoke(group, [name])
    assert ran.exit_code == 130
    assert ran.stderr == f"interrupted: {said}\n"


def test_the_commands_that_are_said_to_go_on_exist():
    assert set(GOES_ON) <= set(main.commands)


def test_a_fault_of_the_program_is_one_line_and_its_traceback_is_asked_for():
    @click.group(cls=House)
    @click.option("--debug", is_flag=True)
    def group(debug: bool) -> None:
        """Hold one command."""

    @group.command()
    def broken() -> None:
        """Fail."""
        raise ZeroDivisionError("one\nby nothing")

    from click.testing import CliRunner

    quiet = CliRunner().invoke(group, ["broken"])
    assert quiet.exit_code == 1
    assert quiet.stderr.startswith("E_INTERNAL: ZeroDivisionError: one by nothing, test_cli_frame")
    assert quiet.stderr.count("\n") == 1
    loud = CliRunner().invoke(group, ["--debug", "broken"])
    assert loud.exit_code == 1
    assert "Traceback" in loud.stderr


def test_files_and_memory_have_their_own_codes():
    assert line_of(FileNotFoundError(2, "No such file", "x.csv")).startswith(
        "E_FILE: No such file, x.csv, "
    )
    assert line_of(MemoryError()).startswith("E_MEMORY: ")


def test_an_error_line_stays_one_line_whatever_the_message():
    assert "\n" not in str(DataError("two\nlines", where="a\nfile"))


def test_progress_says_each_tenth_once_where_nobody_watches(capsys: pytest.CaptureFixture[str]):
    show = Progress("sweep")
    for done in range(1, 41):
        show(done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "sweep: 10 % (4 of 40)"
    assert lines[-1] == "sweep: 100 % (40 of 40)"
    assert len(lines) == 10
    show(5, 10)
    assert capsys.readouterr().err == "sweep: 50 % (5 of 10)\n"
