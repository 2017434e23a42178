"""Parts: learners, one per file; they never import each other.

For: the registry ``LEARNERS`` to walk. Not for: shared arithmetic, which lives in ``ml``.
"""
