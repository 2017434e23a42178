"""Checkpoints of a training on disk, without pickle.

For: finding and keeping them, with a hash that a flipped byte fails. Not for: a trained model
(``ml.weights``).
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from ml.train import Checkpoint
from ml.weights import digest_of, replace_file


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
            known = told["key"], told["sha256"]
            plain = dict(told["plain"])
        except (ValueError, TypeError, KeyError):
            return None
        if known != (self.key, digest_of(body, plain)):
            return None
        tensors = load(body)

        def part(kind: str) -> dict[str, Tensor]:
            start = f"{kind}:"
            return {n[len(start) :]: v for n, v in tensors.items() if n.startswith(start)}

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
        told = {"key": self.key, "sha256": digest_of(body, plain), "plain": plain}
        replace_file(self.folder / f"{name}.safetensors", json.dumps(told).encode() + b"\n" + body)
