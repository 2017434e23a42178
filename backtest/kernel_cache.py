"""A cache of compiled kernels for each state of their sources.

For: kernels that call kernels of other files. Numba's cache looks at the file of a kernel alone, so
that a change in another one, by an update for example, would leave old machine code at work. Not
for: what is cached (``njit(cache=True)``), and not for filling it (``pipeline.warm``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

PREFIX = "weathervane-"
SOURCES = Path(__file__).parent


def keep_apart() -> None:
    """Choose the folder of these sources; to be called before any kernel is defined.

    It lies in ``NUMBA_CACHE_DIR`` where that is set, else beside the sources, else, where those
    cannot be written, among the user's caches.
    """
    folder = str(_base() / f"{PREFIX}{_digest()}")
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder


def drop_others() -> None:
    """Remove the kernels of other sources from the folder in use."""
    current = Path(os.environ["NUMBA_CACHE_DIR"])
    for folder in current.parent.glob(f"{PREFIX}*"):
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked:
        # A child of a process that has chosen already: the same base.
        return Path(asked).parent if Path(asked).name.startswith(PREFIX) else Path(asked)
    beside = SOURCES / "__pycache__"
    writable = os.access(beside if beside.exists() else SOURCES, os.W_OK)
    return beside if writable else Path.home() / ".cache" / "weathervane"


def _digest() -> str:
    told = hashlib.blake2b(digest_size=8)
    for path in sorted(SOURCES.glob("*/*.py")):
        text = path.read_bytes()
        if b"njit" in text or b"intrinsic" in text:
            told.update(path.name.encode() + b"\0" + text)
    return told.hexdigest()
