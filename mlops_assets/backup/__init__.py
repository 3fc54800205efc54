"""A home as one file: taken while it is in use, and restored whole or not at all."""
