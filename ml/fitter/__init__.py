"""The neural fitter: from the market's state to a mix of parameter sets."""
