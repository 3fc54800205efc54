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
    "open_repository",
]


def open_repository(url: str) -> Repository:
    """Open the repository at a folder (a path, or `file://` and an absolute path); make it if absent.

    Raises:
        InvalidNameError: the URL is of a kind that nothing here speaks.
        VersionsError: the folder holds something else, or can't be made.
    """
    scheme, found, rest = url.partition("://")
    if found and scheme != "file":
        raise InvalidNameError(f"no repository can be opened at {url!r}: name a folder")
    from mlops_assets.versions.embedded.repository import EmbeddedRepository

    return EmbeddedRepository(Path(rest if found else url))
