"""The one training loop: epochs, clipping, a schedule, patience, and the best state restored.

For: any network whose epoch is a list of batches and whose loss is a function of one of them.
Not for: what the batches hold, and not for files: a checkpoint is handed to the caller.

Every random draw of an epoch comes from the seed and the epoch's number, so a run that went on from
a checkpoint ends in the same weights as one that was not interrupted (on the CPU).
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from backtest import seeds
from ml.gpu import half_width, repeatable, told_memory

logger = logging.getLogger(__name__)

Parts = dict[str, float]
Loss = Callable[[nn.Module, Any], tuple[Tensor, Parts]]


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        Most of them.
    batch : int
        Samples of a step; halved where a GPU's memory does not hold them.
    rate, decay : float
        Adam's learning rate and weight decay.
    clip : float
        Largest norm of the gradient.
    patience : int
        Epochs without a better validation before the end.
    shrink, calm : float, int
        The rate is multiplied by ``shrink`` after ``calm`` epochs without a better validation.
    device : str
        ``cpu`` or ``cuda``.
    bf16, compiled : bool
        Half-width arithmetic, and a compiled network: faster on a GPU, with other last digits.
    deterministic : bool
        Whether a GPU may use only algorithms that repeat.
    """

    epochs: int = 100
    batch: int = 32
    rate: float = 1e-3
    decay: float = 1e-4
    clip: float = 1.0
    patience: int = 10
    shrink: float = 0.5
    calm: int = 4
    device: str = "cpu"
    bf16: bool = False
    compiled: bool = False
    deterministic: bool = True


@dataclass
class Checkpoint:
    """Everything that going on needs; tensors are copies.

    Parameters
    ----------
    epoch : int
        Epochs done.
    weights, best : dict of str to Tensor
        Now, and at the best validation.
    best_loss : float
    best_epoch : int
    optimiser : dict of str to Tensor
        Adam's moments and step by name of the weight.
    rate : float
    waited : int
        Epochs since the rate was last right.
    history : list of dict
        One row per epoch: losses by part, gradient norm, learning rate.
    stopped : str
        Why training ended, empty while it has not.
    fault : str
        What was not finite, where that ended it.
    """

    epoch: int
    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    best_loss: float
    best_epoch: int
    optimiser: dict[str, Tensor]
    rate: float
    waited: int
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: str = ""
    fault: str = ""


def train(
    network: nn.Module,
    batches: Callable[[int, int], Sequence[Any]],
    loss: Loss,
    validate: Callable[[nn.Module], Parts],
    config: TrainConfig,
    *,
    seed: int,
    resume: Checkpoint | None = None,
    keep: Callable[[Checkpoint], None] | None = None,
) -> Checkpoint:
    """Train in place; the network ends in its best state.

    Parameters
    ----------
    network : nn.Module
        On ``config.device``.
    batches : callable
        From the number of an epoch and the size of a batch to the epoch's batches, the same
        whenever asked.
    loss : callable
        From the network and a batch to a loss and its parts.
    validate : callable
        From the network to parts of the validation; ``loss`` decides which state is best.
    config : TrainConfig
    seed : int
    resume : Checkpoint, optional
        To go on from.
    keep : callable, optional
        Told after every epoch.

    Returns
    -------
    Checkpoint
        The last one. Where a loss, gradient or validation was not finite, ``fault`` says so and the
        weights are those before that epoch.

    Raises
    ------
    ConfigError
        ``E_DEVICE``: the GPU's memory does not hold a single sample.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=config.rate, weight_decay=config.decay)
    with told_memory(), repeatable(config.device, wanted=config.deterministic):
        now = (
            _begun(network, optimiser, config, validate)
            if resume is None
            else _restored(network, optimiser, resume)
        )
        now = _through(
            network, optimiser, now, batches, loss, validate, config, seed=seed, keep=keep
        )
    network.load_state_dict(now.best)
    network.eval()
    return now


def _through(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    now: Checkpoint,
    batches: Callable[[int, int], Sequence[Any]],
    loss: Loss,
    validate: Callable[[nn.Module], Parts],
    config: TrainConfig,
    *,
    seed: int,
    keep: Callable[[Checkpoint], None] | None,
) -> Checkpoint:
    """Epoch after epoch, until one says that it was the last."""
    step = torch.compile(network) if config.compiled else network
    size = config.batch
    while not now.stopped and now.epoch < config.epochs:
        own = seeds.integer(seed, f"epoch/{now.epoch}") % 2**32
        try:
            parts, norm, fault = _epoch(
                network, step, optimiser, batches(now.epoch, size), loss, config, seed=own
            )
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            logger.warning(
                "out of GPU memory: the batch shrinks from %d to %d samples", size, size // 2
            )
            size //= 2
            _restored(network, optimiser, now)
            continue
        if not fault:
            now = _judged(now, network, optimiser, validate, config, parts=parts, norm=norm)
            fault = now.fault
        if fault:
            logger.warning("training stopped at epoch %d: %s", now.epoch + 1, fault)
            now.fault = now.stopped = fault
            break
        if keep is not None:
            keep(now)
    return now


def _epoch(
    network: nn.Module,
    step: Any,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Any],
    loss: Loss,
    config: TrainConfig,
    *,
    seed: int,
) -> tuple[Parts, float, str]:
    """One pass over the batches: mean parts, mean gradient norm, and what went wrong."""
    total: Parts = {}
    norms = 0.0
    network.train()
    devices = [] if config.device == "cpu" else [config.device]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for batch in batches:
            with half_width(config.device, wanted=config.bf16):
                value, parts = loss(step, batch)
            if not math.isfinite(float(value.detach())):
                return total, norms, "the loss is not finite"
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            if not math.isfinite(float(norm)):
                return total, norms, "a gradient is not finite"
            optimiser.step()
            norms += float(norm) / len(batches)
            for name, one in parts.items():
                total[name] = total.get(name, 0.0) + one / len(batches)
    return total, norms, ""


def _judged(
    now: Checkpoint,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    validate: Callable[[nn.Module], Parts],
    config: TrainConfig,
    *,
    parts: Parts,
    norm: float,
) -> Checkpoint:
    """Validate after an epoch, and say what follows from it."""
    network.eval()
    with torch.no_grad():
        seen = validate(network)
    if not all(math.isfinite(one) for one in seen.values()):
        now.fault = "a validation is not finite"
        return now
    row = {f"train_{k}": v for k, v in parts.items()} | {f"valid_{k}": v for k, v in seen.items()}
    row |= {"gradient_norm": norm, "learning_rate": now.rate}
    weights = _copied(network)
    better = seen["loss"] < now.best_loss
    best = (
        (weights, seen["loss"], now.epoch + 1)
        if better
        else (now.best, now.best_loss, now.best_epoch)
    )
    waited, rate = (0, now.rate) if better else (now.waited + 1, now.rate)
    if waited and waited % config.calm == 0:
        rate *= config.shrink
        for group in optimiser.param_groups:
            group["lr"] = rate
    after = Checkpoint(
        now.epoch + 1,
        weights,
        best[0],
        best[1],
        best[2],
        _moments(network, optimiser),
        rate,
        waited,
        [*now.history, row],
    )
    if after.epoch - after.best_epoch >= config.patience:
        after.stopped = f"no better validation in {config.patience} epochs"
    return after


def _copied(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights: ``state_dict`` alone would go on changing."""
    return copy.deepcopy(network.state_dict())


def _begun(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    validate: Callable[[nn.Module], Parts],
) -> Checkpoint:
    """The state before the first epoch; it stays the best one until an epoch validates better."""
    weights = _copied(network)
    network.eval()
    with torch.no_grad():
        loss = validate(network)["loss"]
    first = loss if math.isfinite(loss) else math.inf
    moments = _moments(network, optimiser)
    return Checkpoint(0, weights, weights, first, 0, moments, config.rate, 0)


def _moments(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state by weight and part; a copy."""
    out = {}
    for name, weight in network.named_parameters():
        for part, value in optimiser.state.get(weight, {}).items():
            out[f"{name}/{part}"] = value.clone()
    return out


def _restored(
    network: nn.Module, optimiser: torch.optim.Optimizer, given: Checkpoint
) -> Checkpoint:
    """Put weights, moments and rate back where they were."""
    network.load_state_dict(given.weights)
    optimiser.state.clear()  # of an epoch that was not finished
    for name, weight in network.named_parameters():
        state = {}
        for key, value in given.optimiser.items():
            of, part = key.rsplit("/", 1)
            if of == name:  # Adam counts its steps on the CPU, wherever the weights are
                at = value.device if part == "step" else weight.device
                state[part] = value.to(at, copy=True)
        if state:
            optimiser.state[weight] = state
    for group in optimiser.param_groups:
        group["lr"] = given.rate
    return given
