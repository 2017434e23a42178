"""Progress of long work, told as how many of how many steps are done.

For: the loops of the engine. Not for: showing it.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """Return what counts one step and reports it."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick
