"""How long a block of code may wait for a server, all its requests together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ENDS: ContextVar[float | None] = ContextVar("ends", default=None)


@contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """Give up within so many seconds of now, whatever the configured patience, in this thread."""
    before = _ENDS.get()
    ends = time.monotonic() + seconds
    token = _ENDS.set(ends if before is None else min(before, ends))
    try:
        yield
    finally:
        _ENDS.reset(token)


def seconds_left() -> float | None:
    """Return how long may still be waited, at least nothing; None where nobody set an end."""
    ends = _ENDS.get()
    return None if ends is None else max(0.0, ends - time.monotonic())
