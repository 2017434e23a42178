"""What leaves the decision path: records, gate, transition, document.

For: the formulas and shapes of an export. Not for: files, which belong to ``pipeline``.
"""
