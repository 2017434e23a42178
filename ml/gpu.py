"""What a training asks of its device: repeatable algorithms, half width, memory, and its speed.

For: the training loop and its settings ``deterministic``, ``bf16`` and ``compiled``. Not for:
choosing a device, or sweeps (``backtest.sweep`` has a socket of its own for those).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from backtest.errors import ConfigError


@contextmanager
def told_memory() -> Iterator[None]:
    """Say in one line that a GPU's memory is exhausted.

    Raises
    ------
    ConfigError
        ``E_DEVICE``.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            "the GPU's memory does not hold what it is asked for",
            where=str(error).splitlines()[0],
            fix="free its memory, or give device cpu",
            code="E_DEVICE",
        ) from error


@contextmanager
def repeatable(device: str, *, wanted: bool) -> Iterator[None]:
    """Allow only algorithms that give the same bits each time; afterwards as before.

    The CPU's are so without it. On a GPU an operation without such an algorithm is an error of
    Torch, never a silent difference.
    """
    if device == "cpu" or not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats with a fixed one
    before = torch.are_deterministic_algorithms_enabled()
    tuned = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = tuned


def half_width(device: str, *, wanted: bool) -> AbstractContextManager[Any]:
    """Multiply in bfloat16; weights, sums and losses stay in float32."""
    return torch.autocast(device, dtype=torch.bfloat16) if wanted else nullcontext()


class Speed:
    """How fast epochs go by, and how busy the GPU was; for the log, never for a decision.

    Parameters
    ----------
    device : str
    """

    def __init__(self, device: str):
        self.device, self._last = device, time.perf_counter()

    def lap(self, samples: int) -> str:
        """Say what the time since the last lap came to.

        Parameters
        ----------
        samples : int
            Decisions that were learned from in it.
        """
        now = time.perf_counter()
        rate = samples / max(now - self._last, 1e-9)
        self._last = now
        told = f"{rate:,.0f} samples per second"
        if self.device == "cpu":
            return told
        held = torch.cuda.max_memory_allocated() / 2**30
        return f"{told}, {_busy()}, {held:.1f} GiB of its memory at most"


def _busy() -> str:
    """Share of the last moments in which the GPU worked, where its driver can be asked."""
    try:
        return f"GPU {torch.cuda.utilization()} % busy"
    except Exception as error:  # a driver that cannot be asked must not end a training
        return f"GPU's utilisation unknown ({type(error).__name__})"
