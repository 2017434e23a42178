"""A model on disk: ``weights.safetensors`` and ``config.json``, without pickle.

For: arrays and plain values written whole and read back with a hash that a flipped byte of either
file fails. Not for: what the arrays mean, and not for the model registry, which stores them.
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

from backtest.errors import NotFittedError

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
_NEXT = f".{WEIGHTS}.next"


def write_weights(
    folder: Path, arrays: Mapping[str, npt.NDArray[Any]], values: Mapping[str, Any]
) -> None:
    """Write weights and plain values over those that were there, both or neither.

    The plain values name the weights by their hash. So new weights lie beside the old ones until
    the plain values are replaced, and whoever reads in between finds a pair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _settle(folder)
    weights = save_arrays({name: np.ascontiguousarray(one) for name, one in arrays.items()})
    replace_file(folder / _NEXT, weights)
    told = {**values, "sha256": digest_of(weights, values)}
    replace_file(folder / CONFIG, (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())
    _settle(folder)


def _settle(folder: Path) -> None:
    """Put new weights in the place of the old ones, where the plain values are theirs already."""
    try:
        values = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        written, weights = values.pop("sha256"), (folder / _NEXT).read_bytes()
    except (OSError, ValueError, TypeError, KeyError):
        return  # nothing was begun, or nothing is whole: the old pair stands, or is told unreadable
    if digest_of(weights, values) == written:
        os.replace(folder / _NEXT, folder / WEIGHTS)


def read_weights(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what :func:`write_weights` wrote, also where it was killed on the way.

    Raises
    ------
    NotFittedError
        ``E_WEIGHTS``: a file is missing, cut short or altered.
    """
    try:
        values = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        written = str(values.pop("sha256"))
        there = [path for name in (WEIGHTS, _NEXT) if (path := folder / name).is_file()]
        contents = [path.read_bytes() for path in there] or [(folder / WEIGHTS).read_bytes()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NotFittedError(
            f"no weights can be read: {type(error).__name__}",
            where=str(folder),
            fix="restore the folder, or train again",
            code="E_WEIGHTS",
        ) from error
    for weights in contents:
        if digest_of(weights, values) == written:
            return load_arrays(weights), values
    raise NotFittedError(
        "the weights are not those that were saved",
        where=f"SHA-256 {digest_of(contents[0], values)[:12]} where {written[:12]} was written",
        fix="restore the file, or train again",
        code="E_WEIGHTS",
    )


def digest_of(weights: bytes, values: Mapping[str, Any]) -> str:
    """SHA-256 of weights and plain values, whatever the layout of these."""
    plain = json.dumps(json.loads(json.dumps(values)), sort_keys=True).encode()  # as read back
    return hashlib.sha256(hashlib.sha256(weights).digest() + plain).hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole, in place of the one before."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
