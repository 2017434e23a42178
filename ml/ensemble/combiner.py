"""Combiners: weights of members from what each earned out of sample.

For: four rules and their registry. Not for: what the members propose, and never for what they
would have earned on sessions that they had learned from: a member's stream is made of the proposals
as they were at each close.

Cash is a choice in every rule. In ``softmax`` it takes part as a member that earns nothing;
``sharpe`` and ``stacked`` hold their mix to the degree that its own recent record is above cash's;
``earned`` leaves it to the members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.special import ndtr

from backtest.registry import Registry
from ml.learner import HORIZON, STILL

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Earned:
    """What members proposed, and what that came to.

    Parameters
    ----------
    streams : float64, ``[member, time]``
        Return of each member's proposal of the close before.
    sessions : int64, ``[decision]``
        Ascending; closes whose next ``HORIZON`` sessions are over.
    proposals : float64, ``[member, decision, param]``
        At these closes.
    outcomes : float64, ``[decision, param]``
        What each set earned after them, as :func:`ml.performance.outcomes`.
    standing : int
        Place of the member that the others have to beat, where a rule has one.
    """

    streams: Floats
    sessions: Ints
    proposals: Floats
    outcomes: Floats
    standing: int = 0


Combiner = Callable[[Earned], Floats]
"""To weights ``[member]``, non-negative, sum at most 1; the rest is cash."""

COMBINERS: Registry[Combiner] = Registry("combiner", "ml.ensemble.combiner")

RECENT = 252
"""Sessions over which recent performance is measured."""
LEAST = 63
"""Sessions of a stream before it is judged."""
CLEAR = 2.0
"""Standard errors by which a record must be above that of the standing member."""
_TEMPERATURE = 0.03
_FOLDS = 5
_PENALTIES = (10.0, 1.0, 0.1, 0.01)
"""The first of equals is chosen: the strongest, where no block can be predicted."""


def sharpe_of(streams: Floats) -> Floats:
    """Mean over deviation of each stream's last ``RECENT`` sessions; 0 where it stood still."""
    last = streams[:, -RECENT:]
    deviation = last.std(axis=1)
    out: Floats = np.divide(
        last.mean(axis=1), deviation, out=np.zeros(len(last)), where=deviation > STILL
    )
    return out


def held(raw: Floats, streams: Floats) -> Floats:
    """Shares in the proportions of ``raw``, as far as their mix is likely to beat cash.

    The part held is ``Phi(S sqrt(n))``: the probability that a mean is above zero whose Sharpe
    ratio over ``n`` sessions was ``S``, with nothing known before. A mix with a loss behind it is
    held by less than half, one that nobody has seen for ``LEAST`` sessions whole.

    Parameters
    ----------
    raw : float64, ``[member]``
        Not negative; all cash if all are 0.
    streams : float64, ``[member, time]``
    """
    total = float(raw.sum())
    if total <= 0.0:
        return np.zeros(len(raw))
    shares: Floats = raw / total
    mix = (shares @ streams)[None, -RECENT:]
    if mix.shape[1] < LEAST:
        return shares
    return shares * float(ndtr(sharpe_of(mix)[0] * np.sqrt(mix.shape[1])))


@COMBINERS.register("softmax")
def softmax(known: Earned) -> Floats:
    """Shares by recent Sharpe per session at one temperature; cash takes part with 0."""
    streams = known.streams
    if streams.shape[1] < LEAST:
        return np.full(len(streams), 1.0 / len(streams))
    sharpe = sharpe_of(streams)
    best = max(float(sharpe.max()), 0.0)
    raised = np.exp((sharpe - best) / _TEMPERATURE)
    out: Floats = raised / (raised.sum() + np.exp(-best / _TEMPERATURE))
    return out


@COMBINERS.register("sharpe")
def sharpe(known: Earned) -> Floats:
    """Recent Sharpe where it is positive, over how much a member repeats the others.

    ``w_i ~ max(S_i, 0) / (1 + sum of max(correlation with each other such member, 0))``: two
    members that say the same share one member's weight, and one that repeats a loser loses none.
    """
    streams = known.streams
    if streams.shape[1] < LEAST:
        return np.full(len(streams), 1.0 / len(streams))
    gained = np.maximum(sharpe_of(streams), 0.0)
    last = streams[:, -RECENT:]
    centred = last - last.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    unit = np.divide(centred, size[:, None], out=np.zeros_like(centred), where=size[:, None] > 0.0)
    alike = np.where(gained > 0.0, np.maximum(unit @ unit.T, 0.0), 0.0)
    np.fill_diagonal(alike, 1.0)
    return held(gained / alike.sum(axis=1), streams)


@COMBINERS.register("stacked")
def stacked(known: Earned) -> Floats:
    """Non-negative regression of what sets earned on what members gave them, ridge to the mean.

    Proposals are out of sample already. The penalty is chosen on purged folds: blocks of
    decisions in time, without those whose outcome overlaps the block's.
    """
    even = np.full(len(known.proposals), 1.0 / len(known.proposals))
    judged = np.isfinite(known.outcomes)
    rows = judged.any(axis=1)
    if np.count_nonzero(rows) < 2 * _FOLDS:
        return even
    judged, sessions = judged[rows], known.sessions[rows]
    y = _centred(known.outcomes[rows], judged)
    x = _centred(known.proposals[:, rows], judged)
    folds = purged_folds(sessions)
    errors = [_left_out(x, y, penalty, folds) for penalty in _PENALTIES]
    return held(ridge(x, y, _PENALTIES[int(np.argmin(errors))]), known.streams)


@COMBINERS.register("earned")
def earned(known: Earned) -> Floats:
    """The standing member, and half of it for others whose records are clearly above its own.

    A record is everything since the first proposal, at least ``RECENT`` sessions: each session's
    return over the stream's deviation less the same of the standing member. Those whose mean is
    ``CLEAR`` standard errors above 0 share half of the capital alike. It is asked at every
    selection, so ``CLEAR`` is no level of a test; what a wrong yes costs is bounded by the half.
    """
    streams = known.streams
    shares = np.zeros(len(streams))
    shares[known.standing] = 1.0
    if streams.shape[1] < RECENT:
        return shares
    deviation = streams.std(axis=1)
    unit = streams / np.where(deviation > STILL, deviation, np.inf)[:, None]
    ahead = unit - unit[known.standing]
    spread = ahead.std(axis=1, ddof=1)
    errors = np.divide(
        ahead.mean(axis=1), spread, out=np.zeros(len(streams)), where=spread > STILL
    ) * np.sqrt(streams.shape[1])
    clear = errors >= CLEAR
    if clear.any():
        shares[known.standing] = 0.5
        shares[clear] = 0.5 / np.count_nonzero(clear)
    return shares


def purged_folds(sessions: Ints) -> list[tuple[Ints, Ints]]:
    """Blocks of decisions in time, each with those whose outcome shares no session with its own.

    Parameters
    ----------
    sessions : int64, ``[decision]``
        Ascending. The outcome of a decision at ``s`` is of ``s + 1`` to ``s + HORIZON``.

    Returns
    -------
    list of (int64, int64)
        Places of a block, and of what may be fitted on to predict it.
    """
    out = []
    for block in np.array_split(np.arange(len(sessions)), _FOLDS):
        first, last = sessions[block[0]], sessions[block[-1]]
        away = (sessions + HORIZON <= first) | (sessions >= last + HORIZON)
        out.append((block, np.flatnonzero(away)))
    return out


def _centred(values: Floats, judged: npt.NDArray[np.bool_]) -> Floats:
    """Less the mean over the judged sets of each decision; 0 where a set is not judged."""
    total = np.where(judged, values, 0.0).sum(axis=-1, keepdims=True)
    mean = total / np.maximum(judged.sum(axis=-1, keepdims=True), 1)
    return np.where(judged, values - mean, 0.0)


def _left_out(x: Floats, y: Floats, penalty: float, folds: list[tuple[Ints, Ints]]) -> float:
    """Sum over blocks of the mean squared error of what was fitted away from them."""
    total = 0.0
    for block, away in folds:
        if len(away) < 2:
            continue
        found = ridge(x[:, away], y[away], penalty)
        total += float(((y[block] - np.tensordot(found, x[:, block], axes=1)) ** 2).mean())
    return total


def ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Non-negative coefficients of the least squared error, pulled towards one common level.

    The minimum over ``w >= 0`` of ``|y - sum of w_i x_i|^2 + penalty m |w - level|^2``, where ``m``
    is the mean of ``|x_i|^2`` and ``level`` the best coefficient, if all were alike, or 0.

    Parameters
    ----------
    x : float64, ``[member, decision, param]``
    y : float64, ``[decision, param]``
    penalty : float
        Above 0.

    Returns
    -------
    float64, ``[member]``
    """
    flat = x.reshape(len(x), -1).T  # [row, member]
    target, summed = y.reshape(-1), flat.sum(axis=1)
    size = max(float((flat**2).sum()) / len(x), 1e-18)
    level = max(float(target @ summed) / max(float((summed**2).sum()), 1e-18), 0.0)
    normal = flat.T @ flat / size + penalty * np.eye(len(x))
    moment = flat.T @ target / size + penalty * level
    # |root' w - inverse(root) moment|^2 is the same square but for a constant, in few rows.
    root = np.linalg.cholesky(normal)
    return np.asarray(nnls(root.T, np.linalg.solve(root, moment))[0])
