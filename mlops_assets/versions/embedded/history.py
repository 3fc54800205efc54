"""Commits of the embedded repository: recorded, read, and listed newest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from mlops_assets.errors import RepositoryBusyError
from mlops_assets.versions.contract import Commit
from mlops_assets.versions.embedded.bare import IDENTITY, BareRepository, signature
from mlops_assets.versions.embedded.messages import author_of, decode, encode
from mlops_assets.versions.embedded.refs import Refs, full_name
from mlops_assets.versions.embedded.trees import entry_at

if TYPE_CHECKING:
    import pygit2


class History:
    """The commits, by id."""

    def __init__(self, bare: BareRepository, refs: Refs) -> None:
        self._bare = bare
        self._refs = refs
        # A commit never changes, and sensors read the newest ones again and again.
        self.commit = lru_cache(maxsize=10_000)(self._read)
        self._at = lru_cache(maxsize=10_000)(self._read_at)

    def tree(self, commit_id: str) -> pygit2.Tree:
        """Return the tree of a commit."""
        import pygit2

        return self._bare.stored(commit_id).peel(pygit2.Tree)

    def record(
        self,
        branch: str,
        text: str,
        metadata: Mapping[str, str],
        tree: str,
        parents: Sequence[str],
    ) -> str:
        """Put a commit on a branch whose head is the first parent; only to be called under the lock.

        Raises:
            RepositoryBusyError: stock git, which does not know our lock, moved the branch meanwhile.
        """
        from pygit2 import GitError

        # Later than every parent even where clocks differ: the log's order rests on it.
        now = max(
            datetime.now(UTC),
            *(self.commit(parent).created_at + timedelta(microseconds=1) for parent in parents),
        )
        author = signature(author_of(metadata, IDENTITY), now)
        name = full_name("branch", branch)
        self._bare.unlock_ref(name)
        try:
            return str(
                self._bare.git.create_commit(
                    name,
                    author,
                    signature(IDENTITY, now),
                    encode(text, metadata, now),
                    tree,
                    list(parents),
                )
            )
        except GitError as error:
            if self._refs.head(branch) == parents[0]:
                raise
            raise RepositoryBusyError(
                f"git moved the branch `{branch}` in this very moment; try again"
            ) from error

    def log(self, start: str, limit: int | None, path: str | None) -> Iterator[Commit]:
        """Yield commits newest first, reading no further than asked; see the contract.

        Args:
            start: a commit id.
            limit: how many at most.
            path: an object, or a folder ending in "/".
        """
        queue = [self._by_age(start)]
        seen = {start}
        given = 0
        while queue and (limit is None or given < limit):
            commit = self.commit(heapq.heappop(queue)[1])
            for parent in commit.parents:
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(queue, self._by_age(parent))
            if path is None or self._changes(commit, path):
                given += 1
                yield commit

    def _by_age(self, commit_id: str) -> tuple[float, str]:
        return (-self.commit(commit_id).created_at.timestamp(), commit_id)

    def _changes(self, commit: Commit, path: str) -> bool:
        before = self._at(commit.parents[0], path) if commit.parents else None
        return self._at(commit.id, path) != before

    def _read_at(self, commit_id: str, path: str) -> str | None:
        entry = entry_at(self.tree(commit_id), path.removesuffix("/"))
        wanted = "tree" if path.endswith("/") else "blob"
        return str(entry.id) if entry is not None and entry.type_str == wanted else None

    def _read(self, commit_id: str) -> Commit:
        import pygit2

        found = self._bare.stored(commit_id).peel(pygit2.Commit)
        message = decode(found.message)
        created_at = message.created_at or datetime.fromtimestamp(found.commit_time, UTC)
        parents = tuple(str(parent) for parent in found.parent_ids)
        return Commit(commit_id, message.text, message.metadata, parents, created_at)
