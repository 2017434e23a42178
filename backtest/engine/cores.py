"""The cores of this machine, and work on all of them at once.

For: parts of a sweep that release the interpreter's lock. Not for: dividing work into parts, which
depends on what a part takes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Done = TypeVar("Done")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[range], Done], parts: Sequence[range]) -> Iterator[Done]:
    """Do the parts on all cores and yield results in order, no more under way than cores."""
    count = cores()
    if count == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(count, thread_name_prefix="sweep") as pool:
        under_way = deque(pool.submit(work, part) for part in parts[:count])
        for part in [*parts[count:], *[None] * min(count, len(parts))]:
            result = under_way.popleft().result()
            if part is not None:
                under_way.append(pool.submit(work, part))
            yield result
