"""What all tests share: examples that hypothesis draws have no deadline, time is for benchmarks."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
