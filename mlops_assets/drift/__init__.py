"""How far a window moved from the reference, and the verdict."""
