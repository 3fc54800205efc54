"""A hidden branch on which one commit is prepared, so that nobody ever sees a half of it.

Staging on a branch that others use would mix with theirs: it belongs to the branch, not to us.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from mlops_assets.errors import RefNotFoundError, VersionsError
from mlops_assets.versions.lakefs.commits import HIDDEN, Commits
from mlops_assets.versions.lakefs.connection import PAGE, Connection, whole
from mlops_assets.versions.lakefs.transfer import Content, Transfer

_log = logging.getLogger(__name__)


class Workspace:
    """One hidden branch; it is removed at the end, whatever happened.

    `at` is the commit id that it stands at.
    """

    def __init__(
        self, connection: Connection, transfer: Transfer, commits: Commits, repository: str, at: str
    ) -> None:
        self._connection = connection
        self._transfer = transfer
        self._commits = commits
        self._repository = repository
        self.at = at
        # the time is in the name: who removes what killed processes left needs to know its age
        self.name = f"{HIDDEN}{int(time.time())}-{uuid.uuid4().hex}"
        hide(connection, commits, repository, self.name, at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def upload(self, path: str, content: Content) -> None:
        """Stage an object."""
        self._transfer.upload(self.name, path, content)

    def copy(self, path: str, ref: str) -> None:
        """Stage an object as another commit has it at the same path."""
        from lakefs_sdk.models.object_copy_creation import ObjectCopyCreation

        self._connection.ask(
            f"copying `{path}`",
            self._connection.objects.copy_object,
            self._repository,
            self.name,
            path,
            ObjectCopyCreation(src_path=path, src_ref=ref),
        )

    def remove(self, paths: Sequence[str]) -> None:
        """Stage the removal of objects."""
        from lakefs_sdk.models.path_list import PathList

        for first in range(0, len(paths), PAGE):
            refused = self._connection.ask(
                "removing objects",
                self._connection.objects.delete_objects,
                self._repository,
                self.name,
                PathList(paths=list(paths[first : first + PAGE])),
            )
            if refused.errors:
                told = "; ".join(f"`{one.path}`: {one.message}" for one in refused.errors[:5])
                raise VersionsError(f"objects could not be removed: {told}")

    def reset(self, path: str) -> None:
        """Take back what was staged of an object."""
        from lakefs_sdk.models.reset_creation import ResetCreation

        self._connection.ask(
            f"taking back `{path}`",
            self._connection.branches.reset_branch,
            self._repository,
            self.name,
            ResetCreation(type="object", path=path),
        )

    def commit(
        self,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        at: datetime | None = None,
        allow_empty: bool = False,
    ) -> str:
        """Commit what was staged, on the hidden branch; return the commit id."""
        from lakefs_sdk.models.commit_creation import CommitCreation

        asked = CommitCreation(
            message=message,
            metadata=dict(metadata or {}),
            date=None if at is None else int(at.timestamp()),
            allow_empty=allow_empty,
        )

        def already() -> str | None:
            head = self._commits.head(self.name)
            return None if head == self.at else head

        self.at = self._connection.repeat(
            "committing",
            lambda: str(
                whole(
                    self._connection.commits.commit(
                        self._repository,
                        self.name,
                        asked,
                        _request_timeout=self._connection.limits,
                    )
                ).id
            ),
            already,
        )
        return self.at

    def close(self) -> None:
        """Remove the branch; what can't be removed now, a later sweep does."""
        try:
            drop(self._connection, self._repository, self.name)
        except VersionsError as error:
            _log.warning("the hidden branch %s is left for the next sweep: %s", self.name, error)


def hide(connection: Connection, commits: Commits, repository: str, name: str, at: str) -> None:
    """Create a branch that listings leave out, at a commit id."""
    from lakefs_sdk.models.branch_creation import BranchCreation

    connection.repeat(
        f"creating the branch `{name}`",
        lambda: connection.branches.create_branch(
            repository,
            BranchCreation(name=name, source=at, hidden=True),
            _request_timeout=connection.limits,
        ),
        lambda: commits.branch(name),
    )


def drop(connection: Connection, repository: str, branch: str) -> bool:
    """Remove a branch; say whether it was there."""

    def gone() -> bool | None:
        try:
            connection.ask(
                f"looking for `{branch}`", connection.branches.get_branch, repository, branch
            )
        except RefNotFoundError:
            return True
        return None

    def once() -> bool:
        connection.branches.delete_branch(repository, branch, _request_timeout=connection.limits)
        return True

    try:
        return connection.repeat(f"removing the branch `{branch}`", once, gone)
    except RefNotFoundError:
        return False


def left_over(commits: Commits, grace: timedelta) -> list[str]:
    """Return the hidden branches of transactions that began longer ago than the grace time."""
    begun = time.time() - grace.total_seconds()
    return [name for name, _ in commits.branches(HIDDEN, hidden=True) if _begun(name) <= begun]


def _begun(name: str) -> float:
    text = name.removeprefix(HIDDEN).partition("-")[0]
    return float(text) if text.isdigit() else float("inf")
