"""The declared expressions, on a batch or on one row."""
