"""Commits and refs of a lakeFS repository as the contract shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from mlops_assets.errors import RefNotFoundError, did_you_mean
from mlops_assets.versions.contract import Commit
from mlops_assets.versions.lakefs.connection import PAGE, Connection
from mlops_assets.versions.lakefs.migrated import Migrated
from mlops_assets.versions.paths import is_commit_id, is_name

KEY = ".mlops.key"  # of each attempt to commit: after a lost reply, the log is searched for it
AT = ".mlops.at"  # when, to the microsecond; lakeFS keeps whole seconds
# What a commit merged, where its second parent is a step: empty for a transaction, which merged
# nothing; another commit where lakeFS' own merge would not do, see `joining`.
MERGED = ".mlops.merged"
STEP = ".mlops.step"  # of the commits that were made aside on the way, which nobody is shown

HIDDEN = "mlops-tx-"  # how the hidden branches of transactions begin

_OURS = (KEY, AT, MERGED, STEP, ".lakefs.", "::lakefs::")
_SHORT_ID = re.compile(r"[0-9a-fA-F]{7,63}")
_ID_LENGTH = 64


class Commits:
    """The commits of one repository, and the names they are found by."""

    def __init__(self, connection: Connection, repository: str, migrated: Migrated) -> None:
        self._connection = connection
        self._repository = repository
        self._migrated = migrated
        # A commit never changes, and sensors read the newest ones again and again.
        self.get = lru_cache(maxsize=10_000)(self._get)

    def resolve(self, ref: str) -> str:
        """Return the commit id of a ref; see the contract.

        An id from before a migration stands for the commit that was made of it.
        """
        if is_commit_id(ref):
            found = self._by_id(ref.lower())
        else:
            found = self.branch(ref) or self.tag(ref) or self._by_beginning(ref.lower())
        if found is None:
            known = [name for name, _ in (*self.branches(""), *self.tags(""))]
            raise RefNotFoundError(
                f"no branch, tag or commit `{ref}` in the lakeFS repository "
                f"`{self._repository}`{did_you_mean(ref, known)}"
            )
        return found

    def head(self, branch: str) -> str:
        """Return the commit id of a branch.

        Raises:
            RefNotFoundError: no such branch.
        """
        found = self.branch(branch)
        if found is None:
            known = [name for name, _ in self.branches("")]
            raise RefNotFoundError(
                f"no branch `{branch}` in the lakeFS repository "
                f"`{self._repository}`{did_you_mean(branch, known)}"
            )
        return found

    def branch(self, name: str) -> str | None:
        """Return the commit id of a branch, or None."""
        return self._named(name, self._connection.branches.get_branch)

    def tag(self, name: str) -> str | None:
        """Return the commit id of a tag, or None."""
        return self._named(name, self._connection.tags.get_tag)

    def branches(self, prefix: str, *, hidden: bool = False) -> list[tuple[str, str]]:
        """Return (name, commit id) of each branch, sorted by name."""
        found = self._connection.pages(
            "listing the branches",
            self._connection.branches.list_branches,
            self._repository,
            prefix=prefix,
            show_hidden=hidden,
        )
        return sorted(
            (branch.id, branch.commit_id)
            for branch in found
            if hidden or not branch.id.startswith((HIDDEN, Migrated.BRANCH))
        )

    def tags(self, prefix: str) -> list[tuple[str, str]]:
        """Return (name, commit id) of each tag, sorted by name."""
        found = self._connection.pages(
            "listing the tags", self._connection.tags.list_tags, self._repository, prefix=prefix
        )
        return sorted((tag.id, tag.commit_id) for tag in found)

    def log(self, start: str, *, limit: int | None = None) -> Iterator[Commit]:
        """Yield the commits reachable from an id, newest first; see the contract."""
        found = self._connection.pages(
            f"reading the log of {start[:12]}",
            self._connection.refs.log_commits,
            self._repository,
            start,
            first=min(limit or 100, PAGE),
        )
        commits = (shown(commit) for commit in found if STEP not in (commit.metadata or {}))
        return islice(commits, limit)

    def find(self, branch: str, key: str, since: str) -> str | None:
        """Return the commit on a branch that an attempt made, or None; `since` is an older one."""
        found = self._connection.pages(
            f"looking for the commit on `{branch}`",
            self._connection.refs.log_commits,
            self._repository,
            branch,
            first=100,
            first_parent=True,
            stop_at=since,
        )
        for commit in found:
            if (commit.metadata or {}).get(KEY) == key:
                return str(commit.id)
            if commit.id == since:
                break
        return None

    def _named(self, name: str, get: Any) -> str | None:
        if not is_name(name):
            return None
        try:
            found = self._connection.ask(f"looking for `{name}`", get, self._repository, name)
        except RefNotFoundError:
            return None
        return str(found.commit_id)

    def _by_id(self, commit_id: str) -> str | None:
        if len(commit_id) != _ID_LENGTH:
            return self._migrated.new(commit_id)
        try:
            return self.get(commit_id).id
        except RefNotFoundError:
            return self._migrated.new(commit_id)

    def _by_beginning(self, beginning: str) -> str | None:
        if not _SHORT_ID.fullmatch(beginning):
            return None
        try:
            return self.get(beginning).id
        except RefNotFoundError:
            return self._migrated.new(beginning)

    def _get(self, commit_id: str) -> Commit:
        found = self._connection.ask(
            f"reading the commit {commit_id[:12]}",
            self._connection.commits.get_commit,
            self._repository,
            commit_id,
        )
        return shown(found)


def shown(commit: Any) -> Commit:
    """Return the SDK's commit as the contract's, without what is there for lakeFS and for us."""
    metadata: Mapping[str, str] = commit.metadata or {}
    at = metadata.get(AT)
    merged = metadata.get(MERGED)
    return Commit(
        id=commit.id,
        message=commit.message,
        metadata={key: text for key, text in metadata.items() if not key.startswith(_OURS)},
        parents=tuple(commit.parents)
        if merged is None
        else tuple(filter(None, (commit.parents[0], merged))),
        created_at=datetime.fromisoformat(at)
        if at
        else datetime.fromtimestamp(commit.creation_date, UTC),
    )
