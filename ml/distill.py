"""Distillation: a small network that says what a large teacher would, and what that costs.

For: fitting the student to proposals that the teacher made at past closes, and measuring rank
agreement, regret, size and latency. Not for: teaching on sessions that the teacher had learned
from: its proposals are taken as they were.

The student reads one row, not a year: the market's state and its averages over a month and a
quarter. Loss: Kullback-Leibler divergence at temperature 2 (Hinton, Vinyals and Dean, 2015).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from safetensors.torch import save
from scipy.stats import spearmanr
from torch import Tensor, nn

from backtest import seeds
from backtest.errors import NotFittedError
from ml.losses import divergence
from ml.train import Parts, TrainConfig, train

Floats = npt.NDArray[np.float64]

TEMPERATURE = 2.0
SPANS = (21, 63)
_HIDDEN = 32
_LEAST = 126


@dataclass(frozen=True)
class Student:
    """A small network over one row of the market's state.

    Parameters
    ----------
    network : nn.Module
    centre, scale : float64, ``[input]``
    """

    network: nn.Module
    centre: Floats
    scale: Floats

    def mixes(self, rows: Floats) -> Floats:
        """Weights of every set at some rows of :func:`rows_of`; ``[row, param]``."""
        x = np.nan_to_num(np.clip((rows - self.centre) / self.scale, -4.0, 4.0))
        with torch.no_grad():
            said = self.network(torch.from_numpy(x.astype(np.float32)))
        return np.asarray(said.softmax(-1)[:, :-1].double().numpy())

    def to_bytes(self) -> bytes:
        """Weights as bytes of a safetensors file."""
        return save({n: v.contiguous() for n, v in self.network.state_dict().items()})


@dataclass(frozen=True)
class Agreement:
    """How a student compares with its teacher on sessions that it was not fitted on.

    Parameters
    ----------
    sessions : int
    rank : float
        Mean Spearman correlation of the sets' weights.
    heaviest : float
        Share of sessions with the same heaviest set.
    regret : float
        Teacher's Sharpe per session less the student's, before the cost of changing mixes.
    bytes : int
        Of the student's weights.
    seconds : float
        Of one proposal.
    """

    sessions: int
    rank: float
    heaviest: float
    regret: float
    bytes: int
    seconds: float


def rows_of(state: Floats) -> Floats:
    """What a student reads at each close: the state, and its averages so far; ``[time, input]``.

    Averages skip what is unknown, and look back only.
    """
    return np.concatenate([state, *(_averaged(state, float(span)) for span in SPANS)], axis=1)


@njit(cache=True, nogil=True)
def _averaged(state: Floats, span: float) -> Floats:
    out = np.empty_like(state)
    for k in range(state.shape[1]):
        last, seen = 0.0, 0.0
        for t in range(state.shape[0]):
            value = state[t, k]
            if not math.isnan(value):
                seen += 1.0
                last += (value - last) / min(seen, span)
            out[t, k] = last
    return out


def distil(rows: Floats, teacher: Floats, *, seed: int, config: TrainConfig) -> Student:
    """Fit a student to what a teacher proposed.

    Parameters
    ----------
    rows : float64, ``[time, input]``
        As of :func:`rows_of`.
    teacher : float64, ``[time, param]``
        Weights at the same closes; what is missing to 1 is cash.
    seed : int
    config : TrainConfig

    Raises
    ------
    NotFittedError
        ``E_TOO_SHORT``: too few proposals.
    """
    if len(rows) < _LEAST:
        raise NotFittedError(
            f"{len(rows)} proposals where a student needs {_LEAST}",
            where="distillation",
            fix="give more history",
            code="E_TOO_SHORT",
        )
    with np.errstate(invalid="ignore"):
        known = np.isfinite(rows)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, rows, 0.0).sum(axis=0) / count
        gap = np.where(known, rows - centre, 0.0)
        scale = np.maximum(np.sqrt((gap**2).sum(axis=0) / count), 1e-8)
    x = torch.from_numpy(np.nan_to_num(np.clip((rows - centre) / scale, -4.0, 4.0)).astype("f4"))
    cash = np.maximum(1.0 - teacher.sum(axis=1, keepdims=True), 0.0)
    y = torch.from_numpy(np.concatenate([teacher, cash], axis=1).astype("f4"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "student") % 2**32)
        network = nn.Sequential(
            nn.Linear(x.shape[1], _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, y.shape[1])
        )
    kept = max(len(rows) // 5, 21)
    learned = len(rows) - kept

    def batches(epoch: int, size: int) -> list[Tensor]:
        order = seeds.generator(seed, f"student/{epoch}").permutation(learned)
        return [torch.from_numpy(order[k : k + size].copy()) for k in range(0, learned, size)]

    def loss(net: nn.Module, at: Tensor) -> tuple[Tensor, Parts]:
        value = divergence(net(x[at]).log_softmax(-1), y[at], temperature=TEMPERATURE)
        return value, {"loss": float(value.detach())}

    def validate(net: nn.Module) -> Parts:
        return {"loss": float(divergence(net(x[learned:]).log_softmax(-1), y[learned:]).detach())}

    train(network, batches, loss, validate, config, seed=seed)
    return Student(network, centre, scale)


def agreement(student: Student, rows: Floats, teacher: Floats, returns: Floats) -> Agreement:
    """Compare a student with its teacher on sessions that it was not fitted on.

    Parameters
    ----------
    student : Student
    rows, teacher : float64
        As of :func:`distil`.
    returns : float64, ``[time, param]``
        Net return of every set in the session after each.
    """
    started = time.perf_counter()
    for row in rows[:20]:
        student.mixes(row[None])
    seconds = (time.perf_counter() - started) / min(len(rows), 20)
    said = student.mixes(rows)
    ranks = [float(spearmanr(a, b).statistic) for a, b in zip(said, teacher, strict=True)]
    earned = [(one * returns).sum(axis=1) for one in (teacher, said)]
    sharpe = [float(one.mean() / max(one.std(), 1e-12)) for one in earned]
    return Agreement(
        sessions=len(rows),
        rank=float(np.nanmean(ranks)),
        heaviest=float((said.argmax(axis=1) == teacher.argmax(axis=1)).mean()),
        regret=sharpe[0] - sharpe[1],
        bytes=len(student.to_bytes()),
        seconds=seconds,
    )
