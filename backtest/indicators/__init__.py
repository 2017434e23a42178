"""Indicators of one symbol. For: fast kernels and their slow twins. Not for: trading rules."""
