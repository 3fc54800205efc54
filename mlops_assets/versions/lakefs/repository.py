"""A repository on a lakeFS server.

The methods' documentation is the contract's. Branches are resolved to a commit once and read by it:
what others have staged and not committed is never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from mlops_assets.errors import (
    InvalidNameError,
    NothingToCommitError,
    ObjectNotFoundError,
    RefExistsError,
    RefNotFoundError,
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
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.creation import find_or_create, is_there
from mlops_assets.versions.lakefs.locating import Locating
from mlops_assets.versions.lakefs.merging import merge
from mlops_assets.versions.lakefs.parts import Parts
from mlops_assets.versions.lakefs.publishing import head_of, publish, take_back
from mlops_assets.versions.lakefs.settings import Settings
from mlops_assets.versions.lakefs.transactions import LakefsTransaction
from mlops_assets.versions.lakefs.workspace import drop, left_over
from mlops_assets.versions.paths import (
    check_log_path,
    check_message,
    check_metadata,
    check_name,
    check_path,
)

MAIN = "main"
_HANDLES = 16  # of repositories and servers that one process uses at a time


def open_lakefs(name: str, cache: Path | None = None, *, create: bool = False) -> LakefsRepository:
    """Open a repository on the server that the environment names; the same handle again and again.

    With `create`, or where the environment names it for that, it is made if it is not there.

    Raises:
        InvalidNameError: no repository can be called so.
        RefNotFoundError: it is not there and may not be made.
        VersionsError: the server is not named, or can't be used.
    """
    settings = Settings.find()
    return _opened(name, replace(settings, create=name) if create else settings, cache)


def is_on_server(name: str) -> bool:
    """Say whether the server that the environment names has such a repository.

    Raises:
        VersionsError: the server is not named, or can't be used.
    """
    return is_there(Connection(Settings.find()), name)


@lru_cache(maxsize=_HANDLES)
def _opened(name: str, settings: Settings, cache: Path | None) -> LakefsRepository:
    # each has its connections and what it knows of commits, which never change
    return LakefsRepository(name, settings, cache)


class LakefsRepository(Repository):
    """A repository on a server; made there where that was asked for."""

    def __init__(self, name: str, settings: Settings, cache: Path | None = None) -> None:
        self.url = f"lakefs://{name}"
        self.name = name
        self._cache = cache
        self.connection = Connection(settings)
        find_or_create(self.connection, name)
        self.parts = Parts(self.connection, name, cache)
        self.commits, self.data = self.parts.commits, self.parts.data
        self._locating = Locating(self.connection, name)

    def __reduce__(
        self,
    ) -> tuple[Callable[[str, Path | None], LakefsRepository], tuple[str, Path | None]]:
        # without the credentials: whoever opens it again has their own
        return open_lakefs, (self.name, self._cache)

    def __repr__(self) -> str:
        return f"LakefsRepository({self.url!r}, {self.connection.settings.endpoint!r})"

    def resolve(self, ref: str) -> str:
        return self.commits.resolve(ref)

    def branches(self, prefix: str = "") -> list[tuple[str, str]]:
        return self.commits.branches(prefix)

    def create_branch(self, name: str, source: str = MAIN) -> str:
        from lakefs_sdk.models.branch_creation import BranchCreation

        return self._create(
            "branch",
            name,
            source,
            lambda commit: self.connection.branches.create_branch(
                self.name,
                BranchCreation(name=name, source=commit),
                _request_timeout=self.connection.limits,
            ),
        )

    def delete_branch(self, name: str) -> None:
        if name == MAIN:
            raise VersionsError(f"the branch `{MAIN}` stays")
        self.commits.head(check_name("branch", name))
        drop(self.connection, self.name, name)

    def tags(self, prefix: str = "") -> list[tuple[str, str]]:
        return self.commits.tags(prefix)

    def create_tag(self, name: str, ref: str) -> str:
        from lakefs_sdk.models.tag_creation import TagCreation

        return self._create(
            "tag",
            name,
            ref,
            lambda commit: self.connection.tags.create_tag(
                self.name,
                TagCreation(id=name, ref=commit),
                _request_timeout=self.connection.limits,
            ),
        )

    def delete_tag(self, name: str) -> None:
        if self.commits.tag(check_name("tag", name)) is None:
            known = (tag for tag, _ in self.tags())
            raise RefNotFoundError(f"no tag `{name}` in {self.url}{did_you_mean(name, known)}")
        self.connection.repeat(
            f"removing the tag `{name}`",
            lambda: self.connection.tags.delete_tag(
                self.name, name, _request_timeout=self.connection.limits
            ),
            lambda: True if self.commits.tag(name) is None else None,
        )

    def commit(self, ref: str) -> Commit:
        return self.commits.get(self.resolve(ref))

    def log(
        self, ref: str, *, limit: int | None = None, path: str | None = None
    ) -> Iterator[Commit]:
        if path is not None:
            check_log_path(path)
        # Here and not in the generator: a wrong ref is told at the call, not at the first `next`.
        start = self.resolve(ref)
        if path is None:
            return self.commits.log(start, limit=limit)
        return islice(self._log_of(start, path), limit)

    def diff(self, left: str, right: str, prefix: str = "") -> list[Change]:
        return self.data.diff(self.resolve(left), self.resolve(right), prefix)

    def objects(self, ref: str, prefix: str = "") -> list[ObjectInfo]:
        return list(self.data.listed(self.resolve(ref), prefix))

    def stat(self, ref: str, path: str) -> ObjectInfo:
        check_path(path)
        return self._found(self.resolve(ref), ref, path)

    def read(self, ref: str, path: str) -> bytes:
        check_path(path)
        commit = self.resolve(ref)
        return self.data.read(commit, self._found(commit, ref, path))

    def open(self, ref: str, path: str) -> BinaryIO:
        check_path(path)
        commit = self.resolve(ref)
        return self.data.open(commit, self._found(commit, ref, path))

    def locations(self, ref: str, paths: Iterable[str]) -> list[Location]:
        commit = self.resolve(ref)  # once, so that all are of one state
        wanted = [check_path(path) for path in paths]
        known = self.data.known(commit, wanted)
        for path in wanted:
            if path not in known:
                raise self._missing(commit, ref, path)
        return self._locating.locations(commit, wanted)

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
        base = head_of(self.parts, check_name("branch", branch), expected)
        transaction = LakefsTransaction(
            lambda: self.parts.workspace(base),
            lambda path: self.data.known(base, [path]).get(path),
        )
        try:
            yield transaction
            transaction.open = False
            made = publish(
                self.parts,
                branch,
                transaction.edits,
                base,
                text,
                kept,
                workspace=transaction.workspace,
                expected=expected,
            )
            if made is None and not allow_unchanged:
                raise NothingToCommitError(
                    f"nothing to commit on `{branch}`: what was put is there already"
                )
            transaction.ended_as = made or self.commits.head(branch)
        finally:
            transaction.open = False
            if transaction.workspace is not None:
                transaction.workspace.close()

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
        check_name("branch", into)
        made = merge(self.parts, source, into, text, kept, strategy)
        if made is None:
            raise NothingToCommitError(f"nothing to merge from `{source}` into `{into}`")
        return made

    def revert(self, branch: str, commit_id: str, message: str | None = None) -> str:
        taken_back = self.commit(commit_id)
        if not taken_back.parents:
            raise VersionsError(f"{commit_id} is the very first commit and can't be taken back")
        default = f'Revert "{taken_back.message}"\n\nThis reverts commit {taken_back.id}.'
        text = check_message(default if message is None else message)
        made = take_back(self.parts, check_name("branch", branch), taken_back, text)
        if made is None:
            raise NothingToCommitError(
                f"nothing of {taken_back.id} is left to take back on `{branch}`"
            )
        return made

    def collect(
        self, *, grace: timedelta, history: timedelta | None = None, dry_run: bool = False
    ) -> Collected:
        del history  # the objects are the server's own to collect, by its rules
        if dry_run:
            return Collected(branches=tuple(left_over(self.commits, grace)))
        return Collected(branches=self.parts.sweep(grace))

    def link(self, commit_id: str, path: str | None = None) -> str | None:
        root = f"{self.connection.settings.endpoint}/repositories/{self.name}"
        if path is None:
            return f"{root}/commits/{commit_id}"
        return f"{root}/object?ref={commit_id}&path={quote(path, safe='')}"

    def verify(self, *refs: str) -> list[str]:
        return list(self.data.problems([self.resolve(ref) for ref in refs or (MAIN,)]))

    def _log_of(self, start: str, path: str) -> Iterator[Commit]:
        """Yield the commits that changed a path. The server's own filter passes over every merge."""
        for commit in self.commits.log(start):
            for parent in commit.parents[:1]:
                changes = self.data.diff(parent, commit.id, path)
                if any(one.path == path or path.endswith("/") for one in changes):
                    yield commit

    def _found(self, commit: str, ref: str, path: str) -> ObjectInfo:
        info = self.data.stat(commit, path)
        if info is None:
            raise self._missing(commit, ref, path)
        return info

    def _missing(self, commit: str, ref: str, path: str) -> ObjectNotFoundError:
        near = self.data.beside(commit, path)
        return ObjectNotFoundError(f"no object `{path}` at `{ref}`{did_you_mean(path, near)}")

    def _create(self, kind: str, name: str, source: str, once: Callable[[str], Any]) -> str:
        """Create a branch or a tag; there already at the same commit is as good."""
        check_name(kind, name)
        commit = self.resolve(source)
        find, other = (
            (self.commits.branch, self.commits.tag)
            if kind == "branch"
            else (self.commits.tag, self.commits.branch)
        )
        if other(name) is not None:
            raise RefExistsError(
                f"`{name}` is a {'tag' if kind == 'branch' else 'branch'} already; "
                "name it otherwise"
            )
        at = find(name)
        if at is None:
            self.connection.repeat(
                f"creating the {kind} `{name}`", lambda: once(commit), lambda: find(name)
            )
            at = find(name)
        if at != commit:
            raise RefExistsError(f"the {kind} `{name}` is there already, at {at}, not at {commit}")
        return commit
