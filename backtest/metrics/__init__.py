"""Metrics, a file per family. For: one definition each. Not for: tests against overfitting."""
