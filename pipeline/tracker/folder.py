"""A registered model's folder: ``MLmodel``, ``weights.safetensors``, ``config.json``, no code.

For: writing it, hashing its content, and reading it back with everything else refused. Not for:
the registry itself (``registry``).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[np.generic]]

FLAVOUR = "weathervane"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
DESCRIPTION = "MLmodel"
ALLOWED = frozenset({DESCRIPTION, WEIGHTS, CONFIG})


@dataclass(frozen=True)
class Signature:
    """What a model reads and gives.

    Parameters
    ----------
    inputs, outputs : mapping of str to str
        MLflow type (``double``, ``string``, ``long``, ``boolean``) by column.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Loaded:
    """A model read back, its hash checked.

    Parameters
    ----------
    arrays : dict of str to ndarray
    config : dict
        Plain values.
    name : str
    version : int
    run_id : str, optional
    tags : dict of str to str
    """

    arrays: dict[str, "npt.NDArray[np.generic]"]
    config: dict[str, Any]
    name: str
    version: int
    run_id: str | None
    tags: dict[str, str]


def encode_content(arrays: "Arrays", config: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Bytes of the weights and of the configuration; equal content makes equal bytes.

    Raises
    ------
    ValueError
        A value of the configuration is NaN or infinite.
    """
    import numpy as np
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    text = json.dumps(config, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return save(ordered), f"{text}\n".encode()


def content_sha256(weights: bytes, config: bytes) -> str:
    """SHA-256 over both files."""
    parts = {WEIGHTS: weights, CONFIG: config}
    digests = {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}
    text = json.dumps(digests, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_folder(
    folder: Path, weights: bytes, config: bytes, *, signature: Signature, run_id: str
) -> str:
    """Write the three files; the SHA-256 of the description."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    (folder / WEIGHTS).write_bytes(weights)
    (folder / CONFIG).write_bytes(config)
    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (signature.inputs, signature.outputs)
    )
    model = Model(run_id=run_id, signature=ModelSignature(inputs=inputs, outputs=outputs))
    model.add_flavor(FLAVOUR, weights=WEIGHTS, config=CONFIG, format=1)
    model.save(str(folder / DESCRIPTION))
    return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()


def read_folder(
    folder: Path, *, sha256: str, described: str | None, where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read weights and configuration, after every other file was refused and the hashes checked.

    Parameters
    ----------
    folder : pathlib.Path
    sha256 : str
        Of weights and configuration, as :func:`content_sha256`.
    described : str, optional
        SHA-256 of the description; none for a version registered before it was kept.
    where : str
        Names the model in messages.

    Raises
    ------
    StoreError
        ``E_MODEL_UNSAFE``: another file, a link, or another flavour, any of which could run code.
        ``E_CORRUPT``: a file is gone or not what was registered.
    """
    from safetensors.numpy import load

    _refuse_strangers(folder, where)
    try:
        weights, config = (folder / WEIGHTS).read_bytes(), (folder / CONFIG).read_bytes()
        description = (folder / DESCRIPTION).read_bytes()
        _refuse_flavours(description.decode(), where)
    except (OSError, UnicodeDecodeError) as error:
        raise _corrupt(f"a file cannot be read ({error})", where) from None
    if described not in (None, hashlib.sha256(description).hexdigest()):
        raise _corrupt(f"{DESCRIPTION} is not what was registered", where)
    found = content_sha256(weights, config)
    if found != sha256:
        raise _corrupt(f"SHA-256 {found[:12]} is not the registered {sha256[:12]}", where)
    return load(weights), json.loads(config)


def _refuse_strangers(folder: Path, where: str) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in ALLOWED or path.is_symlink():
            raise _unsafe(f"the model's folder holds {name!r}", where)


def _refuse_flavours(text: str, where: str) -> None:
    """Refuse a description that names any loader but ours."""
    import yaml

    try:
        flavours = yaml.safe_load(text)["flavors"]
        ours = flavours[FLAVOUR]
        files = (ours["weights"], ours["config"])
    except (yaml.YAMLError, KeyError, TypeError):
        raise _corrupt("MLmodel does not describe one of our models", where) from None
    if set(flavours) != {FLAVOUR} or files != (WEIGHTS, CONFIG) or "loader_module" in text:
        raise _unsafe(f"MLmodel names the flavours {sorted(flavours)}", where)


def _unsafe(what: str, where: str) -> StoreError:
    fix = f"only {', '.join(sorted(ALLOWED))} may be there: register the model again"
    return StoreError(what, where=where, fix=fix, code="E_MODEL_UNSAFE")


def _corrupt(what: str, where: str) -> StoreError:
    fix = "run `weathervane run`, or set the alias to an intact version"
    return StoreError(what, where=where, fix=fix, code="E_CORRUPT")
