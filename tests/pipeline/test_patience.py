"""Waiting for a source: the bucket, attempts, the breaker, in a time that only sleep moves."""

import random

import pytest

from backtest.errors import ProviderUnavailable
from pipeline.collecting.patience import Breaker, Bucket, persist
from pipeline.feed import Limits, RateLimited
from tests.pipeline.paper_feed import Time, failing


def test_a_bucket_lets_the_burst_out_and_then_keeps_the_rate():
    time = Time()
    bucket = Bucket(Limits(rate_per_s=2.0, burst=3, concurrent=1), time.clock())
    for _ in range(7):
        bucket.take()
    assert time.at == pytest.approx((7 - 3) / 2.0)
    bucket.pause(10.0)
    bucket.take()
    assert time.at == pytest.approx(12.0)


def test_waits_double_with_jitter_and_the_source_is_believed_about_its_own():
    time = Time()
    bucket = Bucket(Limits(1e9, 100, 1), time.clock())
    told = {"bucket": bucket, "breaker": Breaker(9), "clock": time.clock()}

    def down():
        raise ProviderUnavailable("HTTP 500")

    with pytest.raises(ProviderUnavailable, match="HTTP 500"):
        persist(down, attempts=4, first_wait_s=1.0, jitter=random.Random(1), **told)
    assert len(time.slept) == 3
    for wait, most in zip(time.slept, (1.0, 2.0, 4.0), strict=True):
        assert most / 2 <= wait <= most
    patient = failing(1, RateLimited("429", after_s=7.0))
    at = time.at
    persist(lambda: patient(None), attempts=2, first_wait_s=1.0, jitter=random.Random(1), **told)
    assert time.at - at == pytest.approx(7.0)


def test_an_open_breaker_asks_nobody():
    time, breaker = Time(), Breaker(2)
    breaker.note(failed=True)
    breaker.note(failed=False)
    breaker.note(failed=True)
    assert not breaker.open
    breaker.note(failed=True)
    with pytest.raises(ProviderUnavailable, match="not asked: 2 symbols in a row"):
        persist(
            lambda: pytest.fail("asked"),
            bucket=Bucket(Limits(1.0, 1, 1), time.clock()),
            breaker=breaker,
            attempts=3,
            first_wait_s=1.0,
            clock=time.clock(),
            jitter=random.Random(0),
        )
