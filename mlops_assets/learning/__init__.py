"""Training set, training, metrics and comparison: pure functions on Polars frames."""
