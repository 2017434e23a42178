"""Engines. For: fills, costs, accounts and books. Not for: trading rules or choosing sets."""
