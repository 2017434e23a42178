"""Files that are whole or not there: temporary name, fsync, rename, SHA-256 beside them.

For: everything that people or other programs read from a home. Not for: the database. A file of
equal content is not rewritten, so its time stamp says when it last changed.

A file and its sidecar cannot be renamed in one step. While a file is being replaced, its sidecar
names the new content and the old; whichever of the two a crash leaves behind is one that it names.
Nor can both be read in one step: what does not fit is read again, until the sidecar stands still.
"""

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StoreError
from pipeline.journal import FULL

if TYPE_CHECKING:
    import polars as pl

SIDECAR = ".sha256"


@dataclass(frozen=True)
class Published:
    """One published file.

    Parameters
    ----------
    path : pathlib.Path
    sha256 : str
        Of its bytes, lower-case hexadecimal.
    written : bool
        False where a file of equal content stood there already.
    """

    path: Path
    sha256: str
    written: bool


def sidecar_of(path: Path) -> Path:
    """Path of the file that holds the SHA-256 of ``path``."""
    return path.with_name(path.name + SIDECAR)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, and rename it to ``path``.

    Raises
    ------
    StoreError
        ``E_STORE_FULL``: no space or a size limit; ``E_HOME``: no right to write. What stood
        there still stands.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        _flush_folder(path.parent)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise StoreError(
            f"a file cannot be written ({error.strerror or error})",
            where=str(path),
            fix="make room or give a writable folder by --home, then run again",
            code="E_STORE_FULL" if error.errno in FULL else "E_HOME",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish_bytes(path: Path, content: bytes) -> Published:
    """Publish ``content`` at ``path`` with its SHA-256 beside it.

    Equal content, with an equal sidecar, is not rewritten. After a crash at any step a reader
    finds the old content or the new one, whole, or no file where there was none.
    """
    digest = hashlib.sha256(content).hexdigest()
    named, held = _standing(path)
    if (named, held) == ((digest,), content):
        return Published(path, digest, written=False)
    _record(path, digest, *named)
    try:
        replace_file(path, content)
    except StoreError:
        if not path.exists():
            sidecar_of(path).unlink(missing_ok=True)
        raise
    if named:
        _record(path, digest)
    return Published(path, digest, written=True)


def _standing(path: Path) -> tuple[tuple[str, ...], bytes]:
    """Read what the sidecar of ``path`` names and what the file holds; nothing unless both are."""
    try:
        return _recorded(path), path.read_bytes()
    except (OSError, StoreError):
        return (), b""


def _record(path: Path, *digests: str) -> None:
    """Write down what ``path`` may hold: one SHA-256, or two while it is being replaced."""
    lines = "".join(f"{one}  {path.name}\n" for one in dict.fromkeys(digests))
    replace_file(sidecar_of(path), lines.encode())


def _recorded(path: Path) -> tuple[str, ...]:
    """Read what was recorded for ``path``."""
    try:
        text = sidecar_of(path).read_bytes().decode("ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    line = rf"([0-9a-f]{{64}})  {re.escape(path.name)}\n"
    if not re.fullmatch(f"({line})+", text):
        raise StoreError(
            "no SHA-256 stands beside the file",
            where=str(path),
            fix="delete it with its .sha256 and run again",
            code="E_CORRUPT",
        )
    return tuple(re.findall(line, text))


def read_published(path: Path) -> bytes:
    """Read a published file after checking its SHA-256, also while it is being replaced.

    Raises
    ------
    StoreError
        ``E_MISSING``: no such file. ``E_CORRUPT``: the bytes are not those that were published.
    """
    before: tuple[str, ...] = ()
    while True:
        content = _held(path)
        found, recorded = hashlib.sha256(content).hexdigest(), _recorded(path)
        if found in (*before, *recorded):
            return content
        if recorded == before:
            raise StoreError(
                f"the file's SHA-256 {found[:12]}... is not the recorded {recorded[0][:12]}...",
                where=str(path),
                fix="delete it with its .sha256 and run again",
                code="E_CORRUPT",
            )
        before = recorded


def _held(path: Path) -> bytes:
    """Read what a file holds, whatever it is."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"a published file cannot be read ({error.strerror or error})",
            where=str(path),
            fix="run again to publish it",
            code="E_MISSING",
        ) from None


def publish_frame(path: Path, frame: "pl.DataFrame") -> Published:
    """Publish a frame as Parquet; the same rows in the same order make the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return publish_bytes(path, buffer.getvalue())


def read_frame(path: Path, *, columns: Sequence[str] = ()) -> "pl.DataFrame":
    """Read a published Parquet file, or some columns of it, after checking its SHA-256."""
    import polars as pl

    return pl.read_parquet(io.BytesIO(read_published(path)), columns=list(columns) or None)


def damaged(folder: Path) -> list[str]:
    """Check every published file under ``folder``; one line for each that cannot be trusted."""
    found = []
    for sidecar in sorted(folder.rglob(f"*{SIDECAR}")):
        try:
            read_published(sidecar.with_name(sidecar.name.removesuffix(SIDECAR)))
        except StoreError as error:
            found.append(str(error))
    return found
