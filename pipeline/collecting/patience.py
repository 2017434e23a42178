"""Manners towards a source: how fast, how often, and when to leave it alone.

For: a token bucket shared by all threads, attempts with doubling waits and jitter, and a circuit
breaker. Not for: what is asked (``collect``) or what an answer means (``compare``).
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from backtest.errors import ProviderUnavailable
from pipeline.feed import Limits, RateLimited

T = TypeVar("T")

LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Clock:
    """Time as the waits see it; a test hands in its own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Bucket:
    """A token bucket: ``burst`` questions at once, ``rate_per_s`` in the long run.

    Parameters
    ----------
    limits : Limits
    clock : Clock
    """

    def __init__(self, limits: Limits, clock: Clock):
        self._rate, self._most, self._clock = limits.rate_per_s, float(limits.burst), clock
        self._tokens, self._filled_at = self._most, clock.now()
        self._closed_until = clock.now()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a token, and until a pause is over."""
        while (wait := self._try()) > 0.0:
            self._clock.sleep(wait)

    def _try(self) -> float:
        """Take a token and return 0, or return how long to wait for one, seconds."""
        with self._lock:
            now = self._clock.now()
            if now < self._closed_until:
                return self._closed_until - now
            grown = self._tokens + (now - self._filled_at) * self._rate
            self._tokens, self._filled_at = min(self._most, grown), now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return 0.0
            return (1.0 - self._tokens) / self._rate

    def pause(self, seconds: float) -> None:
        """Let no question out for some time, whichever thread asks it."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock.now() + seconds)


@dataclass
class Breaker:
    """Counts failures in a row; when there are too many, nobody asks any more.

    Parameters
    ----------
    give_up_after : int
    """

    give_up_after: int
    failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def open(self) -> bool:
        """Whether the source is left alone."""
        return self.failures >= self.give_up_after

    def note(self, *, failed: bool) -> None:
        """Count one symbol that was answered or not."""
        with self._lock:
            if not self.open:
                self.failures = self.failures + 1 if failed else 0


def persist(
    ask: Callable[[], T],
    *,
    bucket: Bucket,
    breaker: Breaker,
    attempts: int,
    first_wait_s: float,
    clock: Clock,
    jitter: random.Random,
) -> T:
    """Ask until there is an answer, at most ``attempts`` times.

    Only what may pass by itself is asked again. Waits double, each shortened at random by up to
    half so that threads do not return together; a source that says how long is believed, and all
    threads wait with it.

    Raises
    ------
    ProviderUnavailable
        The last attempt's, or that the breaker has opened meanwhile.
    """
    for attempt in range(attempts):
        if breaker.open:
            break
        bucket.take()
        try:
            return ask()
        except ProviderUnavailable as error:
            if attempt + 1 == attempts:
                raise
            wait = first_wait_s * 2.0**attempt * (0.5 + 0.5 * jitter.random())
            if isinstance(error, RateLimited):
                bucket.pause(min(error.after_s or wait, LONGEST_WAIT_S))
            else:
                clock.sleep(min(wait, LONGEST_WAIT_S))
    raise ProviderUnavailable(
        f"not asked: {breaker.failures} symbols in a row had no answer",
        fix="try again later",
    )
