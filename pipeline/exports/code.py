"""Which code is running: version, revision of the source and the locked requirements.

For: the ``code`` part of a document and the tags of a run. Not for: comparing revisions.
"""

import functools
import hashlib
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.export.document import CodeFacts

ROOT = Path(__file__).parents[2]
ROOMS = ("backtest", "ml", "pipeline", "assets")
LOCK = "requirements.lock"
_GIT_S = 10.0


@functools.cache
def code_facts() -> "CodeFacts":
    """Describe the running code, once for each process.

    ``revision`` is the last commit that changed its rooms, where they are exactly as committed (a
    commit to anything else leaves it as it is); otherwise, and where there is no git, ``source-``
    and the start of the SHA-256 of the source files.
    """
    from ml.export.document import CodeFacts

    lock = ROOT / LOCK
    try:
        released = version("weathervane")
    except PackageNotFoundError:
        released = "unknown"
    return CodeFacts(
        version=released,
        revision=_commit() or f"source-{source_sha256()[:16]}",
        lock=hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
    )


def running_revision() -> str:
    """Revision of the running code; its version where there is none."""
    code = code_facts()
    return str(code.revision or code.version)


@functools.cache
def source_sha256(rooms: tuple[str, ...] = ROOMS) -> str:
    """SHA-256 over paths and content of all Python and TOML files of the rooms."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".toml") and path.is_file():
                digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _commit() -> str | None:
    """Last commit to the rooms; none where they were changed since, or without a git checkout."""
    if not (ROOT / ".git").exists():
        return None
    changed = _git("status", "--porcelain", "--", *ROOMS)
    last = _git("log", "-1", "--format=%H", "--", *ROOMS)
    return last if last and changed == "" else None


def _git(*arguments: str) -> str | None:
    """Ask git; none where it does not answer."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
