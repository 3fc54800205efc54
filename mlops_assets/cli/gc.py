"""`mlops gc`: the data that nothing reaches any more is removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.filesize import decimal

from mlops_assets.cli.output import stderr
from mlops_assets.home import Home
from mlops_assets.versions import Collected, existing_repository
from mlops_assets.words import counted


def collect_garbage(grace: float, keep_days: int | None, *, dry_run: bool) -> dict[str, Any]:
    """Remove the data that nothing reaches, or only say what would go; return the documented form.

    Args:
        grace: hours; what was written or touched since then stays.
        keep_days: also let go of what was replaced longer ago than so many days.
        dry_run: remove nothing.

    Raises:
        RepositoryBusyError: the repository could not be had in time.
        RepositoryCorruptError: what a branch reaches can't be read; nothing was removed.

    """
    home = Home.find()
    repository = existing_repository(home.repository, home.cache)
    collected = Collected()
    if repository is not None:
        stderr.print(f"looking through {repository.url}", markup=False)
        collected = repository.collect(
            grace=timedelta(hours=grace),
            history=None if keep_days is None else timedelta(days=keep_days),
            dry_run=dry_run,
        )
    return {
        "repository": home.repository if repository is None else repository.url,
        "dry_run": dry_run,
        "objects": collected.objects,
        "bytes": collected.size,
        "branches": list(collected.branches),
        "packed": collected.packed,
        "saved": collected.saved,
    }


def said_of(collection: dict[str, Any]) -> str:
    """Return a sentence about a collection for a person."""
    went = "would go" if collection["dry_run"] else "went"
    objects, branches = collection["objects"], len(collection["branches"])
    left = (
        f", and {counted(branches, 'branch', 'branches')} that killed processes left"
        if branches
        else ""
    )
    packed = (
        f"\nPacked {counted(collection['packed'], 'object')} of git's own: {decimal(collection['saved'])} less."
        if collection["packed"]
        else ""
    )
    return f"{collection['repository']}: {counted(objects, 'object')}, {decimal(collection['bytes'])} {went}{left}.{packed}"
