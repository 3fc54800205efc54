"""`mlops backup` and `mlops restore`: the home as one file, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from mlops_assets.backup.restoring import restore
from mlops_assets.backup.taking import take
from mlops_assets.cli.progress import spinning
from mlops_assets.home import Home
from mlops_assets.words import counted


def back_up(file: Path) -> dict[str, Any]:
    """Write the home to one file; return the documented form.

    Raises:
        BackupError: there is nothing to back up, or something stands at the file's place already.

    """
    begun = time.perf_counter()
    with _counting("copying") as tell:
        taken = take(Home.find(), file, tell)
    return {
        "home": str(taken.home),
        "file": str(taken.file),
        "files": taken.files,
        "bytes": taken.size,
        "archive_bytes": taken.archive_size,
        "left_out": list(taken.left_out),
        "seconds": round(time.perf_counter() - begun, 2),
    }


def restore_from(file: Path, *, replace: bool) -> dict[str, Any]:
    """Bring the home back from a file; return the documented form.

    Raises:
        BackupError: the file is no whole backup, or a home is there.
        HomeError: the home is in use.

    """
    begun = time.perf_counter()
    with _counting("restoring") as tell:
        restored = restore(Home.find(), file, tell, replace=replace)
    return {
        "home": str(restored.home),
        "file": str(restored.file),
        "taken_at": restored.header.taken_at,
        "taken_from": restored.header.home,
        "files": restored.files,
        "aside": None if restored.aside is None else str(restored.aside),
        "left_out": list(restored.header.left_out),
        "seconds": round(time.perf_counter() - begun, 2),
    }


def said_of_backup(taken: dict[str, Any]) -> str:
    """Return what a person reads after a backup."""
    return (
        f"{taken['home']} is in {taken['file']}: {taken['files']:,} files, "
        f"{decimal(taken['archive_bytes'])}."
        + _left_out("Not in it, and to be backed up where it is", taken["left_out"])
    )


def said_of_restoring(restored: dict[str, Any]) -> str:
    """Return what a person reads after a home was restored."""
    aside = restored["aside"]
    before = f"\nWhat was there before is in {aside}; remove it when you like." if aside else ""
    return (
        f"{restored['home']} is as {restored['taken_from']} was at {restored['taken_at']}: "
        f"{restored['files']:,} files, each compared with its checksum. `mlops verify` looks "
        "further." + before + _left_out("Not in the backup", restored["left_out"])
    )


def _left_out(beginning: str, what: list[str]) -> str:
    return "".join(f"\n{beginning}: {one}." for one in what)


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    """Show how many files are done, on stderr."""
    with spinning(what) as tell:

        def count(files: int) -> None:
            if files % 100 == 0:
                tell(f"{what}: {counted(files, 'file')}")

        yield count
