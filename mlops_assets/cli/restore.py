"""`mlops restore`: the home brought back from one file, whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mlops_assets.backup.restoring import restore
from mlops_assets.cli.backup import left_out
from mlops_assets.cli.progress import counting_files
from mlops_assets.home import Home


def restore_from(file: Path, *, replace: bool) -> dict[str, Any]:
    """Bring the home back from a file; return the documented form.

    Raises:
        BackupError: the file is no whole backup, or a home is there.
        HomeError: the home is in use.

    """
    begun = time.perf_counter()
    with counting_files("restoring") as tell:
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


def said_of_restoring(restored: dict[str, Any]) -> str:
    """Return what a person reads after a home was restored."""
    aside = restored["aside"]
    before = f"\nWhat was there before is in {aside}; remove it when you like." if aside else ""
    return (
        f"{restored['home']} is as {restored['taken_from']} was at {restored['taken_at']}: "
        f"{restored['files']:,} files, each compared with its checksum. `mlops verify` looks "
        "further." + before + left_out("Not in the backup", restored["left_out"])
    )
