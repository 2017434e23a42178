"""Make boards of the learners that train networks, or listen to one that does, beside this file.

For: `WEATHERVANE_MARKET_DATA=FOLDER python docs/results/board_learned.py [PAGE]`: `board_learned`
(worlds and a panel, an hour and a half) or `board_learned_lean` (one long panel, an hour of one
core). Not for: the other learners, whose page is `board.md`.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.boards import run_board

LEARNERS = (
    "neural",
    "online",
    "ensemble",
    "ensemble_sharpe",
    "ensemble_stacked",
    "ensemble_earned",
    "student",
)


@dataclass(frozen=True)
class Page:
    """One run of the board: its markets, and what its readers are told of them."""

    panel: str
    takes: str
    also: str
    seeds: dict[str, int] = field(default_factory=dict)


PAGES = {
    "board_learned": Page(
        "sp500_daily_sectors_5yr.parquet",
        "an hour and a half on two cores",
        "Of the seeds, clear 2001 and 2002 and\nmurky 2001 are those on which the rules of the "
        "fitter were chosen. A long real panel has a page\nof its own: "
        "[twelve names, 2001 to 2021](board_learned_lean.md).",
        {"clear": 3, "murky": 3, "null": 5, "constant": 3},
    ),
    "board_learned_lean": Page(
        "lean_us_daily_1998_2021.parquet",
        "an hour of one core",
        "Its verdicts are\ncounted on this page alone. Worlds and another panel: "
        "[the board of the networks](board_learned.md).",
    ),
}

HEAD = """
Made by `python docs/results/board_learned.py {name}` ({takes}). What the
columns mean: [the board](../methods/board.md); what these learners do:
[the fitter](../methods/fitter.md), [online](../methods/online.md),
[ensembles and their student](../methods/ensemble.md). The panel belongs to its owners and is not
in this repository; it holds the survivors of its time. {also}
"""


def main() -> None:
    """Run the board and write the page."""
    here = Path(__file__).parent
    name = sys.argv[1] if len(sys.argv) > 1 else "board_learned"
    page, out = PAGES[name], Path("out") / name
    run_board(
        out,
        seeds=page.seeds,
        worlds=tuple(page.seeds),
        data=[Path(os.environ["WEATHERVANE_MARKET_DATA"]) / page.panel],
        learners=LEARNERS,
        progress=lambda done, total: print(f"{done} of {total} markets", flush=True),
    )
    title, rest = (out / "board.md").read_text(encoding="utf-8").split("\n", 1)
    head = HEAD.format(name=name, takes=page.takes, also=page.also)
    text = title + "\n" + head + rest.replace("(board.png)", f"({name}.png)")
    (here / f"{name}.md").write_text(text, encoding="utf-8")
    shutil.copyfile(out / "board.png", here / f"{name}.png")


if __name__ == "__main__":
    main()
