"""The parts of one repository on a server, for whoever commits to it: commits, objects, workspaces."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from mlops_assets.versions.lakefs.commits import Commits
from mlops_assets.versions.lakefs.connection import Connection
from mlops_assets.versions.lakefs.migrated import Migrated
from mlops_assets.versions.lakefs.objects import Objects
from mlops_assets.versions.lakefs.workspace import Workspace, drop, left_over

_GRACE = timedelta(days=1)  # of a transaction: nobody's upload takes longer


class Parts:
    """What publishing, merging and migrating need of a repository, by commit ids throughout."""

    def __init__(self, connection: Connection, name: str, cache: Path | None) -> None:
        self.connection = connection
        self.name = name
        self.migrated = Migrated(connection, name)
        self.commits = Commits(connection, name, self.migrated)
        self.data = Objects(connection, name, cache)
        self._swept = False

    def workspace(self, at: str) -> Workspace:
        """Begin a commit on a hidden branch at a commit id; the caller closes it."""
        if not self._swept:
            # once for each handle: what killed processes left is nobody else's to remove
            self._swept = True
            self.sweep(_GRACE)
        return Workspace(self.connection, self.data.transfer, self.commits, self.name, at)

    def sweep(self, grace: timedelta) -> tuple[str, ...]:
        """Remove the hidden branches that killed processes left; return their names."""
        names = left_over(self.commits, grace)
        return tuple(name for name in names if drop(self.connection, self.name, name))
