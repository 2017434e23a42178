"""Threads that ask one source, with one bucket and one breaker for all of them.

For: bounded concurrency. Not for: manners (``patience``) or what is done with an answer
(``collect``).
"""

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

from backtest.errors import ConfigError, ProviderUnavailable, WeathervaneError
from pipeline.collecting.patience import Breaker, Bucket, Clock, persist
from pipeline.feed import Answer, Limits, Line, Question

if TYPE_CHECKING:
    from pipeline.config import FeedConfig

AHEAD = 64
"""Questions that are handed to the threads at once: they go on asking while answers are kept."""

SWITCH_S = 0.05
"""How long a thread may keep the interpreter from the others: reading an answer is all that most
questions cost, so that switching ten times within one only adds to it."""


class Asker:
    """Asks questions of an open feed.

    Parameters
    ----------
    line : Line
    told : FeedConfig
    limits : Limits
    clock : Clock
    """

    def __init__(self, line: Line, told: "FeedConfig", limits: Limits, clock: Clock):
        self.line, self.told, self.limits, self.clock = line, told, limits, clock
        self.bucket = Bucket(limits, clock)
        self.breaker = Breaker(told.give_up_after)

    def ask(
        self, questions: Sequence[Question], report: Callable[[int, int], None]
    ) -> Iterable[tuple[Question, Answer | WeathervaneError]]:
        """Yield each question with its answer or its error, as they come in."""
        left = list(reversed(questions))
        under_way: dict[Future[Answer | WeathervaneError], Question] = {}
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        pool = ThreadPoolExecutor(self.limits.concurrent, thread_name_prefix="feed")
        try:
            while left or under_way:
                while left and len(under_way) < AHEAD:
                    question = left.pop()
                    under_way[pool.submit(self._one, question)] = question
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    question = under_way.pop(future)
                    yield question, future.result()
                    report(len(questions) - len(left) - len(under_way), len(questions))
        finally:
            sys.setswitchinterval(before)
            pool.shutdown(cancel_futures=True)  # who stops early waits for those under way alone

    def _one(self, question: Question) -> Answer | WeathervaneError:
        try:
            answer = persist(
                partial(self.line.ask, question),
                bucket=self.bucket,
                breaker=self.breaker,
                attempts=self.told.attempts,
                first_wait_s=self.told.first_wait_s,
                clock=self.clock,
                jitter=random.Random(question.symbol),
            )
        except ConfigError:
            raise
        except WeathervaneError as error:
            self.breaker.note(failed=isinstance(error, ProviderUnavailable))
            return error
        self.breaker.note(failed=False)
        return answer
