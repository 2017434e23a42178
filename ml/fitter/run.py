"""One network's training: both stages, and the choice between them.

For: what ``fitter`` does once per seed of its ensemble. Not for: the ensemble.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from backtest import seeds
from backtest.errors import ConfigError, NotFittedError
from backtest.params import ParamGrid
from ml.fitter.config import FitterConfig
from ml.fitter.evolution import evolve
from ml.fitter.lessons import Lessons
from ml.fitter.network import PolicyNetwork
from ml.fitter.stages import Stages
from ml.gpu import Speed, repeatable, told_memory
from ml.learner import LearnerView
from ml.train import Checkpoint, Parts, train

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]


class Resume(Protocol):
    """Where checkpoints are found and kept, by name."""

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint kept last under a name."""
        ...

    def keep(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, in place of the one before."""
        ...


def require_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises
    ------
    ConfigError
        ``E_DEVICE``.
    """
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"no device {device!r}",
            where="device",
            fix="give cpu or cuda",
            code="E_DEVICE",
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device cuda was asked for and Torch finds no GPU",
            where="device",
            fix="give device cpu",
            code="E_DEVICE",
        )


def built(grid: ParamGrid, config: FitterConfig, *, width: int, seed: int) -> PolicyNetwork:
    """Make a network with first weights."""
    return PolicyNetwork(
        grid,
        inputs=width,
        extractor=config.extractor,
        components=config.components,
        dropout=config.dropout,
        beside_table=config.beside_table,
        seed=seed,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let Torch add in one order, whatever machine it is on: the same seed, the same bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Trained(NamedTuple):
    """One network, and how it came to be.

    Parameters
    ----------
    network : PolicyNetwork
    history : list of dict
        One row per epoch.
    refined : bool
        Whether stage two was kept: it earned clearly more on the sessions kept back, or there was
        no stage one to compare it with.
    fault : str
        What was not finite, where that ended a stage.
    """

    network: PolicyNetwork
    history: list[Row]
    refined: bool
    fault: str


@dataclass(frozen=True)
class Run:
    """The training of an ensemble, one network after the other.

    Parameters
    ----------
    view : LearnerView
    config : FitterConfig
    lessons : Lessons
    seed : int
    periods_per_year : int
    resume : Resume or None
    progress : callable or None
    """

    view: LearnerView
    config: FitterConfig
    lessons: Lessons
    seed: int
    periods_per_year: int
    resume: Resume | None
    progress: Progress | None

    def ensemble(self, width: int, start: Sequence[PolicyNetwork] | None) -> list[Trained]:
        """Train networks of ``width`` inputs, anew or on from those of ``start``.

        Raises
        ------
        NotFittedError
            None of them got through an epoch: a loss or gradient was not finite.
        """
        asked = self.config.training
        before = start or (None,) * self.config.seeds
        with one_thread(), told_memory(), repeatable(asked.device, wanted=asked.deterministic):
            done = [self._trained(k, width, before[k]) for k in range(self.config.seeds)]
        if not any(one.history for one in done) and any(one.fault for one in done):
            raise NotFittedError(
                "no network could be trained",
                where="; ".join(one.fault for one in done),
                fix="look for values without measure in the bars, or train on another device",
            )
        return done

    def _trained(self, number: int, width: int, start: PolicyNetwork | None) -> Trained:
        own = seeds.integer(self.seed, f"fitter/{number}")
        network = built(self.view.grid, self.config, width=width, seed=own % 2**32)
        network.to(self.config.training.device)
        if start is not None:
            network.load_state_dict(start.state_dict())
        stages = Stages(
            self.lessons,
            cost=self.config.cost,
            pull=self.config.pull,
            periods_per_year=self.periods_per_year,
            device=self.config.training.device,
            seed=own,
        )
        rows: list[Row] = []
        faults, refined, warm = [], False, start is not None
        if self.config.pretrained:
            first = self._stage(number, network, stages, stage=1, warm=warm)
            rows += [{"stage": 1, **row} for row in first.history]
            faults.append(first.fault)
        if self.config.refinement != "none":
            second, fault, refined = self._refined(number, network, stages, warm=warm)
            rows += [{"stage": 2, **row} for row in second]
            faults.append(fault)
        network.eval()
        return Trained(network, rows, refined, "; ".join(filter(None, faults)))

    def _stage(
        self, number: int, network: PolicyNetwork, stages: Stages, *, stage: int, warm: bool
    ) -> Checkpoint:
        """One stage of training by gradient."""
        training = self.config.training
        most, name = self._most(stage, warm=warm), _name(number, stage)
        rate = training.rate if stage == 1 else 0.3 * training.rate
        by_draw = self.config.refinement == "reinforce"
        loss = (
            stages.supervised if stage == 1 else (stages.reinforced if by_draw else stages.earned)
        )
        speed, asked = Speed(training.device), len(self.lessons.asked)

        def keep(done: Checkpoint) -> None:
            sequences = len(self.lessons.sequences(done.epoch - 1, seed=stages.seed))
            logger.info("%s epoch %d: %s", name, done.epoch, speed.lap(sequences * asked))
            if self.resume is not None:
                self.resume.keep(name, done)
            self._tell(name, done.epoch, most)

        last = train(
            network,
            stages.batches,
            loss,
            stages.judge(network, stage=stage),
            dataclasses.replace(training, epochs=most, rate=rate),
            seed=seeds.integer(stages.seed, name),
            resume=None if self.resume is None else self.resume.find(name),
            keep=keep,
        )
        if last.epoch < most:  # it ended early, and is done
            self._tell(name, last.epoch, last.epoch)
        return last

    def _most(self, stage: int, *, warm: bool) -> int:
        """Epochs that a stage may take."""
        config = self.config
        most = config.training.epochs if stage == 1 else config.refine_epochs
        return min(most, config.warm_epochs) if warm else most

    def _tell(self, name: str, done: int, most: int) -> None:
        if self.progress is not None:
            self.progress(name, done, most)

    def _refined(
        self, number: int, network: PolicyNetwork, stages: Stages, *, warm: bool
    ) -> tuple[list[Row], str, bool]:
        """Stage two; what it found is taken back where it does not earn clearly more.

        Returns its epochs, what was not finite, and whether it was kept.
        """
        before = copy.deepcopy(network.state_dict())
        earned = stages.blocks(network)
        if self.config.refinement == "evolution":
            rows, fault = self._evolved(number, network, stages, warm=warm), ""
        else:
            done = self._stage(number, network, stages, stage=2, warm=warm)
            rows, fault = done.history, done.fault
        gained = stages.blocks(network) - earned
        clear = gained.mean() * len(gained) ** 0.5 > self.config.clear * gained.std(ddof=1)
        better = bool(clear) or not self.config.pretrained
        if not better:
            network.load_state_dict(before)
        logger.info("network %d: stage two %s", number, "kept" if better else "taken back")
        return rows, fault, better

    def _evolved(
        self, number: int, network: PolicyNetwork, stages: Stages, *, warm: bool
    ) -> list[Parts]:
        """Evolution strategies on the parameter heads."""
        heads = list(network.parameters_head.parameters())
        best = stages.held_out(network, stage=2)["loss"]
        rows, kept = [], copy.deepcopy(network.state_dict())
        most, name = self._most(2, warm=warm), _name(number, 2)
        for epoch in range(most):
            batches = stages.batches(epoch, self.config.training.batch)

            def value(batches: Any = batches) -> float:
                return -sum(stages.earned(network, one)[1]["earned"] for one in batches)

            evolve(heads, value, seed=seeds.integer(stages.seed, f"evolution/{epoch}"))
            seen = stages.held_out(network, stage=2)
            rows.append({f"valid_{part}": one for part, one in seen.items()})
            if seen["loss"] < best:
                best, kept = seen["loss"], copy.deepcopy(network.state_dict())
            self._tell(name, epoch + 1, most)
        network.load_state_dict(kept)
        return rows


def _name(number: int, stage: int) -> str:
    """What a stage of one network is called, in checkpoints and in progress."""
    return f"network-{number}-stage-{stage}"
