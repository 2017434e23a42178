"""Evolution strategies: better weights by trying changes of them, without a gradient.

For: refining the last layers of a network by what its mixes earn. Not for: training from nothing,
where gradients are hundreds of times cheaper. Source: Salimans and others, "Evolution strategies
as a scalable alternative to reinforcement learning" (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from backtest import seeds


def evolve(
    weights: Sequence[nn.Parameter],
    value: Callable[[], float],
    *,
    seed: int,
    pairs: int = 8,
    spread: float = 0.02,
    rate: float = 0.005,
) -> None:
    """Move weights, in place, towards those changes that were worth more.

    Parameters
    ----------
    weights : sequence of nn.Parameter
    value : callable
        What the network is worth with its present weights; higher is better.
    seed : int
    pairs : int
        Changes tried, each in both directions.
    spread, rate : float
        Size of a change that is tried, and of the step that is taken, in deviations of a weight.
    """
    drawn = torch.Generator().manual_seed(seeds.integer(seed, "evolution") % 2**63)
    before = [w.detach().clone() for w in weights]
    units = [w.std(unbiased=False).clamp_min(1e-3) for w in before]
    changes, worth = [], []
    with torch.no_grad():
        for _ in range(pairs):
            # drawn on the CPU: the same numbers on every device
            change = [torch.randn(w.shape, generator=drawn).to(w.device) for w in before]
            for sign in (1.0, -1.0):
                _set(weights, before, change, [sign * spread * u for u in units])
                changes.append((sign, change))
                worth.append(value())
        known = torch.tensor(worth).nan_to_num(nan=-torch.inf)  # what has no worth is the worst
        ranks = known.argsort().argsort().float()
        advantage = (ranks / (len(worth) - 1) - 0.5).tolist()
        for k, weight in enumerate(weights):
            step = torch.zeros_like(weight)
            for (sign, change), a in zip(changes, advantage, strict=True):
                step += a * sign * change[k]
            size = step.pow(2).mean().sqrt().clamp_min(1e-12)
            weight.copy_(before[k] + rate * units[k] * step / size)


def _set(
    weights: Sequence[nn.Parameter],
    before: Sequence[Tensor],
    change: Sequence[Tensor],
    sizes: Sequence[Tensor],
) -> None:
    for weight, start, one, size in zip(weights, before, change, sizes, strict=True):
        weight.copy_(start + size * one)
