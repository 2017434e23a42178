"""A feed with three faults, healed: writes docs/results/feed_faults.md from a real run.

For: ``python docs/results/feed_faults.py`` from the project's folder; some minutes. The source is
the tests' loopback server, which speaks Yahoo's chart protocol to the real client. Not for:
prices that mean anything; they are made up.
"""

import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.pipeline.yahoo_market import made_up  # noqa: E402
from tests.pipeline.yahoo_server import YahooServer  # noqa: E402

SESSION = date(2024, 3, 28)
FAULTS = {"status": "HTTP 500", "truncated": "truncated JSON", "html": "an HTML page"}


def run(home: Path, address: str, symbols: list[str]) -> tuple[int, str, dict]:
    """Exit code, last line on standard error, and summary of one run of the command."""
    told = {
        "data.universe": "forty",
        "data.symbols": json.dumps(symbols),
        "feed.endpoint": address,
        "feed.first": "2019-01-02",
        "feed.rate_per_s": "200",
        "feed.burst": "200",
        "feed.first_wait_s": "0.1",
    }
    command = [*(sys.executable, "-m", "pipeline", "run", "--profile", "yahoo", "--json")]
    command += ["--home", str(home), "--session", str(SESSION)]
    for name, value in told.items():
        command += ["--set", f"{name}={value}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    return done.returncode, last, json.loads(done.stdout) if done.returncode == 0 else {}


def content(home: Path) -> str:
    """Content hash of the exported document."""
    path = home / "exports" / "parameters" / f"{SESSION}.json"
    return str(json.loads(path.read_text())["content_sha256"])


def main() -> None:
    """Run, hurt, heal, compare, and write the page."""
    members = pl.read_csv(ROOT / "pipeline/universes/large_names.csv")
    symbols = members["symbol"].head(40).to_list()
    listings = {s: made_up(s, date(2018, 12, 3), SESSION) for s in symbols}
    hurt_ones = dict(zip(symbols[3:36:16], FAULTS, strict=True))
    with (
        tempfile.TemporaryDirectory() as folder,
        YahooServer(listings, now=SESSION) as server,
    ):
        clean, hurt = Path(folder) / "clean", Path(folder) / "hurt"
        _, _, first = run(clean, server.address, symbols)
        server.asked.clear()
        for symbol, kind in hurt_ones.items():
            server.fault(symbol, kind, times=4)
        code, said, _ = run(hurt, server.address, symbols)
        asked_hurt = sum(server.asked.values())
        nothing = not (hurt / "exports" / "parameters" / "latest.json").exists()
        server.asked.clear()
        healed_code, _, healed = run(hurt, server.address, symbols)
        asked_healed = dict(sorted(server.asked.items()))
        rows = [
            ("clean run, snapshot", first["snapshot"][:16]),
            ("run with three faults, exit code", code),
            ("what it said", f"`{said}`"),
            ("questions that it asked (4 attempts for each of the three)", asked_hurt),
            ("whether anything was exported", "no" if nothing else "yes"),
            ("re-run, exit code", healed_code),
            ("what the re-run asked for", ", ".join(f"{s} ({n})" for s, n in asked_healed.items())),
            ("re-run, snapshot", healed["snapshot"][:16]),
            ("content of the document, clean", content(clean)[:16]),
            ("content of the document, healed", content(hurt)[:16]),
        ]
    faults = ", ".join(f"{symbol}: {FAULTS[kind]}" for symbol, kind in hurt_ones.items())
    text = "\n".join(f"| {name} | {value} |" for name, value in rows)
    (ROOT / "docs/results/feed_faults.md").write_text(
        "# A feed with three faults, healed\n\n"
        "`weathervane run --profile yahoo` for 40 of its symbols, through the real client, against "
        "a server on this\nmachine that speaks Yahoo's chart protocol and serves made-up prices. "
        f"Three symbols never get an answer in the\nfirst run ({faults}).\n\n"
        f"| what | found |\n|---|---|\n{text}\n\n"
        "Written by `python docs/results/feed_faults.py`.\n"
    )


if __name__ == "__main__":
    main()
