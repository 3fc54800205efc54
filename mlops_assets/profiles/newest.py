"""The newest row per key, kept in a process and brought up to date by what came in since."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mlops_assets.profiles import records
from mlops_assets.profiles.index import Index, State

Rows = Mapping[Any, Mapping[str, Any]]

_SETTLED_SECONDS = 0.1  # a file changed again within a tick of the clock keeps its time


class Newest:
    """Some columns of the newest row per key of one kind and model."""

    def __init__(self, kind: str, model: str, columns: Sequence[str]) -> None:
        self.lock = threading.Lock()
        self.rows: Rows = MappingProxyType({})
        self._kind, self._model = kind, model
        keys = [field.name for field in records.fields_of(kind) if field.key]
        self._key = [name for name in keys if name != "model"]
        self._columns = tuple(dict.fromkeys((*self._key, *columns)))
        self._order: dict[Any, tuple[Any, str]] = {}
        self._state = State("", 0)
        self._stamp: tuple[int, int, int] | None = None

    def is_current(self, index: Index) -> bool:
        """Whether the index was not touched since these rows were read."""
        try:
            return self._stamp is not None and index.stamp() == self._stamp
        except FileNotFoundError:
            return False

    def bring_up_to_date(self, index: Index) -> Rows:
        """Read what came in since, under the store's lock; all of it after another making."""
        stamp = index.stamp()
        if index.state().making != self._state.making:
            self.rows, self._order, self._state = MappingProxyType({}), {}, State("", 0)
        columns = tuple(dict.fromkeys(("recorded_at", "record_id", *self._columns)))
        self._state, found = index.select(
            self._kind, columns, {"model": self._model}, self._state.last_event
        )
        if found.height:
            rows = dict(self.rows)  # whoever holds the mapping of before keeps it
            for row in records.read_back(self._kind, found):
                key = tuple(row[name] for name in self._key)
                key = key[0] if len(key) == 1 else key
                order = (row["recorded_at"], row["record_id"])
                if key not in rows or order >= self._order[key]:
                    self._order[key] = order
                    rows[key] = {name: row[name] for name in self._columns}
            self.rows = MappingProxyType(rows)
        old = time.time_ns() - stamp[1] > _SETTLED_SECONDS * 1e9
        self._stamp = stamp if old else None
        return self.rows
