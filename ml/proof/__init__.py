"""Proofs on markets whose truth is known.

For: showing that no part sees the future. Not for: anything that a decision reads.
"""
