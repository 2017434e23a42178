"""How far members are from each other: what the mix does not tell of its own doubt.

For: one number and one per set, from proposals and weights. Not for: the weights (``combiner``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spread(proposals: Floats, shares: Floats) -> Floats:
    """Mean distance of members' weights from the mix, by set, cash last; ``[..., param + 1]``.

    Members count by their shares, whatever is held of the mix; all alike where all is cash.

    Parameters
    ----------
    proposals : float64, ``[..., member, param]``
        What is missing to 1 is cash.
    shares : float64, ``[..., member]``

    Examples
    --------
    >>> spread(np.array([[1.0, 0.0], [0.0, 0.5]]), np.array([0.4, 0.4])).tolist()
    [0.5, 0.25, 0.25]
    """
    total = shares.sum(axis=-1, keepdims=True)
    even = np.full_like(shares, 1.0 / shares.shape[-1])
    weight = np.divide(shares, total, out=even, where=total > 0.0)
    cash = 1.0 - proposals.sum(axis=-1, keepdims=True)
    whole = np.concatenate([proposals, cash], axis=-1)
    mix = (weight[..., None] * whole).sum(axis=-2, keepdims=True)
    return np.asarray((weight[..., None] * np.abs(whole - mix)).sum(axis=-2))


def disagreement(proposals: Floats, shares: Floats) -> Floats:
    """Part of the capital that a member would hold elsewhere than the mix does; ``[...]``.

    0 where all say the same, ``1 - 1/n`` where ``n`` equal members have nothing in common.
    Parameters are those of :func:`spread`.
    """
    return np.asarray(0.5 * spread(proposals, shares).sum(axis=-1))
