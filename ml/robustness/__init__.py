"""How far the result of a walk-forward can be trusted.

For: what stands beside a walk-forward's evidence. Not for: deciding; no decision reads any of it.
"""
