"""What the project declares, read again only after a change of its files.

Loading the definitions imports Dagster and takes seconds; a command that only looks reads what the
last command that loaded them kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError
from mlops_assets.project import Project

FORM = 1
READ = (".py", ".yaml", ".yml", ".toml")


@dataclass(frozen=True)
class Declared:
    """The models of a project: those that can be kept, and why others can't."""

    models: dict[str, Declaration] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    unread: str | None = None  # why the project as a whole can't be read


def declared(project: Project) -> Declared:
    """Return what the project declares, without loading it where nothing changed since."""
    kept = project.home.cache / "declared.json"
    mark = fingerprint(project)
    found = recalled(kept, mark)
    if found is not None:
        return found
    try:
        found = Declared(
            project.declarations, {name: str(error) for name, error in project.broken.items()}
        )
    except DeclarationError as error:
        return Declared(unread=str(error))
    # what breaks one may lie outside of what the mark covers: a package that is not installed
    if not project.home.is_new and not found.broken:
        keep(kept, mark, found)
    return found


def keep(file: Path, mark: str, found: Declared) -> None:
    """Keep what was read, complete or not at all; where nothing can be written, it is read anew."""
    text = json.dumps(
        {
            "mark": mark,
            "models": [one.model_dump(mode="json") for one in found.models.values()],
            "broken": found.broken,
        }
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.write_text(text)
        draft.replace(file)
    except OSError:
        return


def recalled(file: Path, mark: str) -> Declared | None:
    """Return what was kept of the same files; None if anything is another."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
        if kept["mark"] != mark:
            return None
        models = [Declaration.model_validate(one) for one in kept["models"]]
        return Declared({one.name: one for one in models}, dict(kept["broken"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def fingerprint(project: Project) -> str:
    """Return what changes when a file of the project does, or this package."""
    seen = hashlib.sha256(f"{FORM} {project.module}".encode())
    for file in files(project):
        there = file.stat()
        seen.update(f"{file} {there.st_size} {there.st_mtime_ns}\n".encode("utf-8", "replace"))
    return seen.hexdigest()


def files(project: Project) -> Iterator[Path]:
    """Yield the files that can say what is declared: of the project's package, and of this one."""
    top = project.module.partition(".")[0]
    ours = Path(__file__).parents[1]
    folders = {ours, project.root / top, project.root / "src" / top}
    for folder in sorted(folders):
        for where, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith((".", "__")))
            yield from (Path(where, name) for name in sorted(names) if name.endswith(READ))
