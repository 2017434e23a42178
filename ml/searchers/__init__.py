"""Parts: searchers, one family per file; they never import each other.

For: the registry ``SEARCHERS`` to walk. Not for: what they share, which is ``ml.searcher``.
"""
