"""Asking a remote source for a whole universe, and keeping what it says.

For: ``fetch`` and its parts, under one name. Not for: how one question is asked
(``pipeline.feed``) or how answers are kept (``pipeline.store.quotes``).
"""

from pipeline.collecting.collect import collect
from pipeline.collecting.collected import Collected
from pipeline.collecting.fetching import fetch
from pipeline.collecting.rows import raw_bars

__all__ = ["Collected", "collect", "fetch", "raw_bars"]
