"""Book features: what groups of candidate sets have earned, one family of columns per file."""
