"""Statistics against fooling yourself.

For: closed forms and resampling about Sharpe ratios. Not for: deciding.
"""
