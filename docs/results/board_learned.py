"""Make the board of the learners that train networks, or listen to one that does, beside this file.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/board_learned.py [FOLDER OF CELLS]`, on
fewer markets, because each takes minutes. Not for: the other learners, whose page is `board.md`.
"""

import os
import shutil
import sys
from pathlib import Path

from pipeline.boards import run_board

PANELS = ("sp500_daily_sectors_5yr.parquet",)
SEEDS = {"clear": 3, "murky": 3, "null": 5, "constant": 3}
LEARNERS = (
    "neural",
    "online",
    "ensemble",
    "ensemble_sharpe",
    "ensemble_stacked",
    "ensemble_earned",
    "student",
)

HEAD = """
Made by `python docs/results/board_learned.py` (an hour and a half on two cores). What the columns
mean: [the board](../methods/board.md); what these learners do:
[the fitter](../methods/fitter.md), [online](../methods/online.md),
[ensembles and their student](../methods/ensemble.md). The panel belongs to its owners and is not
in this repository; it holds the survivors of its time. Of the seeds, clear 2001 and 2002 and murky
2001 are those on which the rules of the fitter were chosen.
"""


def main() -> None:
    """Run the board and write the page."""
    here = Path(__file__).parent
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/board-learned")
    folder = Path(os.environ["WEATHERVANE_MARKET_DATA"])
    run_board(
        out,
        seeds=SEEDS,
        worlds=tuple(SEEDS),
        data=[folder / name for name in PANELS],
        learners=LEARNERS,
        progress=lambda done, total: print(f"{done} of {total} markets", flush=True),
    )
    title, rest = (out / "board.md").read_text(encoding="utf-8").split("\n", 1)
    page = title + "\n" + HEAD + rest.replace("(board.png)", "(board_learned.png)")
    (here / "board_learned.md").write_text(page, encoding="utf-8")
    shutil.copyfile(out / "board.png", here / "board_learned.png")


if __name__ == "__main__":
    main()
