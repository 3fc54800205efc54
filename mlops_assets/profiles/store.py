"""The store of a home: records and profiles as files, and the index that answers questions.

A record is first a file named by its own hash, complete or absent, that any number of processes
and machines may add without asking anybody. Whoever reads next indexes what came in, under a lock:

    incoming/<sha>.json   added, not yet in the index
    records/aa/<sha>.json in the index (or of a kind that this version doesn't know)
    blobs/aa/<sha>        profiles and references
    aside/                what came in and was no record; never read again
    index.duckdb          can be deleted at any time
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock, Timeout

from mlops_assets.errors import StoreBusyError, StoreError
from mlops_assets.profiles import records
from mlops_assets.profiles.index import Index

_log = logging.getLogger(__name__)


class Store:
    """The store under ``root``, which is made by the first write.

    ``lock_timeout`` is in seconds; a longer wait for the index raises StoreBusyError. Adding never
    waits.
    """

    def __init__(self, root: Path, lock_timeout: float = 10.0) -> None:
        self.root = Path(root)
        self._lock_timeout = lock_timeout
        self._index = Index(self.root / "index.duckdb")

    def __reduce__(self) -> tuple[type[Store], tuple[Path, float]]:
        """Travel to another process without the open engine."""
        return Store, (self.root, self._lock_timeout)

    def add(self, kind: str, record: Mapping[str, Any]) -> str:
        """Add a record and return its id; adding the same record again changes nothing.

        Raises StoreError that names a missing, unknown or wrong field, UnknownNameError for an
        unknown kind.
        """
        plain = records.checked(kind, record)
        name = records.identity(kind, plain)
        file = f"{name}.json"
        # in this order: a file moves from incoming to records, never back
        if not (self.root / "incoming" / file).exists() and not self._settled(file).exists():
            self._publish(self.root / "incoming" / file, records.sealed(kind, plain))
        return name

    def add_blob(self, data: bytes) -> str:
        """Keep a profile or a reference and return its SHA-256, in hex."""
        name = hashlib.sha256(data).hexdigest()
        path = self._blob(name)
        if not path.exists():
            self._publish(path, data)
        return name

    def blob(self, name: str) -> bytes:
        """Return a blob by its id; raises StoreError where it is absent or damaged."""
        try:
            data = self._blob(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise StoreError(
                f"the store has no blob {name!r}; was it made in another home?"
            ) from None
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreError(f"the blob {name} is damaged; delete it and make the profile again")
        return data

    def latest(self, kind: str, *, model: str, **equals: Any) -> list[dict[str, Any]]:
        """Return the newest row per key among those that match, sorted by key.

        A row has the kind's columns, and event_id, record_id and recorded_at (UTC, naive).
        """
        return self._rows(kind, {"model": model} | equals, newest=True)

    def rows(
        self, kind: str, *, model: str | None = None, after_event: int = 0, **equals: Any
    ) -> list[dict[str, Any]]:
        """Return all matching rows after an event, in the order of events (a sensor's cursor)."""
        wanted = equals if model is None else {"model": model} | equals
        return self._rows(kind, wanted, after_event)

    def query(self, sql: str, params: Sequence[Any] = ()) -> pl.DataFrame:
        """Run a read-only statement over the tables, which are named as the kinds.

        SQL has words of its own: quote the column "window". Raises StoreError where it fails.
        """
        with self._locked():
            self._refresh()
            return self._index.query(sql, params)

    def refresh(self) -> int:
        """Index what came in and return how many records were new."""
        if not self.root.exists():
            return 0
        with self._locked():
            return self._refresh()

    def rebuild(self) -> None:
        """Make the index again from the files; events are numbered by time of record, then id.

        Files of another machine that came in late take their place in time, so a cursor from
        before may meet events again or, rarely, miss one.
        """
        if not self.root.exists():
            return
        with self._locked():
            self._rebuild()

    def set_aside(self) -> list[str]:
        """Return the names of files that came in and were no records."""
        aside = self.root / "aside"
        return sorted(path.name for path in aside.iterdir()) if aside.exists() else []

    def _rows(
        self,
        kind: str,
        equals: Mapping[str, Any],
        after_event: int = 0,
        *,
        newest: bool = False,
    ) -> list[dict[str, Any]]:
        records.fields_of(kind)
        if not self.root.exists():
            return []
        with self._locked():
            self._refresh()
            return self._index.rows(kind, equals, after_event, newest=newest)

    def _refresh(self) -> int:
        if not self._index.usable():
            return self._rebuild()
        incoming = self._incoming()
        if not incoming:
            return 0
        added = self._index.insert(list(incoming.values()))
        # only after the commit: killed in between, the next refresh finds them known and moves them
        self._settle(incoming)
        return added

    def _rebuild(self) -> int:
        self._index.discard()  # first: killed after this, the next read rebuilds
        incoming = self._incoming()
        self._settle(incoming)
        every = self._opened(sorted((self.root / "records").glob("*/*")))
        self._index.create(list(every.values()))
        return len(incoming)

    def _incoming(self) -> dict[Path, records.Opened]:
        folder = self.root / "incoming"
        return self._opened(list(folder.iterdir())) if folder.exists() else {}

    def _settle(self, incoming: Mapping[Path, records.Opened]) -> None:
        for path in incoming:
            settled = self._settled(path.name)
            settled.parent.mkdir(parents=True, exist_ok=True)
            if settled.exists():
                path.unlink(missing_ok=True)  # a twin that came in while the first was indexed
            else:
                path.replace(settled)

    def _opened(self, paths: Sequence[Path]) -> dict[Path, records.Opened]:
        """Read records in the order of time, moving aside what is none."""
        found = {}
        for path in paths:
            try:
                found[path] = records.opened(path.name, path.read_bytes())
            except (StoreError, IsADirectoryError) as error:
                aside = self.root / "aside" / path.name
                aside.parent.mkdir(exist_ok=True)
                if aside.exists():
                    aside = aside.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
                path.replace(aside)
                _log.warning("set aside %s: %s", aside, error)
        return dict(sorted(found.items(), key=lambda item: (item[1].recorded_at, item[1].id)))

    def _blob(self, name: str) -> Path:
        return self.root / "blobs" / name[:2] / Path(name).name

    def _settled(self, file: str) -> Path:
        return self.root / "records" / file[:2] / file

    def _publish(self, path: Path, data: bytes) -> None:
        """Make a file appear whole or not at all, and never replace one."""
        staging = self.root / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = staging / uuid.uuid4().hex
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)  # unlike a rename, leaves a twin that came first
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            draft.replace(path)
        draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        # a new lock object each time: one shared by threads would let the second thread in
        lock = FileLock(self.root / "index.lock", timeout=self._lock_timeout, poll_interval=0.01)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreBusyError(
                f"the index of {self.root} was busy for {self._lock_timeout:g} s; try again"
            ) from error
        try:
            yield
        finally:
            lock.release()
