"""A home restored from a backup: checked whole, in a place beside its own, and only then moved there."""

from __future__ import annotations

import os
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlops_assets import clock
from mlops_assets.backup.archive import CHECKSUMS, HEADER, Header, copy, members
from mlops_assets.errors import BackupError
from mlops_assets.home import INSTANCE_SETTINGS, Home, is_earlier

Tell = Callable[[int], None]

_UNUSED = {".gitignore", "in_use.lock", "in_use_by", "dagster/in_use.lock", "dagster/dagster.yaml"}


@dataclass(frozen=True)
class Restored:
    """What was restored, and where what stood there before is now."""

    file: Path
    home: Path
    files: int
    header: Header
    aside: Path | None


def restore(home: Home, file: Path, tell: Tell, *, replace: bool = False) -> Restored:
    """Bring a home back from a backup; nothing is there before all of it was checked.

    Args:
        home: where; by default only where no home is, or one that was never used.
        file: the backup.
        tell: told how many files are out of it.
        replace: put a home that is there aside, under another name, and take its place.

    Raises:
        BackupError: the file is no whole backup, or a home is there.
        HomeError: the home is in use.
    """
    file = file.expanduser().absolute()
    if not file.is_file():
        raise BackupError(f"there is no backup {file}")
    is_new = _is_unused(home.root)
    if not (is_new or replace):
        raise BackupError(
            f"there is a home at {home.root} already: name another place in MLOPS_HOME, or put "
            "this one aside with --replace"
        )
    mounted = home.root.is_mount()
    beside = home.root if mounted else home.root.parent
    beside.mkdir(parents=True, exist_ok=True)
    draft = beside / f".{home.root.name}.restoring-{uuid.uuid4().hex}"
    try:
        with ExitStack() as held:
            if home.root.exists():
                held.enter_context(home.held("mlops restore"))
            draft.mkdir()
            header, count = _unpacked(file, draft, tell)
            os.sync()
            aside = _put_aside(home.root, draft, mounted=mounted)
            try:
                _move(draft, home.root, mounted=mounted)
            except OSError:
                if aside is not None and not mounted:
                    aside.rename(home.root)
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if aside is not None and is_new:
        shutil.rmtree(aside, ignore_errors=True)  # nobody ever used it
        aside = None
    return Restored(file, home.root, count, header, aside)


def _unpacked(file: Path, draft: Path, tell: Tell) -> tuple[Header, int]:
    """Unpack an archive and compare it with its own checksums; return its header and how many files."""
    try:
        with tarfile.open(file, "r:*") as archive:
            header, found, expected = _read(archive, file, draft, tell)
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise BackupError(f"{file} is no backup, or is damaged: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's; gzip's own errors have no number
        raise BackupError(f"{file} is no backup, or is damaged: {error}") from error
    if header is None:
        raise BackupError(f"{file} is no backup of a home: it is empty")
    if expected is None:
        raise BackupError(f"{file} is cut off: its last part, {CHECKSUMS}, is missing")
    _compare(found, expected.decode(errors="surrogateescape"), file)
    return header, len(found)


def _read(
    archive: tarfile.TarFile, file: Path, draft: Path, tell: Tell
) -> tuple[Header | None, dict[str, str], bytes | None]:
    """Write every file; return the header, the checksums as found, and the list of them."""
    found: dict[str, str] = {}
    header: Header | None = None
    expected: bytes | None = None
    for entry, content in members(archive, file):
        if header is None and entry.name != HEADER:
            raise BackupError(f"{file} is no backup of a home: it has no {HEADER}")
        if entry.name == HEADER:
            header = Header.decode(content.read(), file)
        elif entry.name == CHECKSUMS:
            expected = content.read()
        else:
            tarfile.data_filter(entry, str(draft))
            checksum = _written(entry, content, draft)
            if checksum is not None:
                found[entry.name] = checksum
                tell(len(found))
    return header, found, expected


def _written(entry: tarfile.TarInfo, content: BinaryIO, draft: Path) -> str | None:
    """Write one entry; return its checksum, None for a folder."""
    target = draft / entry.name
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as opened:
        checksum = copy(content, opened)
    target.chmod(entry.mode & 0o755 | 0o400)  # objects of the repository are read-only
    os.utime(target, (entry.mtime, entry.mtime))  # `mlops gc` goes by it
    return checksum


def _compare(found: dict[str, str], listed: str, file: Path) -> None:
    """Refuse what is not exactly what the archive says that it holds."""
    expected = {
        name: checksum
        for checksum, _, name in (line.partition("  ") for line in listed.splitlines())
    }
    damaged = sorted(
        name for name in found.keys() | expected if found.get(name) != expected.get(name)
    )
    if damaged:
        raise BackupError(
            f"{file} is damaged: {damaged[0]!r}"
            + (f" and {len(damaged) - 1} more" if len(damaged) > 1 else "")
            + " is not what was backed up; nothing was restored"
        )


def _is_unused(root: Path) -> bool:
    """Tell whether nothing is there, or what a first look at a new home leaves."""
    if not os.path.lexists(root):
        return True
    if not root.is_dir():
        raise BackupError(f"{root} is no folder: name another place in MLOPS_HOME")
    files = {
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if not file.is_dir() or file.is_symlink()
    }
    settings = root / "dagster" / "dagster.yaml"
    written = settings.read_bytes() if settings.is_file() else None
    return files <= _UNUSED and (
        written is None or written == INSTANCE_SETTINGS.encode() or is_earlier(written)
    )


def _put_aside(root: Path, draft: Path, *, mounted: bool) -> Path | None:
    """Give what stands at the home's place another name; return it."""
    if not root.exists():
        return None
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    if not mounted:
        aside = root.with_name(f"{root.name}.replaced-{stamp}")
        root.rename(aside)
        return aside
    aside = root / f".replaced-{stamp}"
    aside.mkdir()
    for part in list(root.iterdir()):
        if part not in {draft, aside}:
            part.rename(aside / part.name)
    return aside


def _move(draft: Path, root: Path, *, mounted: bool) -> None:
    if not mounted:
        draft.rename(root)
        return
    for part in list(draft.iterdir()):  # a file system can't be renamed
        part.rename(root / part.name)
