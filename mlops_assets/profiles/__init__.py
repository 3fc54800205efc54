"""Sketches of a window, how far it moved from the reference, the verdict, and the store."""
