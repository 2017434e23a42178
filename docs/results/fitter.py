"""Make the page of what the neural fitter costs and what its parts are worth, beside this file.

For: `python docs/results/fitter.py [FOLDER OF CELLS]`; the walks take half an hour on two cores,
the times are taken after them, alone. Not for: real markets; every market here is synthetic.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, WorldName, generate, weekdays
from ml.corpus import WalkSpec, corpus, history_of
from ml.decision import Memo
from ml.export.gate import GateConfig, hac_t, paired_difference
from ml.fitter.config import FitterConfig
from ml.fitter.fitter import NeuralFitter
from ml.learner import LEARNERS, Floats, LearnerView, heaviest
from ml.learners.neural import Neural
from ml.proof.card import STRATEGY, Terms
from ml.proof.contest import contest
from ml.train import TrainConfig
from pipeline.cells import cell_key, make_cells

TERMS = Terms()
MARKETS: tuple[tuple[WorldName, int], ...] = (("clear", 2101), ("murky", 2101))
YEAR = float(np.sqrt(252.0))
EPOCHS = 5

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "shipped": ("tcn, stage two by gradient", {}),
    "none": ("stage one alone", {"refinement": "none"}),
    "evolution": ("stage two by evolution strategies", {"refinement": "evolution"}),
    "reinforce": ("stage two by REINFORCE", {"refinement": "reinforce"}),
    "conv_lstm": ("conv_lstm in place of tcn", {"extractor": "conv_lstm"}),
    "alone": (
        "REINFORCE without a stage one",
        {"refinement": "reinforce", "pretrained": False},
    ),
    "heads": ("the heads' own mix, no table", {"beside_table": False}),
    "heads_alone": (
        "the heads' own mix, REINFORCE without a stage one",
        {"beside_table": False, "refinement": "reinforce", "pretrained": False},
    ),
    "direct": (
        "one set of parameters, predicted directly",
        {"beside_table": False, "components": 1, "refinement": "none"},
    ),
}
PLAIN = ("regime_table", "static")


@dataclass(frozen=True)
class Variant(Neural):
    """The neural learner with one network and some settings of its own."""

    name: ClassVar[str] = ""
    kept: ClassVar[dict[int, bool]]

    def config(self) -> dict[str, Any]:
        """Plain values that define the policy."""
        return {**super().config(), "variant": self.name}

    def fitter_config(self) -> FitterConfig:
        """What each fit is."""
        return replace(FitterConfig(), seeds=1, **VARIANTS[self.name][1])

    def weigh(self, selection: Any, view: LearnerView) -> Floats:
        """Mix of the last session; of what is predicted directly, one set."""
        mix = super().weigh(selection, view)
        return heaviest(mix, 1) if self.name == "direct" else mix

    def select(self, view: LearnerView, *, before: Any = None) -> Any:
        """Fit where a fit is due, and remember whether its stage two was kept."""
        made = super().select(view, before=before)
        for (_, stop), fitter in made.fitters.items():
            self.kept[stop] = fitter.refined[0]
        return made


def _registered(name: str) -> str:
    """Make a learner of a variant, and say its name."""
    made = dataclasses.make_dataclass(
        f"Variant_{name}",
        [],
        bases=(Variant,),
        frozen=True,
        namespace={"name": name, "kept": {}},
    )
    LEARNERS.register(f"neural_{name}")(made)
    return f"neural_{name}"


OWN = tuple(_registered(name) for name in VARIANTS)


@dataclass(frozen=True)
class Found:
    """Of one market: Sharpe ratios, differences to the table, and stages that were kept."""

    values: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """Plain values."""
        return self.values


@dataclass(frozen=True)
class Walk:
    """Every variant on one market."""

    world: WorldName
    seed: int

    @property
    def name(self) -> str:
        """File name of the cell."""
        return f"{self.world}-{self.seed}-{cell_key(TERMS, VARIANTS)}"

    def walk(self) -> Found:
        """Walk them."""
        panel, spec = _market(self.world, self.seed)
        corpora = {STRATEGY: corpus(panel, STRATEGY, spec, progress=None)}
        history = history_of(panel, corpora)
        held = contest(panel, history, corpora, spec, learners=(*PLAIN, *OWN), memo=Memo())
        nets = {name: one.net for name, one in held.entries[STRATEGY].items()}
        table = nets["regime_table"]
        told: dict[str, Any] = {}
        for name, net in nets.items():
            told[name] = {
                "sharpe": YEAR * float(net.mean() / net.std(ddof=1)),
                "t": None if name == "regime_table" else _t(net, table),
                "seconds": held.seconds[name],
            }
            if name in OWN and _compared(name):
                kept = LEARNERS.get(name).kept  # type: ignore[attr-defined]
                told[name] |= {"fits": len(kept), "kept": sum(kept.values())}
        return Found(told)


def _compared(name: str) -> bool:
    """Whether a variant has a stage two that is compared with a stage one."""
    changes = VARIANTS[name.removeprefix("neural_")][1]
    return changes.get("pretrained", True) and changes.get("refinement") != "none"


def _t(net: np.ndarray, table: np.ndarray) -> float | None:
    gate = GateConfig()
    return hac_t(paired_difference(net, table, gate.half_life), gate.lags)


def _market(world: WorldName, seed: int) -> tuple[Panel, WalkSpec]:
    made = generate(
        WorldConfig(world=world, symbols=TERMS.symbols, seed=seed), weekdays(TERMS.sessions)
    )
    spec = WalkSpec(cost=TERMS.cost_in(world), policy=TERMS.policy, synthetic=True)
    return Panel.from_frame(made.bars), spec


def times() -> dict[str, float]:
    """Seconds of an epoch of each extractor, of a suggestion, and of the command that asks."""
    panel, spec = _market("clear", 2101)
    corpora = {STRATEGY: corpus(panel, STRATEGY, spec, progress=None)}
    view = history_of(panel, corpora).view(STRATEGY)
    out: dict[str, float] = {}
    fitter = None
    for name in ("conv_lstm", "tcn"):
        asked = FitterConfig(
            extractor=name, seeds=1, refinement="none", training=TrainConfig(epochs=EPOCHS)
        )
        laps: list[float] = []
        fitter = NeuralFitter.fit(
            view, asked, progress=lambda _n, _d, _m, laps=laps: laps.append(time.perf_counter())
        )
        out[name] = float(np.median(np.diff(laps)))
    assert fitter is not None
    began = time.perf_counter()
    fitter.suggest(view)
    out["suggest"] = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        fitter.save(Path(folder) / "fit")
        bars = Path(folder) / "bars.parquet"
        made = generate(
            WorldConfig(world="clear", symbols=TERMS.symbols, seed=2101), weekdays(TERMS.sessions)
        )
        made.bars.write_parquet(bars)
        command = [sys.executable, "-m", "pipeline", "suggest", "--strategy", STRATEGY]
        command += ["--fit", str(Path(folder) / "fit"), "--data", str(bars), "--json"]
        for name in ("first", "command"):  # the first one reads the program from the disk
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env={**os.environ})
            out[name] = time.perf_counter() - began
    return out


HEAD = f"""# What the neural fitter costs, and what its parts are worth

Synthetic markets only. Made by `python docs/results/fitter.py`. What the parts are:
[the fitter](../methods/fitter.md).

Worlds of {TERMS.symbols} symbols and {TERMS.sessions:,} sessions, `{STRATEGY}`; the learner
`neural` with **one** network (it has two), fitted at session 756 and every 504 from there, and
asked at every close. The seeds chose nothing in the program.

## What the parts are worth

Annual Sharpe ratio out of sample, costs paid, and the t statistic of the daily difference from the
regime table's. Kept: fits, of all markets, in which what stage two found was clearly better on the
sessions kept back. Minutes: processor time of a walk of one market, on average.
"""
COSTS = f"""
## What it costs

Two cores, of which Torch uses one, nothing else running. Seconds of an epoch are the median of
{EPOCHS - 1}: of one network, on the {TERMS.sessions:,} sessions of `clear 2101` (eight passes, each
cut elsewhere); a fit has up to 60 of them, and two networks. `suggest` is asked of a fitter of one
network: by the Python call alone, and as `weathervane suggest`, which starts the program, reads the
bars and backtests the candidate sets first. Times differ from run to run and between machines.

| what | seconds | goal |
|---|---:|---:|
"""


def page(found: list[dict[str, Any]], cost: dict[str, float]) -> str:
    """Put everything on a page."""
    names = [f"{world} {seed}" for world, seed in MARKETS]
    lines = [
        "| learner | " + " | ".join(names) + " | mean | kept | minutes |",
        "|---|" + "---:|" * (len(names) + 3),
    ]
    for name, title in [*((one, one) for one in PLAIN), *_titles()]:
        rows = [one[name] for one in found]
        cells = [
            f"{row['sharpe']:+.2f}" + ("" if row["t"] is None else f" (t {row['t']:+.1f})")
            for row in rows
        ]
        mean = np.mean([row["sharpe"] for row in rows])
        judged = name not in PLAIN and _compared(name)
        kept = f"{_sum(rows, 'kept')} of {_sum(rows, 'fits')}" if judged else "-"
        minutes = np.mean([row["seconds"] for row in rows]) / 60.0
        lines.append(f"| {title} | {' | '.join(cells)} | {mean:+.2f} | {kept} | {minutes:.1f} |")
    costs = [
        f"| an epoch, `tcn` | {cost['tcn']:.2f} | 20 |",
        f"| an epoch, `conv_lstm` | {cost['conv_lstm']:.2f} | 20 |",
        f"| `suggest`, the call | {cost['suggest']:.2f} | 2 |",
        f"| `weathervane suggest`, the whole command | {cost['command']:.2f} | 2 |",
    ]
    ratio = f"\n`tcn` trains {cost['conv_lstm'] / cost['tcn']:.1f} times as fast as `conv_lstm`."
    return "\n".join([HEAD, *lines]) + "\n" + COSTS + "\n".join(costs) + "\n" + ratio + "\n"


def _titles() -> list[tuple[str, str]]:
    return [(f"neural_{name}", title) for name, (title, _) in VARIANTS.items()]


def _sum(rows: list[dict[str, Any]], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def main() -> None:
    """Walk, take times, and write the page."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/fitter")
    found = make_cells(
        [Walk(*one) for one in MARKETS],
        folder,
        workers=None,
        progress=lambda done, total: print(f"{done} of {total} markets", flush=True),
    )
    text = page(found, times())
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
