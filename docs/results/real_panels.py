"""Make the page of real panels beside this file, from `weathervane run --data` in empty homes.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/real_panels.py`, two minutes on two cores.
Not for: the panels themselves, which belong to their owners and are not in this repository.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PANELS = {
    "369 US names with sectors, 2015-2020": (
        "sp500_daily_sectors_5yr.parquet",
        "Members of the index of its time, so survivors; 34 of them without a sector.",
    ),
    "12 US names and funds, 1998-2021": (
        "lean_us_daily_1998_2021.parquet",
        "2000-03, 2008 and 2020 in it; splits and dividends applied through `adj_close`. A "
        "cross-section of 12 is thin for a dollar-neutral book.",
    ),
}

HEAD = """# Two real panels, whatever they say

Made by `weathervane run --data FILE` with the profile `files` in an empty home
(`python docs/results/real_panels.py`). The panels belong to their owners and are not in this
repository; both hold the survivors of their time, so buy and hold is flattered.
"""


def run(source: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], float]:
    """Run the chain; its summary, its evidence, what it saw, and its wall time."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--json", "--home", home, "--data", source],
        check=True,
        capture_output=True,
        text=True,
    )
    took = time.perf_counter() - started
    (evidence,) = home.glob("snapshots/*/research-*/evidence.json")
    (seen,) = home.glob("snapshots/current-*.json")
    read = [json.loads(path.read_text(encoding="utf-8")) for path in (evidence, seen)]
    return json.loads(done.stdout), *read, took


def section(title: str, about: str, source: Path, home: Path) -> str:
    """One panel: what went in, what each variant made, and what the gate said."""
    summary, found, seen, took = run(source, home)
    held = ", ".join(f"{n} {rule}" for rule, n in seen["reasons"].items()) or "none"
    lines = [
        f"## {title}",
        "",
        f"{about} {seen['rows'] + seen['quarantined']:,} rows in, {seen['quarantined']} set aside "
        f"({held}); {seen['symbols']} symbols; {seen['missing']:,} missing sessions reported, none "
        f"filled. The whole chain took {took:.0f} s.",
        "",
        f"Out of sample {found['first']} to {found['last']}, {found['sessions']:,} sessions; "
        f"{found['book']} book, {found['cost_bps']:g} bp per side, seed {found['seed']}. "
        f"{', '.join(f'`{name}`' for name in found['strategies'])}, equally weighted:",
        "",
        "| variant | Sharpe | 95 % interval | PSR | DSR | max drawdown | turnover a year "
        "| break-even bps |",
        "|---" * 8 + "|",
    ]
    for name, v in sorted(found["variants"].items()):
        low, high = v["sharpe_interval"]
        even = "-" if v["cost_break_even_bps"] is None else f"{v['cost_break_even_bps']:.1f}"
        lines.append(
            f"| `{name}` | {v['sharpe']:+.2f} | {low:+.2f} to {high:+.2f} | {v['psr']:.3f} "
            f"| {v['dsr']:.3f} | {v['max_drawdown']:.1%} | {v['turnover']:.1f} | {even} |"
        )
    lines += [
        "",
        "| strategy | verdict | not passed | policies | smallest gain that could have been seen |",
        "|---" * 5 + "|",
    ]
    for name, one in found["strategies"].items():
        failed = [c["criterion"] for c in found["criteria"] if c["strategy"] == name]
        failed = [n for n in failed if n in one["reason"]]
        verdict = f"promoted {one['promoted_at']}" if one["promoted"] else "hold"
        gain = "-" if one["smallest_gain"] is None else f"{one['smallest_gain']:.2f} Sharpe a year"
        lines.append(
            f"| `{name}` | {verdict} | {', '.join(failed) or '-'} | {one['policies']} | {gain} |"
        )
    actions = ", ".join(f"`{n}` {a}" for n, a in summary["verdicts"].items())
    lines += ["", f"Claim: {found['claim']['reason']}. Exported: {actions}.", ""]
    return "\n".join(lines)


def main() -> None:
    """Run every panel and write the page."""
    folder = Path(os.environ["WEATHERVANE_MARKET_DATA"])
    parts = []
    for title, (name, about) in PANELS.items():
        with tempfile.TemporaryDirectory() as home:
            parts.append(section(title, about, folder / name, Path(home)))
    page = Path(__file__).with_suffix(".md")
    page.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
