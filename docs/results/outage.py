"""An outage with the real daemon: writes docs/results/outage.md from a real run.

For: ``python docs/results/outage.py`` from the project's folder; some five minutes. A small
synthetic market is exported for a session some sessions back, as if the machine had gone down that
evening; then the daemon starts with the sensor ``catch_up`` on. Not for: numbers of the market.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from backtest.market.calendar import last_finished_session, sessions  # noqa: E402
from pipeline.config import Home  # noqa: E402
from pipeline.exports import read_ledger  # noqa: E402

MISSED = 5
LONGEST_S = 900
PROFILE = """seed = 0
[data]
provider = "synthetic"
first_session = 2025-06-02
calendar = "XNYS"
[world]
symbols = 8
[strategies]
names = ["rsi_swing"]
[policy]
train = 252
refit = 40
[gate]
first_look = 60
"""


def exported(home: Path) -> list[date]:
    """Sessions in the order in which they were exported."""
    return [entry.session for entry in read_ledger(Home(home).exports).entries]


def drill(folder: Path) -> tuple[list[date], list[date], float]:
    """Export, go down, come back: sessions due, sessions in order of export, seconds."""
    last = last_finished_session("XNYS", datetime.now(UTC))
    due = sessions("XNYS", date(last.year - 1, 12, 1), last)[-MISSED - 1 :]
    profile, home = folder / "small.toml", folder / "home"
    profile.write_text(PROFILE)
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "WEATHERVANE_HOME": str(home),
        "WEATHERVANE_PROFILE": str(profile),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    run = [sys.executable, "-m", "pipeline", "run", "--profile", str(profile)]
    subprocess.run(
        [*run, "--session", str(due[0])], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    start = [programs / "dagster", "sensor", "start", "catch_up", "-m", "pipeline.definitions"]
    subprocess.run(start, cwd=ROOT, env=environment, check=True, capture_output=True)
    began = time.monotonic()
    with (folder / "daemon.log").open("w") as log:
        daemon = subprocess.Popen(
            [programs / "dagster-daemon", "run", "-m", "pipeline.definitions"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while len(exported(home)) < len(due) and time.monotonic() - began < LONGEST_S:
                time.sleep(2)
            took = time.monotonic() - began
            time.sleep(90)  # The sensor's next tick: it must not ask again.
        finally:
            daemon.terminate()
            daemon.wait(60)
    return due, exported(home), took


def main() -> None:
    """Run the drill and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        due, done, took = drill(Path(folder))
    rows = "\n".join(f"| {n} | {day} |" for n, day in enumerate(done, start=1))
    right = "oldest first, each once" if done == due else f"NOT as expected: due were {due}"
    (ROOT / "docs/results/outage.md").write_text(
        "# An outage, made up by the daemon\n\n"
        f"A small synthetic market was exported for {due[0]}; then nothing ran for {MISSED} "
        "sessions. The real daemon was\nstarted with the sensor `catch_up` on (and the schedule "
        f"off). After {took:.0f} s every session was there: {right}.\nThe daemon went on for 90 s "
        "more and asked for nothing else.\n\n"
        f"| ledger entry | session |\n|---|---|\n{rows}\n\n"
        "Entry 1 is the export before the outage. Written by `python docs/results/outage.py`.\n"
    )


if __name__ == "__main__":
    main()
