"""The sweep against other packages on the same market, sets and rule, one core each.

For: bar-evaluations (symbols x sets x bars) per second of CPU time, peak memory, and whether
every package made the same trades. Each package is installed into an environment that is thrown
away, and runs a script of its own from ``benchmarks/peers/``. Not for: the program, which depends
on none of them, and not for what more cores do.

``--part NAME`` measures one package; ``--environments FOLDER`` keeps the environments there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured import ROOT, keep
from sweep import BARS, COST, TENS, YEAR, market, rsi_grid

SCRIPTS = ROOT / "benchmarks" / "peers"
SYMBOLS, SETS, ROUNDS = 50, 1_000, 9
SAME = 1e-9  # largest difference of a total return that counts as none
CHUNKS = (100, 250, 500)
COMPARED = ("total_return", "trades", "sharpe", "max_drawdown")


@dataclass(frozen=True)
class Peer:
    """What to install (the first that can be), what to run, and how much of it in what time."""

    wanted: tuple[str, ...]
    script: str
    variants: dict[str, tuple[str, ...]]  # of each, the fastest counts
    symbols: int
    sets: int
    rounds: int


def chunked(*names: str) -> dict[str, tuple[str, ...]]:
    """Variants of vectorbt, each in several sizes."""
    return {name: tuple(f"{name}-{size}" for size in CHUNKS) for name in names}


VECTORBT = chunked(*(f"{e}-{v}" for e in ("rust", "numba") for v in ("simulation", "four", "all")))
PEERS = {
    "vectorbt": Peer(("vectorbt[rust]", "vectorbt"), "vectorbt_sweep.py", VECTORBT, 4, SETS, 3),
    "backtesting": Peer(("backtesting",), "backtesting_sweep.py", {"run": ("run",)}, 2, 50, 3),
    "pandas": Peer(
        ("pandas",),
        "pandas_sweep.py",
        {"columns": ("columns",), "rows": ("rows",)},
        2,
        200,
        3,
    ),
}


def write_market(path: Path) -> None:
    """Prices and sets of ``benchmarks/sweep.py``, the sets shuffled: few stand for all."""
    panel, (grid, _) = market(SYMBOLS), rsi_grid(TENS)
    order = np.random.default_rng(0).permutation(grid.size)
    sets = {name: grid[name][order] for name in ("period", "oversold", "overbought")}
    np.savez(path, open=panel.open, close=panel.close, cost=COST, year=YEAR, **sets)


def installed(wanted: Iterable[str], folder: Path) -> tuple[Path | None, str]:
    """Python of an environment with the first of what is wanted, or None; last words of pip."""
    python, said = folder / "bin" / "python", ""
    if python.exists():
        return python, said
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError as failure:
        return None, str(failure)
    told = ["install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    for name in wanted:
        done = subprocess.run(
            [python, "-m", "pip", *told, name], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return python, said
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = errors[-1] if errors else "no reason given"
    python.unlink()  # so that nobody takes it for complete
    return None, said


def run(
    python: Path | str, script: str, variant: str, told: tuple[Path, int, int, int]
) -> dict[str, Any] | str:
    """One process of a peer; what it printed last, or why it ended."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
    surroundings = {**os.environ, **dict.fromkeys(threads, "1"), "PYTHONPATH": ""}
    if python == sys.executable:
        surroundings["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [python, SCRIPTS / script, variant, *map(str, told)],
        capture_output=True,
        text=True,
        check=False,
        env=surroundings,
    )
    if done.returncode:
        return (done.stderr.splitlines() or ["no reason given"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def ours(path: Path, symbols: int, sets: int) -> dict[str, Any]:
    """Measure the project's own sweep on so much of the market."""
    found = run(sys.executable, "weathervane_sweep.py", "sweep", (path, symbols, sets, ROUNDS))
    if isinstance(found, str):
        raise SystemExit(found)
    return found


def speed(found: dict[str, Any], symbols: int, sets: int) -> float:
    """Bar-evaluations per second of CPU time, in millions."""
    return symbols * sets * BARS / found["cpu_seconds"] / 1e6


def differences(mine: dict[str, Any], theirs: dict[str, Any], sets: int) -> dict[str, Any]:
    """How far a peer's answers are from ours on the pairs that both hand over."""
    told = theirs["answers"]
    if not told:
        return {}
    here = {name: np.array(mine["answers"][name])[:, :sets] for name in COMPARED}
    there = {name: np.array(told[name], dtype=float) for name in here}
    for table in there.values():
        table[~np.isfinite(table)] = np.nan
    far = {name: np.abs(here[name] - there[name]) for name in here}
    return {
        "pairs_compared": far["trades"].size,
        "pairs_whose_trades_differ": int((~(far["trades"] == 0.0)).sum()),
        "pairs_whose_sharpe_is_no_number": int(np.isnan(there["sharpe"]).sum()),
        "pairs_whose_total_return_differs": int((~(far["total_return"] <= SAME)).sum()),
        **{
            f"largest_difference_of_{name}": float(f"{np.nanmax(far[name]):.1e}")
            for name in COMPARED
        },
    }


def measured(
    peer: Peer, python: Path, path: Path, whole: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Every variant of a peer beside ours of its own size and ours of the full one."""
    small, most = ours(path, peer.symbols, peer.sets), speed(whole, SYMBOLS, SETS)
    rows: dict[str, Any] = {}
    seconds = {"ours at this size": small["cpu_seconds"]}
    for name, sizes in peer.variants.items():
        told = (path, peer.symbols, peer.sets)
        tried = {size: run(python, peer.script, size, (*told, 1)) for size in sizes}
        done = {size: found for size, found in tried.items() if isinstance(found, dict)}
        if not done:
            rows[name] = {"failed": next(iter(tried.values()))}
            continue
        best = min(done, key=lambda size: done[size]["cpu_seconds"])
        found = run(python, peer.script, best, (*told, peer.rounds))  # nothing is compiled now
        if isinstance(found, str):
            rows[name] = {"failed": found}
            continue
        seconds[name] = found["cpu_seconds"]
        mega = speed(found, peer.symbols, peer.sets)
        rows[name] = {
            "variant": best,
            "metrics": found["metrics"],
            "mega_bar_evaluations_per_second": round(mega, 3),
            "ours_over_it": round(most / mega),
            "ours_over_it_at_this_size": round(speed(small, peer.symbols, peer.sets) / mega),
            "wall_over_cpu": round(found["wall_seconds"] / found["cpu_seconds"], 2),
            "peak_mib": found["peak_mib"],
            **differences(whole, found, peer.sets),
            "versions": found["versions"],
        }
    return {"symbols": peer.symbols, "sets": peer.sets, "bars": BARS, "variants": rows}, seconds


def main() -> None:
    """Measure ours, then every peer that can be installed, then ours again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=sorted(PEERS))
    parser.add_argument("--environments", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peers_") as kept:
        path, home = Path(kept) / "market.npz", chosen.environments or Path(kept)
        write_market(path)
        ours(path, SYMBOLS, SETS)  # compiles, if nobody has yet
        first = ours(path, SYMBOLS, SETS)
        for name in [chosen.part] if chosen.part else PEERS:
            python, why = installed(PEERS[name].wanted, home / name)
            if python is None:
                print(f"{name} is left out, it cannot be installed here: {why}")
                continue
            found, seconds = measured(PEERS[name], python, path, first)
            again = ours(path, SYMBOLS, SETS)
            found["ours"] = {
                "symbols": SYMBOLS,
                "sets": SETS,
                "metrics": first["metrics"],
                "mega_bar_evaluations_per_second": round(speed(first, SYMBOLS, SETS)),
                "again_after_the_peer": round(speed(again, SYMBOLS, SETS)),
                "peak_mib": first["peak_mib"],
                "versions": first["versions"],
            }
            keep(f"peers_{name}", found, seconds=seconds)


if __name__ == "__main__":
    main()
