"""Dagster's SQLite connections, kept open while one process plays many runs.

Dagster opens and closes a database for each question and for each event, thousands of times in a
replay, and builds SQLAlchemy's engine and its compiled statements anew each time. One process that
plays alone can keep them: a replay takes a third less time.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

# Dagster offers no setting for it: both modules look the function up by this name, and where a
# later release does not, its connections are opened and closed as ever
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy.pool import QueuePool

OPEN = 16  # databases: each run has one of its own, and only the newest are asked again
_NAME = "create_engine"


class _Kept(QueuePool):
    """A pool that stays when its engine is disposed of, as Dagster does after each question."""

    def dispose(self) -> None:
        """Keep the connections."""

    def recreate(self) -> _Kept:
        """Return the same pool."""
        return self

    def close(self) -> None:
        """Close the connections that nobody uses."""
        super().dispose()


class _Engines:
    """The engines of this process by database, the least recently used first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], sa.Engine] = OrderedDict()

    def create_engine(self, url: str, **options: Any) -> sa.Engine:
        """Return the engine of a database; options as SQLAlchemy's, but for the pool's class."""
        key = (os.getpid(), url)  # a connection doesn't survive a fork
        if key not in self._kept:
            self._kept[key] = sa.create_engine(url, **{**options, "poolclass": _Kept})
        self._kept.move_to_end(key)
        while len(self._kept) > OPEN:
            self._close(self._kept.popitem(last=False)[1])
        return self._kept[key]

    def close(self) -> None:
        """Close all connections."""
        while self._kept:
            self._close(self._kept.popitem()[1])

    @staticmethod
    def _close(engine: sa.Engine) -> None:
        if isinstance(engine.pool, _Kept):
            engine.pool.close()


@contextmanager
def kept_open() -> Iterator[None]:
    """Keep Dagster's SQLite connections open until the end of the block, then close them."""
    engines = _Engines()
    modules = [
        module
        for module in (sqlite_event_log, sqlite_run_storage)
        if getattr(module, _NAME, None) is sa.create_engine
    ]
    for module in modules:
        setattr(module, _NAME, engines.create_engine)
    try:
        yield
    finally:
        for module in modules:
            setattr(module, _NAME, sa.create_engine)
        engines.close()
