"""Import of the definitions against a bare import of Dagster, in fresh interpreters in turn.

Run it: python benchmarks/import_cost.py [rounds]
"""

import subprocess
import sys
import time
from statistics import median

from measured import ROOT, keep

STATEMENTS = {
    "dagster": "import dagster",
    "definitions": "import pipeline.definitions",
    "command line": "import pipeline.cli",
}
LIMIT = 1.5


def seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return time.perf_counter() - started


def main(rounds: int = 7) -> None:
    for statement in STATEMENTS.values():
        seconds(statement)  # the first import compiles byte code
    took: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(rounds):
        for name, statement in STATEMENTS.items():
            took[name].append(seconds(statement))
    base = median(took["dagster"])
    ratios = {name: median(values) / base for name, values in took.items()}
    keep(
        "import_cost",
        {"ratio_to_dagster": ratios, "limit": LIMIT, "within": ratios["definitions"] <= LIMIT},
        seconds={name: median(values) for name, values in took.items()},
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
