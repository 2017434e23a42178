"""The two stages of training: learn the teacher's mixes, then what mixes earn.

For: the loss and validation of each stage, as the training loop asks for them. Not for: the loop
itself (``ml.train``), and not for saving.

Stage one makes the divergence from the table's mix small, with the performance and regime heads
beside it. Stage two goes on by gradient through the soft book (or by evolution strategies or
REINFORCE, which need no gradient of it), and is kept only if it earns more on the sessions that
were kept back than stage one did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from backtest.engine.soft import soft_mix
from ml.fitter.lessons import Lessons
from ml.fitter.network import Said
from ml.losses import divergence, hybrid, regime_loss
from ml.train import Parts

_OUTCOME, _REGIME = 0.1, 0.1
"""Weights of the two other heads beside the mix."""


@dataclass(frozen=True)
class Batch:
    """Some sequences on the device.

    Parameters
    ----------
    inputs : float32, ``[sequence, time, input]``
    at : int64, ``[asked]``
    teacher, table, block : float32, ``[sequence, asked, param + 1]``
        The table's mix as it is known at the end and as it was then, and what each set earns until
        the next decision.
    outcome : float32, ``[sequence, asked, 3]``
    regime : float32, ``[sequence, asked, 6]``
    """

    inputs: Tensor
    at: Tensor
    teacher: Tensor
    table: Tensor
    block: Tensor
    outcome: Tensor
    regime: Tensor


class Stages:
    """Losses over one history's lessons.

    Parameters
    ----------
    lessons : Lessons
    cost : float
        Per side, decimal: what stage two pays for a mix that changes.
    pull : float
        Weight, in stage two, of the divergence from what stage one learned from.
    periods_per_year : int
    device : str
    seed : int
    """

    def __init__(
        self,
        lessons: Lessons,
        *,
        cost: float,
        pull: float,
        periods_per_year: int,
        device: str,
        seed: int,
    ):
        self.lessons, self.seed, self.device = lessons, seed, device
        self.cost, self.pull, self.periods_per_year = cost, pull, periods_per_year
        step = lessons.windows.step
        total = np.concatenate(
            [np.zeros((1, lessons.returns.shape[1])), lessons.returns.cumsum(axis=0, dtype=float)]
        )
        last = np.minimum(np.arange(len(lessons.returns)) + step, len(lessons.returns))
        self._block = (total[last] - total[:-1]).astype(np.float32)

    def batches(self, epoch: int, size: int) -> Sequence[Batch]:
        """Sequences of an epoch, so many at a time."""
        starts = self.lessons.sequences(epoch, seed=self.seed)
        return [
            self.batch(starts[k : k + size], self.lessons.asked)
            for k in range(0, len(starts), size)
        ]

    def batch(self, starts: Sequence[int], asked: np.ndarray) -> Batch:
        """Sequences that begin at some sessions."""
        rows = np.asarray(starts)[:, None] + np.arange(self.lessons.windows.sequence)
        told = np.asarray(starts)[:, None] + asked

        def put(values: np.ndarray, at: np.ndarray) -> Tensor:
            return torch.from_numpy(values[at]).to(self.device)

        one = self.lessons
        return Batch(
            put(one.inputs, rows),
            torch.from_numpy(asked).to(self.device),
            put(one.teacher, told),
            put(one.table, told),
            put(self._block, told),
            put(one.outcome, told),
            put(one.regime, told),
        )

    def supervised(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Parts]:
        """Stage one: divergence from the teacher, beside what the other heads get wrong."""
        said: Said = network(batch.inputs, batch.at, batch.table)
        mix = divergence(said.mix, batch.teacher)
        outcome = nn.functional.mse_loss(said.outcome, batch.outcome)
        regime = regime_loss(said.regime, batch.regime)
        total = mix + _OUTCOME * outcome + _REGIME * regime
        return total, _parts(loss=total, mix=mix, outcome=outcome, regime=regime)

    def earned(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Parts]:
        """Stage two by gradient: what the network's own mixes earn in the soft book."""
        said: Said = network(batch.inputs, batch.at, batch.table)
        weights = said.mix.exp()
        total = self._hybrid(weights, batch)
        mix = divergence(said.mix, batch.teacher)
        regime = regime_loss(said.regime, batch.regime)
        whole = total + self.pull * mix + _REGIME * regime
        return whole, _parts(loss=whole, earned=total, mix=mix, regime=regime)

    def reinforced(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Parts]:
        """Stage two by REINFORCE: sets are drawn, and what earned more becomes likelier.

        The baseline is the mix's own expectation, so the advantage of a draw is what it earned
        beyond it.
        """
        said: Said = network(batch.inputs, batch.at, batch.table)
        weights = said.mix.exp()
        drawn = _drawn(weights, 8)  # [draw, B, A]
        gained = batch.block.expand(8, *batch.block.shape).gather(-1, drawn[..., None])[..., 0]
        base = (weights.detach() * batch.block).sum(dim=-1)
        unit = self.lessons.scale * self.lessons.windows.step**0.5
        advantage = (gained - base) / unit
        chosen = said.mix.expand(8, *said.mix.shape).gather(-1, drawn[..., None])[..., 0]
        change = torch.diff(weights, dim=-2).abs().sum(dim=-1).mean()
        total = -(advantage * chosen).mean() + 0.1 * change
        return total, _parts(loss=total, earned=self._hybrid(weights.detach(), batch))

    def blocks(self, network: nn.Module) -> npt.NDArray[np.float64]:
        """What the mixes earned from decision to decision on the sessions kept back."""
        said, batch = self._validated(network)
        weights = said.mix.exp()[..., :-1]
        net = soft_mix(weights, batch.block[..., :-1], cost=self.cost)
        return np.asarray(net[0].detach().cpu().double().numpy())

    def judge(self, network: nn.Module, *, stage: int) -> Callable[[nn.Module], Parts]:
        """What judges the epochs of a stage that begins with a network as it is now.

        In stage one a better performance head may decide between epochs, but none whose mixes are
        further from the teacher's than those it began with is ever better than the beginning.
        """
        begun = self.held_out(network, stage=stage) if stage == 1 else None

        def judged(now: nn.Module) -> Parts:
            seen = self.held_out(now, stage=stage)
            if begun is not None and seen["mix"] > begun["mix"]:
                seen["loss"] += _OUTCOME * begun["outcome"]
            return seen

        return judged

    def held_out(self, network: nn.Module, *, stage: int) -> Parts:
        """Losses on the sessions kept back; ``loss`` is what the stage is judged by."""
        said, batch = self._validated(network)
        mix = divergence(said.mix, batch.teacher)
        outcome = nn.functional.mse_loss(said.outcome, batch.outcome)
        earned = self._hybrid(said.mix.exp(), batch)
        judged = mix + _OUTCOME * outcome if stage == 1 else earned
        return _parts(loss=judged, mix=mix, outcome=outcome, earned=earned)

    def _validated(self, network: nn.Module) -> tuple[Said, Batch]:
        """What a network says of the sessions kept back; nothing is dropped."""
        batch = self._validation()
        network.eval()
        with torch.no_grad():
            said: Said = network(batch.inputs, batch.at, batch.table)
        return said, batch

    def _validation(self) -> Batch:
        """Every decision of the sessions kept back, as one sequence that ends with them."""
        first, stop = self.lessons.held
        sequence = self.lessons.windows.sequence
        asked = np.arange(sequence - 1, sequence - 1 - (stop - first), -self.lessons.windows.step)
        return self.batch([stop - sequence], asked[::-1].copy())

    def _hybrid(self, weights: Tensor, batch: Batch) -> Tensor:
        step = self.lessons.windows.step
        net = soft_mix(weights[..., :-1], batch.block[..., :-1], cost=self.cost)
        return hybrid(
            net,
            weights[..., :-1],
            scale=self.lessons.scale * step**0.5,
            periods_per_year=max(self.periods_per_year // step, 1),
        )


def _drawn(weights: Tensor, draws: int) -> Tensor:
    """Sets drawn from mixes ``[batch, asked, set]``; ``[draw, batch, asked]``."""
    flat = weights.detach().flatten(0, 1)
    out = torch.multinomial(flat, draws, replacement=True)  # [B * A, draw]
    return out.T.reshape(draws, *weights.shape[:-1])


def _parts(**losses: Tensor) -> Parts:
    return {name: float(value.detach()) for name, value in losses.items()}
