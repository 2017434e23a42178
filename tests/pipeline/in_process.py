"""For: a pool of processes that is none, so that what tasks call can be exchanged.

Not for: speed.
"""

from collections.abc import Callable
from concurrent.futures import Future


class Pool:
    """Do what is submitted at once, in this process."""

    def __init__(self, *_: object, **__: object):
        pass

    def submit(self, work: Callable[[], object]) -> Future:
        future: Future = Future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_: object) -> None:
        pass
