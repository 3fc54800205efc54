"""Sketches of a window: whylogs profiles from Polars, in whylogs' own format."""
