"""What keeps contents by name: a folder today; object storage or a database would be its siblings.

Whoever adds one runs `tests/records/test_backend_contract.py` over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Backend(Protocol):
    """Contents by name, each added once, whole or absent, and never changed.

    Any number of processes and machines may use one at the same moment. Every method raises OSError
    where the place can't be reached or written.
    """

    def add_if_absent(self, name: str, content: bytes) -> bool:
        """Add a content under a name that has none; return whether this call added it.

        Of several calls with one name, also at the same moment, exactly one returns True. What was
        added is whole, and survives a power cut, from the moment the call returns.
        """

    def names(self) -> list[str]:
        """Return every name, in no order."""

    def read(self, name: str) -> bytes:
        """Return the content of a name; raises FileNotFoundError where it has none."""


class IndexedBackend(Backend, Protocol):
    """A backend that remembers, for whoever keeps an index over it, how far the index is."""

    def unindexed(self) -> list[str]:
        """Return the names that were added and not marked since, the oldest first."""

    def is_unindexed(self, name: str) -> bool:
        """Whether `unindexed` would return a name."""

    def mark_indexed(self, names: Iterable[str]) -> None:
        """Let `unindexed` leave these names out; names that it doesn't know change nothing."""

    def indexed(self) -> list[str]:
        """Return the names that were marked, in no order."""

    def is_indexed(self, name: str) -> bool:
        """Whether a name was marked."""

    def set_aside(self, name: str) -> str:
        """Take away what others put there and is no record; return where it is kept now."""
