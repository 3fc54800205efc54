"""`mlops backup`: the home as one file, taken while whatever runs goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from mlops_assets.backup.taking import take
from mlops_assets.cli.progress import counting_files
from mlops_assets.home import Home


def back_up(file: Path) -> dict[str, Any]:
    """Write the home to one file; return the documented form.

    Raises:
        BackupError: there is nothing to back up, or something stands at the file's place already.

    """
    begun = time.perf_counter()
    with counting_files("copying") as tell:
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


def said_of_backup(taken: dict[str, Any]) -> str:
    """Return what a person reads after a backup."""
    return (
        f"{taken['home']} is in {taken['file']}: {taken['files']:,} files, "
        f"{decimal(taken['archive_bytes'])}."
        + left_out("Not in it, and to be backed up where it is", taken["left_out"])
    )


def left_out(beginning: str, what: list[str]) -> str:
    """Return a line for each part that a backup does not hold."""
    return "".join(f"\n{beginning}: {one}." for one in what)
