"""Read Parquet objects of a commit, and write one object as one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.reading import scan as scan_file
from mlops_assets.errors import ObjectNotFoundError
from mlops_assets.versions import Repository

CODE = "mlops.code_version"  # in the Parquet file's own metadata


@dataclass(frozen=True)
class Written:
    """An object as it was committed."""

    commit: str
    path: str
    checksum: str
    size: int
    link: str | None = None  # where a person sees it, if the repository has such a place


def checksum_of(repository: Repository, commit: str, path: str) -> str | None:
    """Return the checksum of an object of a commit, or None if it has none at that path."""
    try:
        return repository.stat(commit, path).checksum
    except ObjectNotFoundError:
        return None


def scan(repository: Repository, commit: str, path: str) -> pl.LazyFrame:
    """Open a Parquet object of a commit lazily, in place.

    Raises:
        ObjectNotFoundError: the commit has no such object.

    """
    location = repository.location(commit, path)
    return scan_file(location.uri, location.storage_options)


def sink(frame: pl.LazyFrame, target: Path, code: str = "") -> None:
    """Stream a frame to a Parquet file: equal rows give equal bytes, and so one data version."""
    frame.sink_parquet(
        target,
        compression="zstd",
        row_group_size=262_144,
        maintain_order=True,
        metadata={CODE: code} if code else None,
    )


def made_by(repository: Repository, commit: str, path: str) -> str:
    """Return the code version that wrote a Parquet object; empty if it doesn't say."""
    location = repository.location(commit, path)
    options = dict(location.storage_options) or None
    return pl.read_parquet_metadata(location.uri, storage_options=options).get(CODE, "")


def commit_file(
    repository: Repository,
    path: str,
    fill: Callable[[Path], None],
    message: str,
    metadata: Mapping[str, str],
) -> Written:
    """Write one object by `fill(local file)` and commit it to main."""
    with (
        repository.transaction(MAIN, message, metadata, allow_unchanged=True) as transaction,
        transaction.file(path) as target,
    ):
        fill(target)
    info = repository.stat(transaction.commit_id, path)
    link = repository.link(transaction.commit_id, path)
    return Written(transaction.commit_id, path, info.checksum, info.size, link)


def exists(repository: Repository, commit: str, path: str) -> bool:
    """Say whether the commit has an object at that path."""
    return checksum_of(repository, commit, path) is not None
