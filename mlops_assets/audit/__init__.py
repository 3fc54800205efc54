"""Verify: everything that something recorded refers to is there and whole."""
