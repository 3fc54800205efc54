"""What a process has read of the index, good until something of the same kind comes in.

Sensors ask the same every few seconds, and nearly always nothing came. Then the answer is the one
of before, and neither the index nor history is looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from mlops_assets.records import kinds
from mlops_assets.records.index import Index, Stamp, State, values_of
from mlops_assets.records.record import Record, keys_of

_FEW_ROWS = 1000  # more are read again
_FEW_ANSWERS = 500

_OF_ROOT: dict[Path, Memory] = {}
_of_root = threading.Lock()


@dataclass
class Memory:
    """Of one store; shared by all threads of the process."""

    newest: dict[Hashable, Newest] = field(default_factory=dict)
    _seen: tuple[Stamp, State] | None = None
    _answers: dict[Hashable, tuple[tuple[str, int], list[Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Memory:
        """Return the memory of a store."""
        with _of_root:
            return _OF_ROOT.setdefault(root.resolve(), cls())

    def state(self, index: Index) -> State | None:
        """Return the index's state, if it wasn't touched since it was seen."""
        if self._seen is None:
            return None
        stamp, state = self._seen
        return state if index.stamp() == stamp and state.last.keys() == kinds.KINDS.keys() else None

    def see(self, stamp: Stamp | None, state: State) -> None:
        """Remember a state, with the file's stamp; to be called under the store's lock."""
        if stamp is not None and stamp.is_exact:
            self._seen = stamp, state

    def answer(self, question: Hashable, mark: tuple[str, int]) -> list[Any] | None:
        """Return the records that answered a question, if nothing of their kind came in since."""
        found = self._answers.get(question)
        return list(found[1]) if found and found[0] == mark else None

    def keep(self, question: Hashable, mark: tuple[str, int], records: Sequence[Record]) -> None:
        """Remember an answer, unless it is long."""
        if len(records) <= _FEW_ROWS:
            if len(self._answers) >= _FEW_ANSWERS:
                self._answers = {}
            self._answers[question] = mark, list(records)


class Newest:
    """Some fields of the newest record per key of one kind and model."""

    def __init__(
        self,
        kind: type[Record],
        model: str,
        fields: Sequence[str],
        make: Callable[[tuple[Any, ...]], Any],
    ) -> None:
        self.lock = threading.Lock()
        self._rows: dict[Any, Any] = {}
        self._kind, self._model, self._make = kind, model, make
        self._key = [name for name in keys_of(kind) if name != "model"]
        self._fields = tuple(fields)
        self._order: dict[Any, tuple[Any, str]] = {}
        self._mark = ("", 0)

    @property
    def rows(self) -> Mapping[Any, Any]:
        """What was made of each, by key; what was handed out never changes."""
        return MappingProxyType(self._rows)

    def is_current(self, state: State) -> bool:
        """Whether nothing of this kind came in since these rows were read."""
        return state.mark(self._kind.KIND) == self._mark

    def bring_up_to_date(self, index: Index) -> Mapping[Any, Any]:
        """Read what came in since, under the store's lock; all of it after another making."""
        columns = tuple(dict.fromkeys(("recorded_at", "record_id", *self._key, *self._fields)))
        making, last = self._mark
        state, found = index.select(self._kind, columns, {"model": self._model}, last)
        if state.making != making:
            self._rows, self._order = {}, {}
            if last:
                state, found = index.select(self._kind, columns, {"model": self._model})
        if found.height:
            self._take(found)
        self._mark = state.mark(self._kind.KIND)
        return self.rows

    def _take(self, found: pl.DataFrame) -> None:
        found = found.sort("recorded_at", "record_id", maintain_order=True)
        found = found.unique(self._key, keep="last", maintain_order=True)
        keys: Iterable[Any] = zip(*(found[name].to_list() for name in self._key), strict=True)
        if len(self._key) == 1:
            keys = found[self._key[0]].to_list()
        whens = zip(found["recorded_at"].to_list(), found["record_id"].to_list(), strict=True)
        new = map(self._make, values_of(self._kind, found.select(self._fields)))
        rows = self._rows.copy()
        for key, when, row in zip(keys, whens, new, strict=True):
            if key not in rows or when >= self._order[key]:
                rows[key], self._order[key] = row, when
        self._rows = rows
