"""Weights on disk: ``weights.safetensors`` and ``config.json``, and checkpoints of a training.

For: saving and loading without pickle, with a hash that a flipped byte fails. Not for: the model
registry, which stores what is written here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load, save
from torch import Tensor

from backtest.errors import NotFittedError
from ml.train import Checkpoint

WEIGHTS, CONFIG = "weights.safetensors", "config.json"


def write_weights(
    folder: Path, arrays: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Any]
) -> None:
    """Write weights and plain values; these come last, so half a folder is never taken for one."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = save_arrays({name: np.ascontiguousarray(one) for name, one in arrays.items()})
    _replace(folder / WEIGHTS, weights)
    told = {**values, "sha256": hashlib.sha256(weights).hexdigest()}
    _replace(folder / CONFIG, (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())


def read_weights(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what :func:`write_weights` wrote.

    Raises
    ------
    NotFittedError
        ``E_WEIGHTS``: a file is missing, cut short or altered.
    """
    try:
        values = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        weights = (folder / WEIGHTS).read_bytes()
        written = str(values["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise NotFittedError(
            f"no weights can be read: {type(error).__name__}",
            where=str(folder),
            fix="restore the folder, or train again",
            code="E_WEIGHTS",
        ) from error
    found = hashlib.sha256(weights).hexdigest()
    if found != written:
        raise NotFittedError(
            "the weights are not those that were saved",
            where=f"SHA-256 {found[:12]} where {written[:12]} was written",
            fix="restore the file, or train again",
            code="E_WEIGHTS",
        )
    return load_arrays(weights), values


class CheckpointFolder:
    """Checkpoints in a folder, one file each, replaced whole.

    Parameters
    ----------
    folder : pathlib.Path
    key : str
        Of what is trained; a checkpoint with another key is as if it were not there.
    """

    def __init__(self, folder: Path, key: str):
        self.folder, self.key = folder, key

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint kept last under a name; None where there is none that can be read."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            return None
        content = path.read_bytes()
        head, body = content.split(b"\n", 1) if b"\n" in content else (b"", b"")
        try:
            told = json.loads(head)
        except ValueError:
            return None
        if told.get("key") != self.key or told.get("sha256") != hashlib.sha256(body).hexdigest():
            return None
        tensors = load(body)

        def part(kind: str) -> dict[str, Tensor]:
            start = f"{kind}:"
            return {n[len(start) :]: v for n, v in tensors.items() if n.startswith(start)}

        plain = told["plain"]
        return Checkpoint(
            weights=part("weights"), best=part("best"), optimiser=part("optimiser"), **plain
        )

    def keep(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, in place of the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        groups = ("weights", "best", "optimiser")
        body = save(
            {
                f"{kind}:{n}": v.contiguous().cpu().clone()
                for kind in groups
                for n, v in getattr(checkpoint, kind).items()
            }
        )
        plain = {name: value for name, value in vars(checkpoint).items() if name not in groups}
        told = {"key": self.key, "sha256": hashlib.sha256(body).hexdigest(), "plain": plain}
        _replace(self.folder / f"{name}.safetensors", json.dumps(told).encode() + b"\n" + body)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
