"""The database of a home: bars and results, in every version that was ever known.

For: ``Store`` and what it returns, under one name. Not for: files that people read (``publish``).
"""

from pipeline.store.slices import Store
from pipeline.store.snapshot import content_hash
from pipeline.store.upsert import RowAccount

__all__ = ["RowAccount", "Store", "content_hash"]
