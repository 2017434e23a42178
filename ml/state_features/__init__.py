"""State features: one family of columns of the market's state per file."""
