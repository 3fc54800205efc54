"""The person at the command line."""

from __future__ import annotations

import getpass


def who() -> str:
    """Return the name of the person at the command line, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"
