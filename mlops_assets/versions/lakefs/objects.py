"""Objects of a commit on a lakeFS server: looked up, listed, compared and read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mlops_assets.errors import RefNotFoundError, RepositoryCorruptError
from mlops_assets.versions.contract import Change, ObjectInfo
from mlops_assets.versions.lakefs.checksums import Checksums
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.transfer import Transfer

if TYPE_CHECKING:
    from lakefs_sdk.models.object_stats import ObjectStats

_FEW = 20  # paths that are asked for one by one; more are listed

_KINDS: dict[str, Literal["added", "removed", "changed"]] = {
    "added": "added",
    "removed": "removed",
    "changed": "changed",
}


class Objects:
    """The objects of one repository, by commit id."""

    def __init__(self, connection: Connection, repository: str, cache: Path | None) -> None:
        self._connection = connection
        self._repository = repository
        self.transfer = Transfer(connection, repository)
        self._checksums = Checksums(cache)

    def stat(self, commit: str, path: str) -> ObjectInfo | None:
        """Return what is known of an object, or None."""
        try:
            stats = self._connection.ask(
                f"looking for `{path}` at {commit[:12]}",
                self._connection.objects.stat_object,
                self._repository,
                commit,
                path,
                user_metadata=True,
            )
        except RefNotFoundError:
            return None
        return self._info(commit, stats)

    def listed(self, commit: str, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose path begins with the prefix, sorted by path."""
        for stats in self._stats(commit, prefix):
            yield self._info(commit, stats)

    def known(self, commit: str, paths: Iterable[str]) -> dict[str, str]:
        """Return the SHA-256 of each of these objects that is there."""
        wanted = set(paths)
        if len(wanted) > _FEW:
            found = self.listed(commit, os.path.commonprefix(sorted(wanted)))  # noqa: RUF071  # a prefix is no folder
            return {info.path: info.checksum for info in found if info.path in wanted}
        infos = (self.stat(commit, path) for path in sorted(wanted))
        return {info.path: info.checksum for info in infos if info is not None}

    def around(self, commit: str, paths: Iterable[str]) -> dict[str, list[str]]:
        """Return, for each path, the objects that one there would clash with: above it, or below."""
        wanted = sorted(set(paths))
        folders: dict[str, bool] = {}
        return {
            path: [
                *(above for above in _above(path) if self._is_object(commit, above, folders)),
                *self._paths(commit, f"{path}/"),
            ]
            for path in wanted
        }

    def beside(self, commit: str, path: str) -> list[str]:
        """Return up to 100 objects in the same folder as a path, but none of the folders below."""
        folder, slash, _ = path.rpartition("/")
        page = self._connection.ask(
            f"listing `{folder}` at {commit[:12]}",
            self._connection.objects.list_objects,
            self._repository,
            commit,
            prefix=f"{folder}{slash}",
            delimiter="/",
            amount=100,
        )
        return [stats.path for stats in page.results if stats.path_type == "object"]

    def diff(self, left: str, right: str, prefix: str) -> list[Change]:
        """Return what has to be done to the left commit's objects to get the right's."""
        found = {
            one.path: one.type
            for one in self._connection.pages(
                f"comparing {left[:12]} with {right[:12]}",
                self._connection.refs.diff_refs,
                self._repository,
                left,
                right,
                type="two_dot",
                prefix=prefix,
            )
        }
        # lakeFS also counts other metadata, and what somebody uploaded once more, as a change
        changed = [path for path, kind in found.items() if kind == "changed"]
        before, after = self.known(left, changed), self.known(right, changed)
        same = {path for path in changed if before.get(path) == after.get(path)}
        return [Change(path, _KINDS[found[path]]) for path in sorted(found) if path not in same]

    def read(self, commit: str, info: ObjectInfo) -> bytes:
        """Return an object's data.

        Raises:
            RepositoryCorruptError: it does not match its checksum.
        """
        data = b"".join(self.transfer.pieces(commit, info.path, info.size))
        if hashlib.sha256(data).hexdigest() != info.checksum:
            raise self._damaged(info)
        return data

    def check(self, commit: str, info: ObjectInfo) -> None:
        """Read an object through.

        Raises:
            RepositoryCorruptError: it does not match its checksum.
        """
        if self.transfer.checksum(commit, info.path, info.size) != info.checksum:
            raise self._damaged(info)

    def problems(self, commits: Iterable[str]) -> Iterator[str]:
        """Read every object of the commits, each once, and yield what is missing or damaged."""
        seen = set()
        for commit in commits:
            for stats in self._stats(commit, ""):
                key = (stats.path, stats.physical_address)
                if key in seen:
                    continue
                seen.add(key)
                try:
                    self.check(commit, self._info(commit, stats))
                except (RepositoryCorruptError, RefNotFoundError) as error:
                    yield str(error)

    def open(self, commit: str, info: ObjectInfo) -> BinaryIO:
        """Open an object for reading; its content is not checked."""
        return self.transfer.open(commit, info.path, info.size)

    def _stats(self, commit: str, prefix: str) -> Iterator[Any]:
        return self._connection.pages(
            f"listing `{prefix}` at {commit[:12]}",
            self._connection.objects.list_objects,
            self._repository,
            commit,
            prefix=prefix,
            user_metadata=True,
        )

    def _paths(self, commit: str, prefix: str) -> list[str]:
        return [stats.path for stats in self._stats(commit, prefix)]

    def _is_object(self, commit: str, path: str, folders: dict[str, bool]) -> bool:
        """Say whether an object stands at a path that a new one needs for its folder.

        What has objects below it is a folder, since no object stands where another has its folder;
        that is asked once for each.
        """
        if path not in folders:
            page = self._connection.ask(
                f"listing `{path}` at {commit[:12]}",
                self._connection.objects.list_objects,
                self._repository,
                commit,
                prefix=f"{path}/",
                amount=1,
            )
            folders[path] = bool(page.results)
        return not folders[path] and self.stat(commit, path) is not None

    def _info(self, commit: str, stats: ObjectStats) -> ObjectInfo:
        return self._checksums.info(
            stats,
            lambda: self.transfer.checksum(commit, stats.path, stats.size_bytes or 0),
        )

    @staticmethod
    def _damaged(info: ObjectInfo) -> RepositoryCorruptError:
        return RepositoryCorruptError(
            f"the data of `{info.path}` is damaged: it does not match its checksum "
            f"{info.checksum[:12]}; put the object again, or bring it back in the server's store"
        )


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
