"""Distillation: a small network that says what a large teacher would, and what it loses by that.

For: fitting the student to proposals that the teacher made at past closes, and measuring rank
agreement, regret and size. Not for: teaching on sessions that the teacher had learned from: its
proposals are taken as they were.

The student reads one row, not a year: averages of the market's state over a week, a month and a
quarter. The state itself would make its mix change four times as much as the teacher's. Loss:
Kullback-Leibler divergence at temperature 2 (Hinton, Vinyals and Dean, 2015).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from scipy.stats import spearmanr
from torch import Tensor, nn

from backtest import seeds
from backtest.errors import NotFittedError
from backtest.evidence.robustness import shortfall_bound
from backtest.params import ParamGrid
from ml.fitter.run import one_thread
from ml.learner import heaviest
from ml.losses import divergence
from ml.train import Parts, TrainConfig, train
from ml.weights import read_weights, write_weights

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

TEMPERATURE = 2.0
SPANS = (5, 21, 63)
TRAINING = TrainConfig(epochs=60, batch=64, rate=3e-3)
"""How a student is fitted."""
LEAST = 126
"""Proposals that a student needs."""
_HIDDEN = 32


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
        with torch.no_grad(), one_thread():
            said = self.network(torch.from_numpy(_scaled(rows, self.centre, self.scale)))
        return np.asarray(said.softmax(-1)[:, :-1].double().numpy())

    def arrays(self) -> dict[str, Array]:
        """Weights by name, for a safetensors file."""
        layers = {name: one.detach().numpy() for name, one in self.network.state_dict().items()}
        return {**layers, "centre": self.centre, "scale": self.scale}

    def save(self, folder: Path, *, columns: Sequence[str], grid: ParamGrid) -> None:
        """Write ``weights.safetensors`` and ``config.json`` into a folder.

        Parameters
        ----------
        folder : pathlib.Path
        columns : sequence of str
            Of the market's state that its rows are made of.
        grid : ParamGrid
            Candidate sets that it weighs.
        """
        told = {"model": "student", "columns": list(columns), "sets": grid.rows()}
        write_weights(folder, self.arrays(), told)

    @classmethod
    def load(cls, folder: Path, *, columns: Sequence[str], grid: ParamGrid) -> Student:
        """Read what :meth:`save` wrote.

        Raises
        ------
        NotFittedError
            ``E_WEIGHTS``: a file is missing, cut short or altered. ``E_SCHEMA``: the folder holds
            another model, or columns or candidate sets are not those that it was taught on.
        """
        arrays, told = read_weights(folder)
        if told.get("model") != "student":
            raise NotFittedError(
                "the folder holds no student",
                where=str(told.get("model", "of no name")),
                fix="give the folder of a student, or distil one",
                code="E_SCHEMA",
            )
        given: dict[str, list[Any]] = {"columns": list(columns), "sets": grid.rows()}
        for what, now in given.items():
            if now != told[what]:
                raise NotFittedError(
                    f"the student was taught on {len(told[what])} {what} that are not these",
                    where=f"{sum(one not in told[what] for one in now)} of {len(now)} are new",
                    fix="give what it was taught on, or distil again",
                    code="E_SCHEMA",
                )
        centre, scale = arrays.pop("centre"), arrays.pop("scale")
        network = _built(len(centre), grid.size + 1)
        network.load_state_dict({name: torch.from_numpy(one) for name, one in arrays.items()})
        return cls(network, centre, scale)


@dataclass(frozen=True)
class Agreement:
    """How a student compares with its teacher on sessions that it was not fitted on.

    Parameters
    ----------
    sessions : int
    rank : float or None
        Mean Spearman correlation of the sets' weights; None where they were all alike.
    heaviest : float or None
        Share of the sessions on which the teacher held something, with the same heaviest set.
    overlap : float
        Mean part of the capital that both hold in the same sets, or both in cash.
    teacher_sharpe, student_sharpe : float
        Per session, less what changing the mix costs.
    regret : float
        The teacher's less the student's.
    regret_bound : float or None
        95 % upper bound of it, sessions drawn in blocks; None where either never moved.
    """

    sessions: int
    rank: float | None
    heaviest: float | None
    overlap: float
    teacher_sharpe: float
    student_sharpe: float
    regret: float
    regret_bound: float | None


def rows_of(state: Floats) -> Floats:
    """What a student reads at each close: averages of the state so far; ``[time, input]``.

    They skip what is unknown, and look back only.
    """
    return np.concatenate([_averaged(state, float(span)) for span in SPANS], axis=1)


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


def distil(rows: Floats, teacher: Floats, *, seed: int, config: TrainConfig = TRAINING) -> Student:
    """Fit a student to what a teacher proposed.

    Parameters
    ----------
    rows : float64, ``[time, input]``
        As of :func:`rows_of`.
    teacher : float64, ``[time, param]``
        Weights at the same closes; what is missing to 1 is cash.
    seed : int
    config : TrainConfig, optional

    Raises
    ------
    NotFittedError
        ``E_TOO_SHORT``: too few proposals.
    """
    if len(rows) < LEAST:
        raise NotFittedError(
            f"{len(rows)} proposals where a student needs {LEAST}",
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
    x = torch.from_numpy(_scaled(rows, centre, scale))
    y = torch.from_numpy(_whole(teacher).astype("f4"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "student") % 2**32)
        network = _built(x.shape[1], y.shape[1])
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

    with one_thread():
        train(network, batches, loss, validate, config, seed=seed)
    return Student(network, centre, scale)


def _built(inputs: int, outputs: int) -> nn.Sequential:
    """A network with one hidden layer; the last output is cash."""
    return nn.Sequential(nn.Linear(inputs, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, outputs))


def _scaled(rows: Floats, centre: Floats, scale: Floats) -> npt.NDArray[np.float32]:
    """Rows in units of those fitted on; unknown is average; float32."""
    return np.nan_to_num(np.clip((rows - centre) / scale, -4.0, 4.0)).astype(np.float32)


def agreement(
    teacher: Floats, student: Floats, returns: Floats, *, cost: float = 0.0, seed: int = 0
) -> Agreement:
    """Compare a student's mixes with its teacher's on sessions that it was not fitted on.

    Parameters
    ----------
    teacher, student : float64, ``[time, param]``
        The student's as of :func:`held`: among weights that are all above 0 those that the teacher
        does not hold would have an order that it never gave them.
    returns : float64, ``[time, param]``
        Net return of every set in the session after each.
    cost : float
        Per side, decimal, of what changes in a mix.
    seed : int
        Of the bound.
    """
    taught = teacher.any(axis=1)
    same = student.argmax(axis=1) == teacher.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sessions on which all weights are alike
        ranks = np.array(
            [spearmanr(a, b).statistic for a, b in zip(student, teacher, strict=True)], dtype=float
        )
    known = np.isfinite(ranks)
    streams = [earned(one, returns, cost) for one in (teacher, student)]
    sharpe = [float(one.mean() / max(one.std(), 1e-12)) for one in streams]
    return Agreement(
        sessions=len(teacher),
        rank=float(ranks[known].mean()) if known.any() else None,
        heaviest=float(same[taught].mean()) if taught.any() else None,
        overlap=float(np.minimum(_whole(teacher), _whole(student)).sum(axis=1).mean()),
        teacher_sharpe=sharpe[0],
        student_sharpe=sharpe[1],
        regret=sharpe[0] - sharpe[1],
        regret_bound=shortfall_bound(streams[0], streams[1], seed=seed),
    )


def _whole(mixes: Floats) -> Floats:
    """Weights with cash as the last column; ``[time, param + 1]``."""
    cash = np.maximum(1.0 - mixes.sum(axis=1, keepdims=True), 0.0)
    return np.concatenate([mixes, cash], axis=1)


def held(student: Student, rows: Floats, members: int = 16) -> Floats:
    """A student's mixes, each cut to its heaviest sets; ``[row, param]``."""
    return np.stack([heaviest(one, members) for one in student.mixes(rows)])


def earned(mixes: Floats, returns: Floats, cost: float) -> Floats:
    """Return of each session's mix, less the cost of changing into it; ``[time]``.

    Parameters
    ----------
    mixes, returns : float64, ``[time, param]``
        Returns are of the session after each close.
    cost : float
        Per side, decimal.
    """
    net: Floats = (mixes * returns).sum(axis=1)
    net[1:] -= cost * np.abs(np.diff(mixes, axis=0)).sum(axis=1)
    return net


def seconds_of(student: Student, rows: Floats, *, calls: int = 50) -> float:
    """Processor time of one proposal from one row; another number at every call of this."""
    started = time.thread_time()
    for k in range(calls):
        student.mixes(rows[k % len(rows)][None])
    return (time.thread_time() - started) / calls


def size_of(part: Any) -> int:
    """Bytes of the arrays and texts that something keeps: a student, or a learner's selection.

    What has ``arrays`` is as large as these, an online model as its journal; what has none, and is
    no plain container, counts nothing.
    """
    if isinstance(part, np.ndarray):
        return int(part.nbytes)
    if isinstance(part, str):
        return len(part.encode())
    if hasattr(part, "arrays"):
        return size_of(part.arrays())
    if isinstance(part, Mapping):
        return sum(size_of(one) for one in part.values())
    if isinstance(part, tuple | list):
        return sum(size_of(one) for one in part)
    if is_dataclass(part):
        return sum(size_of(getattr(part, one.name)) for one in fields(part))
    return 0
