"""Data versions: one contract in lakeFS' words, and its implementations."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import InvalidNameError
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

__all__ = [
    "Change",
    "Collected",
    "Commit",
    "Location",
    "ObjectInfo",
    "Repository",
    "Strategy",
    "Transaction",
    "existing_repository",
    "open_repository",
]


def open_repository(url: str, cache: Path | None = None) -> Repository:
    """Open the repository at an address; a folder is made if it is not there.

    Args:
        url: a folder (a path, or `file://` and an absolute path), or `lakefs://` and a repository's
            name, on the server that the environment or ~/.lakectl.yaml names.
        cache: a folder that a server's repository may keep checksums in; nothing is lost with it.

    Raises:
        InvalidNameError: the URL is of a kind that nothing here speaks.
        RefNotFoundError: the server has no such repository.
        VersionsError: the folder holds something else, or can't be made; or the server can't be used.
    """
    scheme, found, rest = url.partition("://")
    if found and scheme == "lakefs":
        from mlops_assets.versions.lakefs.repository import open_lakefs

        return open_lakefs(rest.rstrip("/"), cache)
    if found and scheme != "file":
        raise InvalidNameError(
            f"no repository can be opened at {url!r}: name a folder, or lakefs://<repository>"
        )
    from mlops_assets.versions.embedded.repository import EmbeddedRepository

    return EmbeddedRepository(Path(rest if found else url))


def existing_repository(url: str, cache: Path | None = None) -> Repository | None:
    """Open the repository at an address, or return None: looking makes none.

    Raises:
        InvalidNameError, VersionsError: as `open_repository`.
    """
    scheme, found, rest = url.partition("://")
    if found and scheme == "lakefs":
        from mlops_assets.versions.lakefs.repository import is_on_server

        there = is_on_server(rest.rstrip("/"))
    else:
        there = Path(rest if found else url).exists()
    return open_repository(url, cache) if there else None
