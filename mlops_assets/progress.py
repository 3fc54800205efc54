"""How far a long piece of work is, told to whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told by a room what it does; the command line shows it on stderr."""

    def begin(self, steps: int) -> None:
        """Begin to count: so many steps are to come."""

    def tell(self, what: str) -> None:
        """Say what is worked on now."""

    def step(self, what: str) -> None:
        """Count a step as done, and say which."""

    def note(self, line: str) -> None:
        """Say what shall stay to be read, also when the work has ended."""
