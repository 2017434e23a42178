"""Kernels that add one symbol at a time to many books at once.

For: book returns ``[stream, time]`` of thousands of parameter sets without ever holding
``[param, symbol, time]``. Not for: the definition of a book (``portfolio.book``) or of the fill
(``fills``), which these kernels must reproduce.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def count_sides(targets: Array, at: Array, longs: Array, shorts: Array) -> None:
    """Add one symbol's targets to the counts of longs and shorts at each close.

    Parameters
    ----------
    targets : int8, ``[param, bar]``
    at : int64, ``[bar]``
    longs, shorts : int32, ``[param, time]``
        Changed in place.
    """
    for p in range(targets.shape[0]):
        for i in range(at.size):
            side = targets[p, i]
            longs[p, at[i]] += side > 0
            shorts[p, at[i]] += side < 0


@njit(cache=True, nogil=True)
def centre_and_scale(
    longs: Array, shorts: Array, inside: Array, members: Array, limits: tuple[int, float]
) -> tuple[Array, Array]:
    """Mean position and scale of a neutral group, so that ``weight = (pos - mean) scale``.

    Positions are -1, 0 or 1, so counts alone give ``gross = sum |pos - mean|``.

    Parameters
    ----------
    longs, shorts : int32, ``[param, time]``
    inside : int64, ``[time]``
        Tradable symbols in the group.
    members : int64, ``[time]``
        Tradable symbols in the universe.
    limits : (int, float)
        Least number of members, and least gross as a share of the group.

    Returns
    -------
    mean, scale : float64, ``[param, time]``
        Both 0 where the target is flat.
    """
    mean, scale = np.zeros(longs.shape), np.zeros(longs.shape)
    least, floor = limits
    for p in range(longs.shape[0]):
        for t in range(longs.shape[1]):
            n = inside[t]
            if n == 0 or members[t] < least:
                continue
            up, down = longs[p, t], shorts[p, t]
            m = (up - down) / n
            gross = up * (1.0 - m) + down * (1.0 + m) + (n - up - down) * abs(m)
            mean[p, t] = m
            scale[p, t] = n / members[t] / max(gross, floor * n)
    return mean, scale


@njit(cache=True, nogil=True)
def add_positions(targets: Array, at: Array, total: Array) -> None:
    """Add one symbol's targets, float64, to the sum at each close.

    Parameters
    ----------
    targets : float64, ``[param, bar]``
    at : int64, ``[bar]``
    total : float64, ``[param, time]``
        Changed in place.
    """
    for p in range(targets.shape[0]):
        for i in range(at.size):
            total[p, at[i]] += targets[p, i]


@njit(cache=True, nogil=True)
def add_distances(targets: Array, at: Array, inside: Array, out: tuple[Array, Array]) -> None:
    """Add how far one symbol's targets are from the mean of all.

    Parameters
    ----------
    targets : float64, ``[param, bar]``
    at : int64, ``[bar]``
    inside : bool, ``[time]``
        Where the symbol counts.
    out : (float64, float64), each ``[param, time]``
        Mean, and sum of distances, which is changed in place.
    """
    mean, gross = out
    for p in range(targets.shape[0]):
        for i in range(at.size):
            if inside[at[i]]:
                gross[p, at[i]] += abs(targets[p, i] - mean[p, at[i]])


@njit(cache=True, nogil=True)
def walk_sets(
    targets: Array,
    timing: tuple[Array, Array],
    legs: tuple[Array, Array],
    scaling: tuple[Array, Array],
    out: tuple[Array, Array],
) -> None:
    """Add one symbol's returns and weight changes to the book of every set.

    Parameters
    ----------
    targets : int8, ``[param, bar]``
    timing : (int64, int64), each ``[bar]``
        Column of each bar, and the bar that decides what fills at its open (-1: no weight).
    legs : (float64, float64), each ``[bar]``
        Overnight and intraday returns.
    scaling : (float64, float64), each ``[param, time]``
        Mean and scale of :func:`centre_and_scale`.
    out : (float64, float64), each ``[param, time]``
        Return before costs and turnover; changed in place.
    """
    at, decision = timing
    overnight, intraday = legs
    mean, scale = scaling
    gain, turnover = out
    for p in range(targets.shape[0]):
        held = 0.0
        for i in range(1, at.size):
            d = decision[i]
            new = 0.0
            if d >= 0:
                new = (targets[p, d] - mean[p, at[d]]) * scale[p, at[d]]
            gain[p, at[i]] += held * overnight[i] + new * intraday[i]
            turnover[p, at[i]] += abs(new - held)
            held = new


@njit(cache=True, nogil=True)
def sparse_mix(weights: Array, member: Array, share: Array) -> None:
    """Pack the positive weights of each mix to the front.

    Parameters
    ----------
    weights : float64, ``[variant, time, param]``
    member : int32, ``[variant, time, k]``
        Filled with the sets that carry weight; -1 behind the last.
    share : float64, ``[variant, time, k]``
    """
    member[:] = -1
    for v in range(weights.shape[0]):
        for t in range(weights.shape[1]):
            k = 0
            for p in range(weights.shape[2]):
                if weights[v, t, p] != 0.0:
                    member[v, t, k] = p
                    share[v, t, k] = weights[v, t, p]
                    k += 1


@njit(cache=True, nogil=True)
def scale_mix(mix: tuple[Array, Array], scaling: tuple[Array, Array]) -> tuple[Array, Array]:
    """Fold mean and scale of each set into its share of the mix.

    A symbol's target weight in the mix is then ``sum_k amount_k pos_k - offset``.

    Parameters
    ----------
    mix : (int32, float64), each ``[variant, time, k]``
        Of :func:`sparse_mix`.
    scaling : (float64, float64), each ``[param, time]``

    Returns
    -------
    amount : float64, ``[variant, time, k]``
    offset : float64, ``[variant, time]``
    """
    member, share = mix
    mean, scale = scaling
    amount = np.zeros(share.shape)
    offset = np.zeros(share.shape[:2])
    for v in range(share.shape[0]):
        for t in range(share.shape[1]):
            for k in range(share.shape[2]):
                p = member[v, t, k]
                if p < 0:
                    break
                amount[v, t, k] = share[v, t, k] * scale[p, t]
                offset[v, t] += amount[v, t, k] * mean[p, t]
    return amount, offset


@njit(cache=True, nogil=True)
def walk_mixes(
    targets: Array,
    timing: tuple[Array, Array],
    legs: tuple[Array, Array],
    mix: tuple[Array, Array, Array],
    out: tuple[Array, Array],
) -> None:
    """Add one symbol's returns and netted weight changes to the book of every mix.

    Parameters
    ----------
    targets : int8, ``[bar, param]``
        Time first, so that the sets of one close lie together.
    timing, legs
        As in :func:`walk_sets`.
    mix : (int32, float64, float64)
        Members ``[variant, time, k]``, and amounts and offset of :func:`scale_mix`.
    out : (float64, float64), each ``[variant, time]``
        Return before costs and turnover; changed in place.
    """
    at, decision = timing
    overnight, intraday = legs
    member, amount, offset = mix
    gain, turnover = out
    for v in range(member.shape[0]):
        held = 0.0
        for i in range(1, at.size):
            d = decision[i]
            new = 0.0
            if d >= 0:
                new = -offset[v, at[d]]
                for k in range(member.shape[2]):
                    p = member[v, at[d], k]
                    if p < 0:
                        break
                    new += amount[v, at[d], k] * targets[d, p]
            gain[v, at[i]] += held * overnight[i] + new * intraday[i]
            turnover[v, at[i]] += abs(new - held)
            held = new
