"""What training makes small: distance from a teacher's mix, and what a mix earned.

For: losses that read tensors and return one number. Not for: networks, data or optimisers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_TINY = 1e-8


def divergence(log_mix: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of a mix from the teacher's, in nats, averaged.

    Parameters
    ----------
    log_mix : float32, ``[..., param]``
        Logarithms of weights that sum to 1.
    teacher : float32, ``[..., param]``
        Weights that sum to 1.
    temperature : float
        Above 1 both are made flatter first, and the result is multiplied by its square, so that
        gradients keep their size (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
        network", 2015).
    """
    if temperature != 1.0:
        log_mix = functional.log_softmax(log_mix / temperature, dim=-1)
        teacher = functional.softmax(teacher.clamp_min(_TINY).log() / temperature, dim=-1)
    each = torch.xlogy(teacher, teacher) - teacher * log_mix
    return each.sum(dim=-1).mean() * temperature**2


def hybrid(net: Tensor, weights: Tensor, *, scale: float, periods_per_year: int) -> Tensor:
    """Half what was earned, half per risk, and a price on weights that move; lower is better.

    ``-.5 mean/scale sqrt(year) - .5 mean/deviation sqrt(year) + .1 mean |change of weight|``.

    Parameters
    ----------
    net : float32, ``[path, time]``
        Net return per session.
    weights : float32, ``[path, time, param]``
    scale : float
        Deviation per session that a unit of return is measured in.
    periods_per_year : int
    """
    year = float(periods_per_year) ** 0.5
    mean = net.mean()
    deviation = net.std(unbiased=True).clamp_min(0.05 * scale)
    change = torch.diff(weights, dim=-2).abs().sum(dim=-1).mean()
    total: Tensor = -0.5 * year * mean / scale - 0.5 * year * mean / deviation + 0.1 * change
    return total


def regime_loss(logits: Tensor, told: Tensor) -> Tensor:
    """Cross entropy of the trend's three words, plus that of each other word by itself.

    Parameters
    ----------
    logits, told : float32, ``[..., 6]``
        In the order of ``fitter.heads.REGIME_WORDS``; told are probabilities.
    """
    trend = -(told[..., :3] * functional.log_softmax(logits[..., :3], dim=-1)).sum(dim=-1).mean()
    words = functional.binary_cross_entropy_with_logits(logits[..., 3:], told[..., 3:])
    return trend + words
