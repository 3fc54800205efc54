"""A transaction over lakeFS: uploads to a hidden branch as they come, one commit at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlops_assets.errors import VersionsError
from mlops_assets.versions.contract import Transaction
from mlops_assets.versions.lakefs.publishing import Edit
from mlops_assets.versions.lakefs.transfer import Content, measured, spooled
from mlops_assets.versions.lakefs.workspace import Workspace
from mlops_assets.versions.paths import check_path


class LakefsTransaction(Transaction):
    """Collects edits; what differs from the base is uploaded at once."""

    def __init__(
        self, begin: Callable[[], Workspace], checksum_at: Callable[[str], str | None]
    ) -> None:
        self._begin = begin
        self._checksum_at = checksum_at
        self.edits: dict[str, Edit] = {}
        self.workspace: Workspace | None = None
        self.open = True
        self.ended_as: str | None = None

    @property
    def commit_id(self) -> str:
        """The commit it ended as; see the contract."""
        if self.ended_as is None:
            raise VersionsError("the transaction has no commit: it has not ended, or it failed")
        return self.ended_as

    def put(self, path: str, source: Path | bytes | BinaryIO, *, immutable: bool = False) -> None:
        """Add or replace an object; see the contract."""
        del immutable  # whatever it is, it travels to the server
        self._check(path)
        if isinstance(source, Path | bytes):
            self._put(path, measured(source))
        else:
            with spooled(source) as content:
                self._put(path, content)

    @contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """Give a local file to write to; see the contract."""
        self._check(path)
        with tempfile.TemporaryDirectory(prefix="mlops-upload-") as folder:
            staged = Path(folder) / f"0{PurePosixPath(path).suffix}"
            yield staged
            self._check(path)
            if not staged.is_file():
                raise VersionsError(
                    f"nothing was written for `{path}`: write one file to exactly {staged}"
                )
            self._put(path, measured(staged))

    def remove(self, path: str) -> None:
        """Remove an object; see the contract."""
        self._check(path)
        self.edits[path] = Edit(None)

    def _put(self, path: str, content: Content) -> None:
        # what the base has already need not travel; written again over a removal, it is there too
        if self._checksum_at(path) != content.checksum:
            if self.workspace is None:
                self.workspace = self._begin()
            self.workspace.upload(path, content)
        elif self.workspace is not None and path in self.edits:
            self.workspace.reset(path)
        self.edits[path] = Edit(content.checksum)

    def _check(self, path: str) -> None:
        if not self.open:
            raise VersionsError(
                f"the transaction has ended, `{path}` comes too late: begin another"
            )
        check_path(path)
