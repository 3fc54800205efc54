"""The store of a home: records and profiles as files, and the index that answers questions.

A record is first a file named by its own hash, complete or absent, that any number of processes
and machines may add without asking anybody (see `folder`). Whoever reads next brings the index up to
date, one at a time, under a lock that is held for a tenth of a second at most:

    index.duckdb    can be deleted at any time
    index.lock      held while the index is open
    rebuild.lock    held while it is made again
    compact.lock    held while old profiles are merged
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from mlops_assets.errors import StoreBusyError, StoreError
from mlops_assets.records import file
from mlops_assets.records.backend import IndexedBackend
from mlops_assets.records.file import Content, Opened
from mlops_assets.records.folder import BlobFolder, RecordFolder
from mlops_assets.records.index import Index, State, columns_of, is_damage, records_of
from mlops_assets.records.memory import Memory, Newest
from mlops_assets.records.record import R, Record, checked

T = TypeVar("T")
V = TypeVar("V", bound=NamedTuple)
Tell = Callable[[int, int], None]

_log = logging.getLogger(__name__)

_AT_ONCE = 500  # files indexed at a time where nobody waits
_HELPS = ("00", "55", "aa", "ff")  # one in 64 who add indexes what came in, if nobody else does
_READ_SECONDS = 0.1  # files are read so long while others wait for the index


class Store:
    """The store under ``root``, which is made by the first write.

    ``lock_timeout`` is in seconds; a longer wait for the index raises StoreBusyError. Adding what
    is new never waits.
    """

    def __init__(self, root: Path, lock_timeout: float = 10.0) -> None:
        self.root = Path(root)
        if "?" in str(self.root):  # DuckDB takes what follows for options, and resolves links
            raise StoreError(
                f"DuckDB can keep no index in {self.root}, for the `?` in it: name another folder "
                "for the store in MLOPS_STORE, or another home in MLOPS_HOME"
            )
        self._lock_timeout = lock_timeout
        self._folder = RecordFolder(self.root)
        self._records: IndexedBackend = self._folder
        self._blobs = BlobFolder(self.root)
        self._index = Index(self.root / "index.duckdb", lock_timeout)
        self._memory = Memory.of(self.root)

    def __reduce__(self) -> tuple[type[Store], tuple[Path, float]]:
        """Travel to another process without the open engine."""
        return Store, (self.root, self._lock_timeout)

    def add(self, record: Record) -> str:
        """Add a record and return its id; adding the newest of its key again changes nothing.

        One that was there before, and then another, is the newest again: a state that returned.
        The index is asked for that, which may raise StoreBusyError. Raises StoreError that names a
        field of a wrong type.
        """
        return self._add(type(record), checked(type(record), record.content))

    def add_many(self, records: Sequence[Record]) -> str:
        """Add records of one kind in one file, all or none; raises as `add` does.

        The same records in the same order again change nothing, unless the first one's key has a
        newer record; none at all are no file.
        """
        if not records:
            return ""
        kind = type(records[0])
        return self._add(kind, [checked(kind, record.content) for record in records])

    def add_blob(self, data: bytes) -> str:
        """Keep a profile or a reference and return its SHA-256, in hex."""
        return self._blobs.add(data)

    def blob(self, name: str) -> bytes:
        """Return a blob by its id; raises StoreError where it is absent or damaged."""
        return self._blobs.read(name)

    def has_blob(self, name: str) -> bool:
        """Whether a blob is there, whole or not."""
        return self._blobs.has(name)

    def latest(self, kind: type[R], *, model: str, **equals: Any) -> list[R]:
        """Return the newest record per key among those that match, sorted by key."""
        return self._select(kind, {"model": model} | equals, newest=True)

    def rows(
        self, kind: type[R], *, model: str | None = None, after_event: int = 0, **equals: Any
    ) -> list[R]:
        """Return all matching records after an event, in the order of events (a sensor's cursor)."""
        wanted = equals if model is None else {"model": model} | equals
        return self._select(kind, wanted, after_event)

    def newest(self, kind: type[Record], view: type[V], *, model: str) -> Mapping[Any, V]:
        """Return some fields of the newest record per key, for what is asked again and again.

        ``view`` is a NamedTuple of those fields, named and typed as in the kind. The result is by
        key: a text where one field beside the model is the key, else a tuple. It is kept in the
        process and brought up to date with what came in since, so that asking again costs nothing
        while nothing comes, however long the history is. The mapping never changes.
        """
        if not self.root.exists():
            return {}
        asked = (kind, model, view)
        kept = self._memory.newest.get(asked)
        if kept is None:
            new = Newest(kind, model, view._fields, view._make)
            kept = self._memory.newest.setdefault(asked, new)  # another thread may be quicker
        with kept.lock:
            if kept.is_current(self._current()):
                return kept.rows
            return self._read(lambda: kept.bring_up_to_date(self._index))

    def mark(self) -> Hashable:
        """Return what changes when something comes in, of whatever kind."""
        if not self.root.exists():
            return None
        state = self._current()
        return state.making, *sorted(state.last.items())

    def query(self, sql: str, params: Sequence[Any] = ()) -> pl.DataFrame:
        """Run a read-only statement over the tables, which are named as the kinds.

        SQL has words of its own: quote the column "window". Raises StoreError where it fails.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._current()
        return self._read(lambda: self._index.query(sql, params))

    def refresh(self) -> int:
        """Index what came in and return how many rows were new."""
        return self._brought_in(self._records.unindexed())[0] if self.root.exists() else 0

    def rebuild(self, tell: Tell | None = None) -> int:
        """Make the index again from the files, beside those who read it; return how many files.

        Events are numbered by time of record, then id. Files of another machine that came in late
        take their place in time, so a cursor from before may meet events again or, rarely, miss
        one. ``tell`` is told how many files of how many are done. Raises StoreBusyError where
        another process does the same for longer than the lock's timeout.
        """
        if not self.root.exists():
            return 0
        with self._rebuilding():
            return self._make(tell)[0]

    def set_aside(self) -> list[str]:
        """Return the names of files that came in and were no records."""
        return self._folder.aside()

    def remove(self, blob: str, grace: float, *, rehearse: bool = False) -> int | None:
        """Remove a blob added over ``grace`` seconds ago; return its size in bytes, or None."""
        return self._blobs.remove(blob, grace, rehearse=rehearse)

    def remove_drafts(self, grace: float) -> int:
        """Remove files that killed writers began over ``grace`` seconds ago; return how many."""
        return self._folder.remove_drafts(grace)

    def _add(self, kind: type[Record], content: Content) -> str:
        name = file.identity(kind, content)
        if not self._records.add_if_absent(f"{name}.json", file.sealed(kind, content)):
            # then it is the newest of its key, or was before another came
            for row in self._select(kind, file.key_of(kind, content), newest=True):
                follows = row.record_id
                there = file.file_of(follows)
                if file.same_content(kind, content, self._records.read(f"{there}.json")):
                    return there
                name = file.identity(kind, content, follows)
                again = file.sealed(kind, content, follows, after=row.recorded_at)
                self._records.add_if_absent(f"{name}.json", again)
        if name.startswith(_HELPS) and self._index.stamp() is not None:
            self._help()
        return name

    def _help(self) -> None:
        """Index what came in, unless that has to wait or fails: the record is safe already."""
        try:
            Store(self.root, lock_timeout=0).refresh()
        except (StoreError, duckdb.Error) as error:
            _log.info("what came into %s is left to the next one: %s", self.root, error)

    def _select(
        self,
        kind: type[R],
        equals: Mapping[str, Any],
        after_event: int = 0,
        *,
        newest: bool = False,
    ) -> list[R]:
        if not self.root.exists():
            return []
        asked = (kind, *sorted(equals.items()), after_event, newest)
        found: list[R] | None = self._memory.answer(asked, self._current().mark(kind.KIND))
        if found is None:
            columns = tuple(columns_of(kind))
            state, frame = self._read(
                lambda: self._index.select(kind, columns, equals, after_event, newest=newest)
            )
            found = records_of(kind, frame)
            self._memory.keep(asked, state.mark(kind.KIND), found)
        return found

    def _current(self) -> State:
        """Index what came in, and return the state of the index."""
        waiting = self._records.unindexed()
        known = None if waiting else self._memory.state(self._index)
        return known or self._brought_in(waiting)[1]

    def _brought_in(self, waiting: list[str]) -> tuple[int, State]:
        added, was_damaged = 0, False
        while True:
            some: list[str] = []
            with self._locked():
                try:
                    some, new, state = self._inserted(waiting)
                except duckdb.Error as error:
                    if was_damaged or not is_damage(error):
                        raise
                    self._discard(error)
                    was_damaged, new, state = True, 0, None
            if state is None:
                added += self._made()
                continue
            added += new
            if some:
                # killed before this, the next one finds them in the index, and moves them
                self._index.flush()
                self._records.mark_indexed(some)
                del waiting[: len(some)]
            if not waiting:
                return added, state

    def _inserted(self, waiting: list[str]) -> tuple[list[str], int, State | None]:
        """Index some files under the lock; return which, how many rows were new, and the state."""
        some: list[str] = []
        new = 0
        state = self._memory.state(self._index) or self._index.state()
        if state is not None and waiting:
            some, opened = self._opened_in(waiting, _READ_SECONDS)
            new, state = self._index.insert(opened, self._records.is_unindexed)
        if state is not None:
            self._memory.see(self._index.stamp(), state)
        return some, new, state

    def _read(self, question: Callable[[], T]) -> T:
        """Ask the index; one that turns out damaged is made again first."""
        try:
            with self._locked():
                return question()
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            with self._locked():
                self._discard(error)
        self._current()
        with self._locked():
            return question()

    def _discard(self, error: duckdb.Error) -> None:
        _log.warning("the index of %s is damaged and made again: %s", self.root, error)
        self._index.discard()

    def _made(self) -> int:
        """Make an index where there is none, or one of other tables, unless somebody else does.

        Return how many rows of it are of files that were in no index.
        """
        with self._rebuilding():
            with self._locked():
                if self._index.state() is not None:
                    return 0
            return self._make(None)[1]

    def _make(self, tell: Tell | None) -> tuple[int, int]:
        """Make the index; return how many files it is of, and how many rows came in since."""
        draft = Index(self.root / "index.draft.duckdb")
        draft.create()
        files = self._fill(draft, self._records.indexed(), tell)
        new = 0
        for some in _parts([name for name in self._records.unindexed() if name not in files]):
            opened = self._opened(some)
            new += draft.insert(opened, self._records.is_unindexed)[0]
            files |= {f"{one.id}.json" for one in opened}
        with self._locked():
            # what the old index has and its inserter, who looks no more, hasn't marked yet; read
            # before the marked ones are listed, as a file becomes one of them, and stays one
            late = self._opened(name for name in self._records.unindexed() if name not in files)
            names = {f"{one.id}.json" for one in late}
            files |= self._fill(draft, set(self._records.indexed()) - files - names, tell)
            new += draft.insert(late, self._records.is_unindexed)[0]
            draft.replace(self._index.path)
        return len(files | names), new

    def _fill(self, index: Index, files: Iterable[str], tell: Tell | None) -> set[str]:
        """Insert files in the order of time, without holding all of them in memory."""
        moments = sorted((file.moment(self._records.read(name)), name) for name in files)
        names = [name for _, name in moments]
        done = 0
        for some in _parts(names):
            index.insert(self._opened(some), self._records.is_unindexed)
            done += len(some)
            if tell:
                tell(done, len(names))
        return set(names)

    def _opened(self, names: Iterable[str]) -> list[Opened]:
        """Read files, in the order of time; set aside what is no record."""
        found = []
        for name in names:
            try:
                found.append(file.opened(name, self._records.read(name)))
            except FileNotFoundError:
                continue  # somebody else set it aside
            except StoreError as error:
                _log.warning("set aside %s: %s", self._records.set_aside(name), error)
        return sorted(found, key=lambda one: (one.recorded_at, one.id))

    def _opened_in(self, names: Sequence[str], seconds: float) -> tuple[list[str], list[Opened]]:
        """Read what came in for so long, the first in any case; return which, and what is new.

        The processor's time counts: where it is slow to come, fewer and larger inserts are quicker.
        A twin of what is in the index may have come in since.
        """
        deadline = time.thread_time() + seconds
        found: list[Opened] = []
        for number, name in enumerate(names):
            if number and time.thread_time() > deadline:
                names = names[:number]
                break
            if not self._records.is_indexed(name):
                found += self._opened([name])
        return list(names), sorted(found, key=lambda one: (one.recorded_at, one.id))

    def compacting(self) -> contextlib.AbstractContextManager[None]:
        """Keep others from compacting; raises StoreBusyError where another process does."""
        return self._holding("compact.lock", "being compacted by another process")

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return self._holding("index.lock", "busy")

    def _rebuilding(self) -> contextlib.AbstractContextManager[None]:
        return self._holding("rebuild.lock", "being rebuilt by another process")

    @contextlib.contextmanager
    def _holding(self, name: str, otherwise: str) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        # a new lock object each time: one shared by threads would let the second thread in
        lock = FileLock(self.root / name, timeout=self._lock_timeout, poll_interval=0.01)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreBusyError(
                f"the store {self.root} was {otherwise} for {self._lock_timeout:g} s; try again"
            ) from error
        try:
            yield
        finally:
            lock.release()


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]
