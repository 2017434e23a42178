"""Dagster's and MLflow's web pages on this machine, with the runs of one home in them.

For: ``make ui``. Not for: serving anything to others; both pages listen on 127.0.0.1 alone.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from backtest.errors import ConfigError, StoreError, WeathervaneError
from pipeline.config.home import Home, open_home

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[1]
_PATIENCE_S = 120.0
_GRACE_S = 15.0


def page_commands(home: Home, *, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """Command lines of both servers by the name of their page."""
    from pipeline.tracker import artifact_root, tracking_uri

    programs = Path(sys.executable).parent
    return {
        "Dagster": [
            *(str(programs / "dg"), "dev", "--log-level", "warning"),
            *("--host", HOST, "--port", str(dagster_port)),
        ],
        "MLflow": [
            *(sys.executable, "-m", "mlflow", "server", "--host", HOST),
            *("--port", str(mlflow_port), "--workers", "1"),
            *("--backend-store-uri", tracking_uri(home)),
            *("--default-artifact-root", artifact_root(home)),
        ],
    }


def environment(home: Home) -> dict[str, str]:
    """Environment of both servers: this home, and no word to anyone outside."""
    from pipeline.instance import prepare_instance

    return {
        **os.environ,
        "VIRTUAL_ENV": sys.prefix,
        "WEATHERVANE_HOME": str(home.root),
        "DAGSTER_HOME": str(prepare_instance(home.dagster)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }


def refuse_taken(ports: Sequence[int]) -> None:
    """Refuse ports that something listens on already.

    Raises
    ------
    ConfigError
        ``E_PORT`` with the first one.
    """
    for port in ports:
        if _answers(port):
            raise ConfigError(
                f"port {port} is taken",
                where=HOST,
                fix="end what listens there or give --dagster-port and --mlflow-port",
                code="E_PORT",
            )


def serve(home: Home, *, dagster_port: int, mlflow_port: int) -> None:
    """Start both servers, say where they are, and end both when one ends or on Ctrl-C.

    Raises
    ------
    StoreError
        ``E_PAGES``: a server ended by itself.
    """
    ports = {"Dagster": dagster_port, "MLflow": mlflow_port}
    refuse_taken(list(ports.values()))
    commands = page_commands(home, dagster_port=dagster_port, mlflow_port=mlflow_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Sessions of their own: a shell's background job would make them deaf to Ctrl-C, and a server
    # that started others must take them along when it ends.
    running = {
        name: subprocess.Popen(command, cwd=PROJECT, env=environment(home), start_new_session=True)
        for name, command in commands.items()
    }
    try:
        for name, port in ports.items():
            _await(running[name], name, port)
            click.echo(f"{name}: http://{HOST}:{port}")
        click.echo("Ctrl-C ends both")
        while all(child.poll() is None for child in running.values()):
            time.sleep(0.5)
        ended = [name for name, child in running.items() if child.poll() is not None]
        raise StoreError(
            f"{' and '.join(ended)} ended by itself",
            fix="its last lines above say why",
            code="E_PAGES",
        )
    except KeyboardInterrupt:
        click.echo("ending")
    finally:
        _end(list(running.values()))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _await(child: subprocess.Popen[bytes], name: str, port: int) -> None:
    """Wait until a server answers."""
    limit = time.monotonic() + _PATIENCE_S
    while not _answers(port):
        if child.poll() is not None or time.monotonic() > limit:
            raise StoreError(
                f"{name} did not start", fix="its last lines above say why", code="E_PAGES"
            )
        time.sleep(0.3)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    """End servers with all that they started: first asked, then made to."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            # The group outlives its leader: what a server started may still be there.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, how)
        limit = time.monotonic() + _GRACE_S
        while any(child.poll() is None for child in children) and time.monotonic() < limit:
            time.sleep(0.1)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.")
@click.option("--dagster-port", default=3000, show_default=True)
@click.option("--mlflow-port", default=5000, show_default=True)
def main(home: Path | None, dagster_port: int, mlflow_port: int) -> None:
    """Show Dagster's and MLflow's pages with the runs of one home."""
    try:
        serve(open_home(home), dagster_port=dagster_port, mlflow_port=mlflow_port)
    except WeathervaneError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(prog_name="make ui")
