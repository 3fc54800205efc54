"""A transaction of the embedded repository: files staged as they come, one commit at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlops_assets.errors import VersionsError
from mlops_assets.versions.contract import Transaction
from mlops_assets.versions.embedded.bare import tells, told
from mlops_assets.versions.embedded.objects import ObjectStore, Pointer, Staging
from mlops_assets.versions.paths import check_path


class EmbeddedTransaction(Transaction):
    """Collects what to put (a pointer) and what to remove (None)."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.url = url
        self.edits: dict[str, Pointer | None] = {}
        self.staging = Staging(store)
        self.open = True
        self.ended_as: str | None = None

    @property
    def commit_id(self) -> str:
        """The commit it ended as; see the contract."""
        if self.ended_as is None:
            raise VersionsError("the transaction has no commit: it has not ended, or it failed")
        return self.ended_as

    @tells
    def put(self, path: str, source: Path | bytes | BinaryIO, *, immutable: bool = False) -> None:
        """Add or replace an object; see the contract."""
        self._check(path)
        self.edits[path] = self.staging.put(source, immutable=immutable)

    @contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """Give a local file to write to; see the contract."""
        self._check(path)
        with told(self.url):
            staged = self.staging.file(PurePosixPath(path).suffix)
        yield staged
        with told(self.url):
            self._check(path)
            if not staged.is_file():
                raise VersionsError(
                    f"nothing was written for `{path}`: write one file to exactly {staged}"
                )
            self.edits[path] = self.staging.adopt(staged)

    def remove(self, path: str) -> None:
        """Remove an object; see the contract."""
        self._check(path)
        self.edits[path] = None

    def _check(self, path: str) -> None:
        if not self.open:
            raise VersionsError(
                f"the transaction has ended, `{path}` comes too late: begin another"
            )
        check_path(path)
