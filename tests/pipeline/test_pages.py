"""Starting and ending the web pages, without starting the real ones."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from backtest.errors import ConfigError, StoreError
from pipeline import pages
from pipeline.config import Home, open_home

# A server that starts another process, as the real ones do.
SERVER = """
import socket, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
print("listening", flush=True)
time.sleep(float(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server(port: int, seconds: float) -> list[str]:
    return [sys.executable, "-c", SERVER, str(port), str(seconds)]


def processes_of(group: int) -> int:
    found = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True, check=True)
    rows = [line.split() for line in found.stdout.splitlines()[1:]]
    return sum(1 for pgid, state in rows if int(pgid) == group and not state.startswith("Z"))


def test_both_pages_listen_on_this_machine_alone_and_read_this_home(tmp_path):
    home = open_home(tmp_path)
    commands = pages.page_commands(home, dagster_port=3001, mlflow_port=5001)
    assert set(commands) == {"Dagster", "MLflow"}
    for command in commands.values():
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert "0.0.0.0" not in command
    assert str(tmp_path) in " ".join(commands["MLflow"])
    environment = pages.environment(home)
    assert environment["WEATHERVANE_HOME"] == str(tmp_path)
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_taken_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"E_PORT: port {port} is taken"):
            pages.refuse_taken([free_port(), port])


def test_when_one_server_ends_the_other_ends_with_all_that_it_started(monkeypatch, tmp_path):
    ports = free_port(), free_port()
    commands = {"Dagster": server(ports[0], 60), "MLflow": server(ports[1], 3)}
    monkeypatch.setattr(pages, "page_commands", lambda *_, **__: commands)
    started = []
    true_popen = subprocess.Popen

    def remember(*arguments, **words):
        started.append(true_popen(*arguments, **words))
        return started[-1]

    monkeypatch.setattr(pages.subprocess, "Popen", remember)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(StoreError, match="E_PAGES: MLflow ended by itself"):
            pages.serve(Home(tmp_path), dagster_port=ports[0], mlflow_port=ports[1])
    finally:
        signal.signal(signal.SIGTERM, before)
    monkeypatch.undo()
    assert [processes_of(child.pid) for child in started] == [0, 0]


def test_a_server_that_never_answers_is_one_line(monkeypatch, tmp_path):
    broken = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(
        pages, "page_commands", lambda *_, **__: {"Dagster": broken, "MLflow": broken}
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(StoreError, match="E_PAGES: Dagster did not start"):
            pages.serve(Home(tmp_path), dagster_port=free_port(), mlflow_port=free_port())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupt_ends_both(tmp_path):
    ports = free_port(), free_port()
    code = (
        "import sys; from pathlib import Path; from pipeline import pages\n"
        f"commands = {dict(Dagster=server(ports[0], 60), MLflow=server(ports[1], 60))!r}\n"
        "pages.page_commands = lambda *a, **k: commands\n"
        "from pipeline.config import Home\n"
        f"home, ports = Home(Path({str(tmp_path)!r})), {ports!r}\n"
        "pages.serve(home, dagster_port=ports[0], mlflow_port=ports[1])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=pages.PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("Ctrl-C"):
            break
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.wait(30)
    assert child.returncode == 0
    assert time.monotonic() - started < 20
    assert not pages._answers(ports[0])
    assert not pages._answers(ports[1])
