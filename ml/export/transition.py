"""From what is run to what was decided, in bounded steps.

For: the arithmetic of one step. Not for: whether to step at all, which the gate says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_TINY = 1e-12


def bounded_step(previous: Floats, target: Floats, *, max_step: float, members: int) -> Floats:
    """Move a mix towards a target, at most ``max_step`` of the whole in one session.

    Sets that leave are sold whole, the lightest first, so that each frees a place; sets that
    stay are bought before new ones, new ones from the heaviest target down while there are
    places. Money that finds no place waits as cash for the next session. Moving all weights in
    proportion would keep up to twice the members, and cutting that back could undo the step.

    Parameters
    ----------
    previous, target : float64, ``[param]``
        Non-negative, sum at most 1; the rest is cash, which counts as one more member.
    max_step : float
        Largest total variation, in (0, 1].
    members : int
        Most sets in the result; neither mix may hold more.

    Returns
    -------
    float64, ``[param]``

    Examples
    --------
    >>> bounded_step(np.array([1.0, 0.0]), np.array([0.0, 1.0]), max_step=0.25, members=16).tolist()
    [0.75, 0.25]
    """
    fall, rise = np.maximum(previous - target, 0.0), np.maximum(target - previous, 0.0)
    if max(float(fall.sum()), float(rise.sum())) <= max_step:
        return target
    stays = target > 0.0
    selling = np.lexsort((previous, stays))  # leavers first, the lightest first
    out = previous - _spent(fall, selling, max_step)
    out[~stays & (out <= _TINY)] = 0.0
    new = (out <= 0.0) & (rise > 0.0)
    buying = np.lexsort((-target, new))  # those held first, the heaviest first
    places = members - int(np.count_nonzero(out))
    late = buying[new[buying]][max(places, 0) :]
    rise[late] = 0.0
    room = 1.0 - float(out.sum())
    return np.asarray(out + _spent(rise, buying, min(max_step, max(room, 0.0))))


def _spent(wanted: Floats, order: npt.NDArray[np.int64], budget: float) -> Floats:
    """Serve what is wanted in the given order until the budget is used up; ``[param]``."""
    queue = wanted[order]
    before = np.concatenate([[0.0], np.cumsum(queue)[:-1]])
    out = np.zeros_like(wanted)
    out[order] = np.clip(budget - before, 0.0, queue)
    return out
