"""How time is split into training and test.

For: folds that keep the future out. Not for: fitting or judging anything.
"""
