"""Make the figure and the page "best of 1,225 parameter sets on pure noise" beside this file.

For: `python docs/results/noise.py FIRST_SEED`, half a minute on two cores. Not for:
judging anything; it shows what a grid search sees where there is nothing to see.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from backtest.engine.books import sweep_book
from backtest.evidence.sharpe import deflated_best, moments, probabilistic_sharpe, sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.params import ParamGrid
from backtest.strategy import STRATEGIES

SYMBOLS, SESSIONS, MARKETS = 30, 2520, 20
PERIODS = range(3, 52)
WIDTHS = np.linspace(5.0, 25.0, 25)
HERE = Path(__file__)
IMAGE = HERE.parents[1] / "images" / "noise.png"


@dataclass(frozen=True)
class Market:
    """One market of noise: annual Sharpe ratios of all sets, first and second half."""

    seed: int
    seen: np.ndarray
    unseen: np.ndarray
    psr: float
    dsr: float


def searched(seed: int) -> Market:
    """Sweep every set over one null market and pick the best of the first half."""
    made = generate(WorldConfig(world="null", symbols=SYMBOLS, seed=seed), weekdays(SESSIONS))
    panel, part = Panel.from_frame(made.bars), STRATEGIES.get("rsi_swing")
    rows = [{"period": p, "width": float(w)} for p in PERIODS for w in WIDTHS]
    grid, infeasible = ParamGrid.parse(part.params, rows)
    assert (grid.size, infeasible) == (1225, 0)
    net = sweep_book(panel, part, grid, kind="dollar-neutral", cost=0.0, progress=None).net_return
    half = SESSIONS // 2
    ratios = [
        np.array([np.nan if (r := sharpe_ratio(one)) is None else r for one in span])
        for span in (net[:, :half], net[:, half:])
    ]
    given = moments(net[int(np.nanargmax(ratios[0])), :half])
    assert given is not None
    return Market(
        seed,
        ratios[0] * 252**0.5,
        np.nan_to_num(ratios[1]) * 252**0.5,  # a set that no longer trades earns nothing
        probabilistic_sharpe(given),
        deflated_best(given, ratios[0]),
    )


def draw(one: Market, markets: list[Market]) -> None:
    """Left: every set of one market; right: the best set of each market, then and afterwards."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    best = int(np.nanargmax(one.seen))
    left.scatter(one.seen, one.unseen, s=6, color="#8a8a8a", label="1,225 sets")
    left.scatter(one.seen[best], one.unseen[best], s=60, color="#d55e00", label="the best one")
    left.set(
        xlabel="Sharpe ratio a year, first half (searched)",
        ylabel="second half (not seen)",
        title=f"One market of noise (seed {one.seed})",
    )
    left.axhline(0.0, color="#c9ced4", lw=0.8, zorder=0)
    left.axvline(0.0, color="#c9ced4", lw=0.8, zorder=0)
    left.legend(frameon=False)
    for market in markets:
        best = int(np.nanargmax(market.seen))
        pair = [market.seen[best], market.unseen[best]]
        right.plot([0, 1], pair, color="#0072b2", lw=0.9, marker="o", ms=4)
    right.set_xticks([0, 1], ["in sample", "out of sample"])
    right.set_xlim(-0.3, 1.3)
    right.axhline(0.0, color="#c9ced4", lw=0.8, zorder=0)
    right.set(ylabel="Sharpe ratio a year", title=f"The best of 1,225 on {len(markets)} markets")
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=110, metadata={"Software": None})


def main(first: int) -> None:
    """Search every market, draw, and write the page."""
    with ProcessPoolExecutor(2) as pool:
        markets = list(pool.map(searched, range(first, first + MARKETS)))
    draw(markets[0], markets)
    rows = []
    for one in markets:
        best = int(np.nanargmax(one.seen))
        cells = f"{one.seen[best]:+.2f} | {one.unseen[best]:+.2f} | {one.psr:.3f} | {one.dsr:.3f}"
        rows.append(f"| {one.seed} | {cells} |")
    seen = np.array([np.nanmax(one.seen) for one in markets])
    unseen = np.array([one.unseen[int(np.nanargmax(one.seen))] for one in markets])
    believed = sum(one.psr >= 0.95 for one in markets), sum(one.dsr >= 0.95 for one in markets)
    text = f"""# Best of 1,225 parameter sets on pure noise

![In sample against out of sample](../images/noise.png)

Synthetic markets without any effect (`null`), {SYMBOLS} symbols x {SESSIONS:,} sessions,
`rsi_swing` with {len(PERIODS)} periods x {len(WIDTHS)} widths, dollar-neutral, **at zero cost**.
The best set of the first half is followed into the second; one that no longer trades there counts
as 0. Made by `python docs/results/noise.py {first}`.

In sample the best set shows {seen.mean():+.2f} on average, out of sample {unseen.mean():+.2f}
(standard error {unseen.std(ddof=1) / len(markets) ** 0.5:.2f}). A probabilistic Sharpe ratio of at
least .95, which looks at the best set alone, believes in {believed[0]} of {len(markets)}; the
deflated one, which counts all 1,225, in {believed[1]}.

| seed | in sample | out of sample | PSR | DSR |
|---|---|---|---|---|
{chr(10).join(rows)}
"""
    HERE.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]))
