"""Make the page of the board beside this file, from `weathervane board` on worlds and real panels.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/board.py [FOLDER OF CELLS]`. Not for: the
panels themselves, which belong to their owners and are not in this repository.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PANELS = ("sp500_daily_sectors_5yr.parquet", "lean_us_daily_1998_2021.parquet")
WORLDS = "clear,murky,null,constant"

HEAD = """
Made by `python docs/results/board.py` ({minutes:.0f} minutes on two cores). What the columns mean:
[the board](../methods/board.md); what the learners do: [learners](../methods/learners.md). The two
panels belong to their owners and are not in this repository; both hold the survivors of their time.
"""


def main() -> None:
    """Run the board and write the page."""
    here = Path(__file__).parent
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/board")
    folder = Path(os.environ["WEATHERVANE_MARKET_DATA"])
    data = [part for name in PANELS for part in ("--data", str(folder / name))]
    asked = ["board", "--worlds", WORLDS, *data, "--out", str(out)]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pipeline", *asked], check=True)
    minutes = (time.perf_counter() - started) / 60.0
    title, rest = (out / "board.md").read_text(encoding="utf-8").split("\n", 1)
    page = title + "\n" + HEAD.format(minutes=minutes) + rest
    (here / "board.md").write_text(page, encoding="utf-8")
    shutil.copyfile(out / "board.png", here / "board.png")


if __name__ == "__main__":
    main()
