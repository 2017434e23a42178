"""Extractors: one network from windows of the market's state to features per file."""
