"""What a repository of data versions can do, in lakeFS' words; each implementation keeps all of it.

Ids are text. Every method also raises `InvalidNameError` for a name or path that the rules in
`mlops_assets.versions.paths` refuse, `RepositoryCorruptError` where a stored thing is missing or
does not match its checksum, and `VersionsError` when the disk or the server fails.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal

Strategy = Literal["source-wins", "dest-wins"]


@dataclass(frozen=True)
class Commit:
    """One state of all objects; `created_at` is in UTC, a merge's first parent is what it went into."""

    id: str
    message: str
    metadata: Mapping[str, str] = field(hash=False)  # a dict has no hash; the id says it all
    parents: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class ObjectInfo:
    """One object in one commit: `checksum` is the SHA-256 in hex, `size` is in bytes."""

    path: str
    checksum: str
    size: int


@dataclass(frozen=True)
class Change:
    """What happened to one path between two commits."""

    path: str
    kind: Literal["added", "removed", "changed"]


@dataclass(frozen=True)
class Location:
    """Where Polars reads an object in place: a local absolute path, or a URI and its options.

    The path need not end like the object's: hand readers a list of these, never a folder or a glob.
    """

    uri: str
    # not shown: they may hold a secret
    storage_options: Mapping[str, str | int] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True)
class Collected:
    """What a collection removed, or would: `size` is in bytes, `branches` are hidden ones left over.

    `packed` are git's own objects that are in one file now, `saved` the bytes that this saved.
    """

    objects: int = 0
    size: int = 0
    branches: tuple[str, ...] = ()
    packed: int = 0
    saved: int = 0


class Transaction(ABC):
    """The changes that will become one commit; get it from `Repository.transaction`."""

    @property
    @abstractmethod
    def commit_id(self) -> str:
        """The commit it ended as; with `allow_unchanged`, perhaps the head that was there already.

        Raises:
            VersionsError: it has not ended, or it failed.
        """

    @abstractmethod
    def put(self, path: str, source: Path | bytes | BinaryIO, *, immutable: bool = False) -> None:
        """Add or replace an object by bytes, or by a copy of a file or of a stream read to its end.

        Args:
            path: where it will stand.
            source: its content.
            immutable: the file never changes again, only its name may go: where the store is on
                its file system and it is read-only (mode 0444), it is linked, not copied.

        Raises:
            VersionsError: the source can't be read, or the transaction has ended.
        """

    @abstractmethod
    def file(self, path: str) -> AbstractContextManager[Path]:
        """Give a local file to write to, say with `sink_parquet`; the end of the `with` puts it.

        The file is not there yet, has the path's ending, and is moved in, not copied. An exception
        inside the `with` puts nothing.

        Raises:
            VersionsError: nothing was written to it, or the transaction has ended.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove an object; removing what is not there changes nothing.

        Raises:
            VersionsError: the transaction has ended.
        """


class Repository(ABC):
    """Branches, tags, commits and their objects.

    A handle is cheap, may be shared by threads, may be pickled, and sees what other processes commit.
    A ref is a branch, a tag or a commit id, in this order, but a whole commit id is always that
    commit; each method that takes one raises `RefNotFoundError` if nothing answers to it. A prefix is
    the beginning of a path, not only a folder.
    """

    url: str

    @abstractmethod
    def resolve(self, ref: str) -> str:
        """Return the commit id of a branch, a tag, an id or its unique beginning of 7 and more.

        Raises:
            RefNotFoundError: nothing, or more than one thing, answers to it.
        """

    @abstractmethod
    def branches(self, prefix: str = "") -> list[tuple[str, str]]:
        """Return (name, commit id) of each branch, sorted by name."""

    @abstractmethod
    def create_branch(self, name: str, source: str = "main") -> str:
        """Create a branch at a ref and return the commit id; again at the same commit is no error.

        Raises:
            RefExistsError: the branch is there at another commit, or a tag has the name.
            RefNotFoundError: no such source.
        """

    @abstractmethod
    def delete_branch(self, name: str) -> None:
        """Delete a branch, whatever it holds.

        Raises:
            RefNotFoundError: no such branch.
            VersionsError: `main` stays.
        """

    @abstractmethod
    def tags(self, prefix: str = "") -> list[tuple[str, str]]:
        """Return (name, commit id) of each tag, sorted by name."""

    @abstractmethod
    def create_tag(self, name: str, ref: str) -> str:
        """Create a tag at a ref and return the commit id; tags never move.

        Raises:
            RefExistsError: the tag is there at another commit, or a branch has the name.
            RefNotFoundError: no such ref.
        """

    @abstractmethod
    def delete_tag(self, name: str) -> None:
        """Delete a tag.

        Raises:
            RefNotFoundError: no such tag.
        """

    @abstractmethod
    def commit(self, ref: str) -> Commit:
        """Return the commit a ref stands at."""

    @abstractmethod
    def log(
        self, ref: str, *, limit: int | None = None, path: str | None = None
    ) -> Iterator[Commit]:
        """Yield the commits reachable from a ref, newest first, no parent before its child.

        With a path (an object, or a folder ending in "/"), only the commits in which it differs from
        the first parent.

        Raises:
            RefNotFoundError: no such ref.
        """

    @abstractmethod
    def diff(self, left: str, right: str, prefix: str = "") -> list[Change]:
        """Return what has to be done to the left ref's objects to get the right's, sorted by path."""

    @abstractmethod
    def objects(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        """Return the objects whose path begins with the prefix, sorted by path."""

    @abstractmethod
    def stat(self, ref: str, path: str) -> ObjectInfo:
        """Return what is known of one object.

        Raises:
            RefNotFoundError: no such ref.
            ObjectNotFoundError: no such object in it.
        """

    @abstractmethod
    def read(self, ref: str, path: str) -> bytes:
        """Return an object's bytes, checked against its checksum.

        Raises:
            RefNotFoundError: no such ref.
            ObjectNotFoundError: no such object in it.
        """

    @abstractmethod
    def open(self, ref: str, path: str) -> BinaryIO:
        """Open an object for reading; the content is not checked. The caller closes it.

        Raises:
            RefNotFoundError: no such ref.
            ObjectNotFoundError: no such object in it.
        """

    @abstractmethod
    def locations(self, ref: str, paths: Iterable[str]) -> list[Location]:
        """Return where Polars reads each object in place, in the order given.

        Raises:
            RefNotFoundError: no such ref.
            ObjectNotFoundError: no such object in it.
        """

    def location(self, ref: str, path: str) -> Location:
        """Return where Polars reads one object in place; see `locations`."""
        return self.locations(ref, [path])[0]

    @abstractmethod
    def transaction(
        self,
        branch: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        expected: str | None = None,
        allow_unchanged: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Collect changes and end as exactly one commit on the branch, or as none.

        An exception inside the `with` leaves nothing. What others committed meanwhile to other paths
        stays and is built upon. The metadata key `author` ("Name <mail>") names the author. Blank
        space around the message is dropped.

        Args:
            branch: the branch to commit to.
            message: what the commit is for; may not be blank.
            metadata: kept with the commit.
            expected: the commit id that the branch must stand at, at the start and at the end.
            allow_unchanged: end quietly, at the current head, when there is nothing to commit.

        Raises:
            RefNotFoundError: no such branch.
            ConflictError: a path was changed meanwhile to something else, or the head is not the
                expected one.
            NothingToCommitError: nothing differs from the head, and `allow_unchanged` is not set.
            InvalidNameError: one object would stand where another has its folder.
            RepositoryBusyError: the branch could not be had in time.
        """

    @abstractmethod
    def merge(
        self,
        source: str,
        into: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        strategy: Strategy | None = None,
    ) -> str:
        """Merge a ref into a branch, path by path against their merge base; return the commit id.

        The commit's parents are the branch's head and the source. Both sides changing a path to
        the same content is no conflict. A strategy decides each conflict, and nothing else.

        Raises:
            RefNotFoundError: no such ref, or no such branch.
            ConflictError: both changed the same paths, which it names; nothing was committed.
            NothingToCommitError: the branch's objects would stay as they are.
            RepositoryBusyError: the branch could not be had in time.
        """

    @abstractmethod
    def revert(self, branch: str, commit_id: str, message: str | None = None) -> str:
        """Take back on a branch what a commit changed against its first parent; return the commit id.

        Raises:
            RefNotFoundError: no such branch or commit.
            ConflictError: paths of it were changed since; nothing was committed.
            NothingToCommitError: none of its changes is there any more.
            VersionsError: the very first commit can't be taken back.
            RepositoryBusyError: the branch could not be had in time.
        """

    @abstractmethod
    def collect(
        self, *, grace: timedelta, history: timedelta | None = None, dry_run: bool = False
    ) -> Collected:
        """Remove what nothing can reach any more, safely beside writers.

        Objects at the head of a branch or at a tag are always kept. On a lakeFS server the objects
        are the server's own to collect: only hidden branches that a killed process left are removed.

        Args:
            grace: what was written or touched less than this ago stays.
            history: also let go of the data (never the commits) that was replaced longer ago than
                this; None keeps all that any branch or tag can reach.
            dry_run: remove nothing, only say what would go.

        Raises:
            RepositoryBusyError: the repository could not be had in time.
        """

    def link(self, commit_id: str, path: str | None = None) -> str | None:
        """Return where a person sees a commit, or an object in it, in a browser; None if nowhere."""
        del commit_id, path
        return None

    @abstractmethod
    def verify(self, *refs: str) -> list[str]:
        """Read every object of the refs (of `main` if none is given) and name those missing or damaged.

        What several refs hold alike is read, and named, once. Empty when all is well.
        """
