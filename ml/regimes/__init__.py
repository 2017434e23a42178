"""Regime models, one per file. For: filtered probabilities. Not for: smoothed or decoded paths."""
