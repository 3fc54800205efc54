"""Garbage collection of the embedded repository: mark what the refs reach, sweep the other data.

Only data is removed. Commits, trees and pointers are small and stay, so that the log of what was
is never shortened.

Safe beside writers without any clock: data is unlinked only under the lock and only after what
refs have moved to since was marked too, and a transaction, which commits under the same lock,
looks there whether its data still stands and puts it back if not. The grace time is for those who
read what no ref holds any more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mlops_assets.errors import RepositoryCorruptError
from mlops_assets.versions.contract import Collected
from mlops_assets.versions.embedded.bare import BareRepository, kept_whole
from mlops_assets.versions.embedded.history import History
from mlops_assets.versions.embedded.objects import ObjectStore, Pointer
from mlops_assets.versions.embedded.refs import Refs

_SLICE = 256  # objects removed at a time, some milliseconds under the lock
_BREATH = 0.02  # seconds between two slices, in which writers get the lock
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass
class Marks:
    """The checksums that refs reach; marking again costs what is new."""

    bare: BareRepository
    history: History
    since: datetime | None  # data that was replaced before this is let go; None keeps all
    checksums: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)  # commits, trees and blobs

    def reach(self, heads: Sequence[str]) -> None:
        """Mark the data of commits and of what came before them.

        A commit's data was in force until a child replaced it, so the parents of a commit that is
        young enough count, however old they are.

        Raises:
            RepositoryCorruptError: something that a ref reaches is missing; nothing can be judged.
        """
        pending = [head for head in heads if head not in self._seen]
        while pending:
            commit_id = pending.pop()
            if commit_id in self._seen:
                continue
            self._seen.add(commit_id)
            commit = self.history.commit(commit_id)
            self._mark(str(self.history.tree(commit_id).id))
            if self.since is None or commit.created_at >= self.since:
                pending.extend(commit.parents)

    def _mark(self, tree_id: str) -> None:
        import pygit2

        pending = [tree_id]
        while pending:
            node = pending.pop()
            if node in self._seen:
                continue
            self._seen.add(node)
            for entry in self.bare.stored(node).peel(pygit2.Tree):
                entry_id = str(entry.id)
                if entry.type_str == "tree":
                    pending.append(entry_id)
                elif entry.type_str == "blob" and entry_id not in self._seen:
                    self._seen.add(entry_id)
                    self._mark_blob(entry_id)

    def _mark_blob(self, blob: str) -> None:
        try:
            pointer = Pointer.decode(self.bare.stored(blob).read_raw(), "")
        except RepositoryCorruptError:
            return  # a file that stock git committed as it is holds no data of the store
        self.checksums.add(pointer.checksum)


@dataclass(frozen=True)
class Collector:
    """One collection."""

    bare: BareRepository
    store: ObjectStore
    refs: Refs
    history: History

    def collect(self, grace: timedelta, history: timedelta | None, *, dry_run: bool) -> Collected:
        """Remove what nothing reaches; see the contract.

        Raises:
            RepositoryBusyError: the lock could not be had; what was removed before that stays so.
            RepositoryCorruptError: something that a ref reaches can't be read: nothing is removed.
        """
        begun = datetime.now(UTC)
        before = (begun - grace).timestamp()
        marks = Marks(self.bare, self.history, None if history is None else begun - history)
        marks.reach(self.refs.every_head())
        doomed = [
            pointer
            for pointer, written_at in self._standing()
            if pointer.checksum not in marks.checksums and written_at < before
        ]
        if dry_run:
            return Collected(len(doomed), sum(pointer.size for pointer in doomed))
        with kept_whole(self.bare.folder):
            gone = self._swept(doomed, marks, before)
        return Collected(len(gone), sum(pointer.size for pointer in gone))

    def _swept(self, doomed: Sequence[Pointer], marks: Marks, before: float) -> list[Pointer]:
        """Remove what is still unreached, some at a time; return it."""
        self.store.sweep()
        gone: list[Pointer] = []
        for start in range(0, len(doomed), _SLICE):
            if start:
                time.sleep(_BREATH)
            with self.bare.locked():
                # a branch may have been made meanwhile at a commit that nothing reached before
                marks.reach(self.refs.every_head())
                gone += self._remove(doomed[start : start + _SLICE], marks, before)
        return gone

    def _standing(self) -> Iterator[tuple[Pointer, float]]:
        """Yield every object of the store and when it was written or touched, in seconds."""
        for file in (self.store.folder / "objects").glob("??/??/*"):
            if _CHECKSUM.fullmatch(file.name) and file.is_file():
                found = file.stat()
                yield Pointer(file.name, found.st_size), found.st_mtime

    def _remove(self, some: Sequence[Pointer], marks: Marks, before: float) -> list[Pointer]:
        doomed = [
            pointer
            for pointer in some
            if pointer.checksum not in marks.checksums and self._is_older(pointer, before)
        ]
        if doomed:
            # noted first: what is noted and still there is no harm, what is gone unnoted is
            self.store.note_collected([pointer.checksum for pointer in doomed])
        for pointer in doomed:
            self.store.file_of(pointer).unlink()
        return doomed

    def _is_older(self, pointer: Pointer, before: float) -> bool:
        try:
            return self.store.file_of(pointer).stat().st_mtime < before
        except FileNotFoundError:
            return False  # another collection was quicker
