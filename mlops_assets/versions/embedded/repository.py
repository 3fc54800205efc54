"""The embedded repository: bare git whose blobs are Git-LFS pointers, no server needed.

The methods' documentation is the contract's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops_assets.errors import (
    ConflictError,
    InvalidNameError,
    NothingToCommitError,
    ObjectNotFoundError,
    RepositoryCorruptError,
    VersionsError,
    did_you_mean,
)
from mlops_assets.versions.contract import (
    Change,
    Collected,
    Commit,
    Location,
    ObjectInfo,
    Repository,
    Strategy,
    Transaction,
)
from mlops_assets.versions.embedded import merging, trees
from mlops_assets.versions.embedded.bare import BareRepository, tells, told
from mlops_assets.versions.embedded.collecting import Collector
from mlops_assets.versions.embedded.history import History
from mlops_assets.versions.embedded.objects import ObjectStore, Pointer
from mlops_assets.versions.embedded.packing import Packed, Packing
from mlops_assets.versions.embedded.refs import Refs
from mlops_assets.versions.embedded.transactions import EmbeddedTransaction
from mlops_assets.versions.paths import (
    check_log_path,
    check_message,
    check_metadata,
    check_name,
    check_path,
)

if TYPE_CHECKING:
    from pygit2 import Tree


class EmbeddedRepository(Repository):
    """A repository in a folder, which is made with its first commit if it is not there."""

    def __init__(self, folder: Path) -> None:
        folder = folder.expanduser().absolute()
        self.url = str(folder)
        with told(self.url):
            self._bare = BareRepository(folder)
        self._store = ObjectStore(folder / "lfs")
        self._refs = Refs(self._bare)
        self._history = History(self._bare, self._refs)
        self._packing = Packing(self._bare)

    def __reduce__(self) -> tuple[Callable[[Path], EmbeddedRepository], tuple[Path]]:
        return EmbeddedRepository, (Path(self.url),)

    def __repr__(self) -> str:
        return f"EmbeddedRepository({self.url!r})"

    @tells
    def resolve(self, ref: str) -> str:
        return self._refs.resolve(ref)

    @tells
    def branches(self, prefix: str = "") -> list[tuple[str, str]]:
        return self._refs.listed("branch", prefix)

    @tells
    def create_branch(self, name: str, source: str = "main") -> str:
        return self._refs.create("branch", name, source)

    @tells
    def delete_branch(self, name: str) -> None:
        self._refs.delete("branch", name)

    @tells
    def tags(self, prefix: str = "") -> list[tuple[str, str]]:
        return self._refs.listed("tag", prefix)

    @tells
    def create_tag(self, name: str, ref: str) -> str:
        return self._refs.create("tag", name, ref)

    @tells
    def delete_tag(self, name: str) -> None:
        self._refs.delete("tag", name)

    @tells
    def commit(self, ref: str) -> Commit:
        return self._history.commit(self._refs.resolve(ref))

    def log(
        self, ref: str, *, limit: int | None = None, path: str | None = None
    ) -> Iterator[Commit]:
        if path is not None:
            check_log_path(path)
        # Here and not in the generator: a wrong ref is told at the call, not at the first `next`.
        return self._log(self.resolve(ref), limit, path)

    @tells
    def diff(self, left: str, right: str, prefix: str = "") -> list[Change]:
        differing = dict(trees.changes(self._tree(left), self._tree(right), prefix))
        return [
            Change(path, "added" if before is None else "removed" if after is None else "changed")
            for path, (before, after) in sorted(differing.items())
        ]

    @tells
    def objects(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        found = sorted(trees.blobs(self._tree(ref), prefix))
        return [self._info(path, self._pointer(blob, path)) for path, blob in found]

    @tells
    def stat(self, ref: str, path: str) -> ObjectInfo:
        return self._info(path, self._found(ref, path))

    @tells
    def read(self, ref: str, path: str) -> bytes:
        return self._store.read(self._found(ref, path), path)

    @tells
    def open(self, ref: str, path: str) -> BinaryIO:
        return self._store.present(self._found(ref, path), path).open("rb")

    @tells
    def locations(self, ref: str, paths: Iterable[str]) -> list[Location]:
        commit = self._refs.resolve(ref)  # once, so that all are of one state
        return [
            Location(str(self._store.present(self._found(commit, path), path))) for path in paths
        ]

    @contextmanager
    def transaction(
        self,
        branch: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        expected: str | None = None,
        allow_unchanged: bool = False,
    ) -> Iterator[Transaction]:
        text, kept = check_message(message), check_metadata(metadata)
        with told(self.url):
            base = self._head(branch, expected)
        transaction = EmbeddedTransaction(self.url, self._store)
        try:
            yield transaction
            transaction.open = False
            with told(self.url):
                blobs = self._blobs(transaction)
                with self._bare.locked():
                    transaction.staging.restore()
                    head = self._head(branch, expected)
                    before, now = self._tree(base), self._tree(head)
                    tree = merging.rebased(self._bare.git, blobs, before, now, branch)
                    if tree != str(now.id):
                        head = self._history.record(branch, text, kept, tree, [head])
                    elif not allow_unchanged:
                        raise NothingToCommitError(
                            f"nothing to commit on `{branch}`: what was put is there already"
                        )
                transaction.ended_as = head
                self._packing.after_commit(head)
        finally:
            transaction.open = False
            transaction.staging.discard()

    @tells
    def merge(
        self,
        source: str,
        into: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        strategy: Strategy | None = None,
    ) -> str:
        text, kept = check_message(message), check_metadata(metadata)
        if strategy not in (None, "source-wins", "dest-wins"):
            raise InvalidNameError(
                f"no strategy {strategy!r}; there is `source-wins` and `dest-wins`"
            )
        with self._bare.locked():
            head, theirs = self._refs.head(into), self._refs.resolve(source)
            found = self._bare.git.merge_base(head, theirs)
            # Several bases (after merges both ways) are rare, and git's choice among them will do;
            # none at all is a history that came by a push: then everything is new.
            base = self._tree(str(found)) if found else None
            what = f"`{source}` into `{into}`"
            ours = self._tree(head)
            tree = merging.merged(
                self._bare.git, base, self._tree(theirs), ours, what=what, strategy=strategy
            )
            if tree == str(ours.id):
                raise NothingToCommitError(f"nothing to merge from {what}")
            self._check_data(ours, tree)
            merged = self._history.record(into, text, kept, tree, [head, theirs])
        self._packing.after_commit(merged)
        return merged

    @tells
    def revert(self, branch: str, commit_id: str, message: str | None = None) -> str:
        taken_back = self.commit(commit_id)
        if not taken_back.parents:
            raise VersionsError(f"{commit_id} is the very first commit and can't be taken back")
        default = f'Revert "{taken_back.message}"\n\nThis reverts commit {taken_back.id}.'
        text = check_message(default if message is None else message)
        with self._bare.locked():
            head = self._refs.head(branch)
            what = f"the undoing of {taken_back.id} into `{branch}`"
            done, undone = self._tree(taken_back.id), self._tree(taken_back.parents[0])
            ours = self._tree(head)
            tree = merging.merged(self._bare.git, done, undone, ours, what=what)
            if tree == str(ours.id):
                raise NothingToCommitError(
                    f"nothing of {taken_back.id} is left to take back on `{branch}`"
                )
            self._check_data(ours, tree)
            reverted = self._history.record(branch, text, {}, tree, [head])
        self._packing.after_commit(reverted)
        return reverted

    @tells
    def collect(
        self, *, grace: timedelta, history: timedelta | None = None, dry_run: bool = False
    ) -> Collected:
        collector = Collector(self._bare, self._store, self._refs, self._history)
        collected = collector.collect(grace, history, dry_run=dry_run)
        packed = Packed() if dry_run else self._packing.everything()
        return replace(collected, packed=packed.objects, saved=packed.before - packed.after)

    @tells
    def verify(self, *refs: str) -> list[str]:
        problems: dict[str, None] = {}  # in order, each once
        seen: set[tuple[str, str]] = set()
        for commit in [self._refs.resolve(ref) for ref in refs or ("main",)]:
            try:
                with told(self.url):
                    found = sorted({*trees.blobs(self._tree(commit))} - seen)
            except RepositoryCorruptError as error:
                problems[str(error)] = None
                continue
            seen.update(found)
            for path, blob in found:
                try:
                    with told(f"{self.url} at `{path}`"):
                        self._store.check(self._pointer(blob, path), path)
                except RepositoryCorruptError as error:
                    problems[str(error)] = None
        return list(problems)

    def _log(self, start: str, limit: int | None, path: str | None) -> Iterator[Commit]:
        with told(self.url):
            yield from self._history.log(start, limit, path)

    def _head(self, branch: str, expected: str | None) -> str:
        head = self._refs.head(check_name("branch", branch))
        if expected is not None and head != expected:
            raise ConflictError(
                f"the branch `{branch}` is at {head}, not at {expected}: read again, decide again"
            )
        return head

    def _tree(self, ref: str) -> Tree:
        return self._history.tree(self._refs.resolve(ref))

    def _pointer(self, blob: str, path: str) -> Pointer:
        return Pointer.decode(self._bare.stored(blob).read_raw(), path)

    def _found(self, ref: str, path: str) -> Pointer:
        check_path(path)
        tree = self._tree(ref)
        blob = trees.blob_at(tree, path)
        if blob is None:
            # Few, for "is it there yet?" is asked often and should be answered at once.
            near = islice(trees.beside(tree, path), 100)
            raise ObjectNotFoundError(f"no object `{path}` at `{ref}`{did_you_mean(path, near)}")
        return self._pointer(blob, path)

    def _check_data(self, before: Tree, after: str) -> None:
        """Refuse to bring back to a branch what was collected, or pushed without its data."""
        from pygit2 import Tree

        for path, (_, blob) in trees.changes(before, self._bare.stored(after).peel(Tree)):
            if blob is not None:
                self._store.present(self._pointer(blob, path), path)

    @staticmethod
    def _info(path: str, pointer: Pointer) -> ObjectInfo:
        return ObjectInfo(path, pointer.checksum, pointer.size)

    def _blobs(self, transaction: EmbeddedTransaction) -> dict[str, str | None]:
        """Write the pointers, outside the lock: until a commit names them they are no more than files."""
        transaction.staging.publish()
        create = self._bare.git.create_blob
        return {
            path: None if pointer is None else str(create(pointer.encode()))
            for path, pointer in transaction.edits.items()
        }
