"""A book of mixed sets as a differentiable function of the mix.

For: gradients of what a mix earns, for training and for asking how a return depends on a weight.
Not for: reported results, which come from ``books.mix_book``; this surrogate is checked against it.

Candidates' net returns are known, so a mix that stays earns their weighted sum, less what it saves
by netting their orders. A mix that changes pays at most the cost of the change of every weight,
because no candidate's book is larger than the account. So where overnight moves do not matter, the
surrogate never shows more than the exact engine would.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_mix(weights: Tensor, returns: Tensor, *, cost: float) -> Tensor:
    """Net return of the session after each decision.

    Parameters
    ----------
    weights : float, ``[..., time, param]``
        Decided at each close; what is missing to 1 is cash.
    returns : float, ``[..., time, param]``
        Net return of every candidate's book in the session *after* each of these closes.
    cost : float
        Per side, decimal of traded notional.

    Returns
    -------
    float, ``[..., time]``
        The first decision pays for its own weights only where it is the first; a window that
        begins in the middle of a path starts as if it had held them.
    """
    change = torch.diff(weights, dim=-2).abs().sum(dim=-1)  # [..., T - 1]
    paid = torch.nn.functional.pad(change, (1, 0))
    return (weights * returns).sum(dim=-1) - cost * paid
