"""Portfolios. For: what a universe of positions weighs. Not for: simulating thousands of sets."""
