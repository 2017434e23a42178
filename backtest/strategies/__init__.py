"""Trading rules, one per file. For: pure functions of past bars. Not for: fills or costs."""
