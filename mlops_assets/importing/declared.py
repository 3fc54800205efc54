"""The history that a declaration names: folders with one file for each window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlops_assets import clock
from mlops_assets.batches.landing import Kind
from mlops_assets.batches.reading import ending, stem
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError, UnknownNameError


def history(
    root: Path, declaration: Declaration, since: str | None, until: str | None
) -> tuple[dict[str, dict[Kind, Path]], list[str]]:
    """Return window -> kind -> file, oldest first, of what is to be played; and what is left out.

    Without `until`, to the end that the declaration gives to its history. A file of no declared
    window, as of a month that began before the first one, or of a window that is yet to begin is
    left out, with a line that says why.

    Args:
        root: the project's folder, in which the declared ones stand.
        declaration: of the model.
        since: the first window; None: the first of which there is a file.
        until: the last window.

    Raises:
        DeclarationError: a declared folder is not there.
        UnknownNameError: `since` or `until` is no declared window.

    """
    for window in (since, until):
        if window is not None:
            declaration.windows.begins(window)
    last = until or declaration.batches.history_until
    now = clock.now()
    found: dict[str, dict[Kind, Path]] = {}
    skipped: list[str] = []
    kinds: tuple[tuple[Kind, str | None], ...] = (
        ("batches", declaration.batches.history),
        ("labels", declaration.labels.history),
    )
    for kind, folder in kinds:
        for file in _files(root, declaration, folder):
            window = stem(file)
            try:
                declaration.windows.begins(window)
            except UnknownNameError as error:
                skipped.append(f"{file}: {error}")
                continue
            if not declaration.windows.has_begun(window, now):
                skipped.append(f"{file}: {window} is yet to begin")
            elif (since is None or window >= since) and (last is None or window <= last):
                found.setdefault(window, {})[kind] = file
    return {window: found[window] for window in sorted(found)}, skipped


def _files(root: Path, declaration: Declaration, folder: str | None) -> Iterator[Path]:
    """Yield the files in a folder that can be read, by name."""
    if folder is None:
        return
    place = root / folder
    if not place.is_dir():
        raise DeclarationError(
            f"{declaration.name}: no folder {place}, which the declaration names"
        )
    for file in sorted(place.iterdir()):
        if ending(file):
            yield file
