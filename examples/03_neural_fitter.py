"""Train the neural fitter, ask it for parameters, keep it, and ask it again.

Run it: python examples/03_neural_fitter.py
"""

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

from backtest.market.calendar import sessions
from backtest.market.panel import Panel
from backtest.market.synthetic import FIRST_SESSION, WorldConfig, generate
from ml.corpus import WalkSpec, corpus, history_of
from ml.fitter.config import FitterConfig
from ml.fitter.fitter import NeuralFitter
from ml.fitter.results import results_of
from ml.train import TrainConfig


def main() -> None:
    # A market whose three regimes favour different parameters.
    days = sessions("XNYS", FIRST_SESSION, date(2013, 6, 30))
    panel = Panel.from_frame(generate(WorldConfig(world="clear", symbols=20, seed=1), days).bars)

    # What every candidate set earned, and the state of the market: all that a fitter reads.
    swept = {"rsi_swing": corpus(panel, "rsi_swing", WalkSpec(), progress=None)}
    view = history_of(panel, swept).view("rsi_swing")

    # Three epochs and one network show the way; by default there are two, and up to 60 epochs.
    config = replace(FitterConfig(), seeds=1, refinement="none", training=TrainConfig(epochs=3))
    fitter = NeuralFitter.fit(view, config, seed=0)
    said = fitter.suggest(view)
    print(f"heaviest set after {days[-1]}: {said.parameters}")
    print("confidence:", {name: round(value, 2) for name, value in said.confidence.items()})
    shown = results_of(fitter, view).comparison
    print(
        "Sharpe ratio a year where the epoch was chosen, so not out of sample:",
        {name: round(value, 2) for name, value in shown.items()},
    )

    with tempfile.TemporaryDirectory() as folder:
        fitter.save(Path(folder))
        again = NeuralFitter.load(Path(folder), view.grid)
    print("the same after save and load:", again.suggest(view).confidence == said.confidence)


if __name__ == "__main__":
    main()
