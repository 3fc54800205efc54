"""Ids from before a migration: which commit was made of which.

They stand on a hidden branch of their own, one line `<old id> <new id>` for each commit, so that
whoever opens the repository resolves what ledgers, tags and rows have named before.
"""

from __future__ import annotations

import threading

from mlops_assets.errors import ObjectNotFoundError, RefNotFoundError
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.transfer import Transfer


class Migrated:
    """Old ids to new ones; read when first asked, and again when the branch has moved."""

    BRANCH = "mlops-migrated"
    PATH = "commits.txt"

    def __init__(self, connection: Connection, repository: str) -> None:
        self._connection = connection
        self._repository = repository
        self._transfer = Transfer(connection, repository)
        self._lock = threading.Lock()
        self._head: str | None = None
        self._ids: dict[str, str] = {}

    def new(self, old: str) -> str | None:
        """Return the new id of an old one, or of its unique beginning; None if there is none."""
        if old in self._ids:
            return self._ids[old]
        ids = self.ids()
        if old in ids:
            return ids[old]
        found = [new for known, new in ids.items() if known.startswith(old)]
        return found[0] if len(found) == 1 else None

    def ids(self) -> dict[str, str]:
        """Return every old id with its new one."""
        with self._lock:
            head = self._current()
            if head is not None and head != self._head:
                self._ids = self._read(head)
                self._head = head
            return self._ids

    def _current(self) -> str | None:
        try:
            branch = self._connection.ask(
                "looking for migrated commits",
                self._connection.branches.get_branch,
                self._repository,
                self.BRANCH,
            )
        except RefNotFoundError:
            return None
        return str(branch.commit_id)

    def _read(self, head: str) -> dict[str, str]:
        try:
            stats = self._connection.ask(
                "reading the migrated commits",
                self._connection.objects.stat_object,
                self._repository,
                head,
                self.PATH,
            )
        except (RefNotFoundError, ObjectNotFoundError):
            return {}
        pieces = self._transfer.pieces(head, self.PATH, stats.size_bytes or 0)
        lines = b"".join(pieces).decode().splitlines()
        return dict(line.split(" ") for line in lines if line)
