"""Backends in a folder: contents as files, complete or absent, added by anybody, never changed.

`RecordFolder`:
    incoming/<sha>.json    added, not yet in the index
    records/aa/<sha>.json  in the index (or of a kind that this version doesn't know)
    aside/                 what came in and was no record; never read again
`BlobFolder`, beside it:
    blobs/aa/<sha>         profiles and references
both:
    staging/               half written; removed after a while
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from mlops_assets.errors import StoreError

_SHARD = re.compile("[0-9a-f]{2}").fullmatch
_RECORD = re.compile(r"[0-9a-f]{64}\.json").fullmatch
# what file systems without hard links answer: FAT, several network and user-space ones, Android
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EMLINK}


class Folder:
    """A `Backend`: the files of one folder, which is made by the first write.

    Names that begin with a dot are not for use: they are files half written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def add_if_absent(self, name: str, content: bytes) -> bool:
        """Add a file under a name that has none; return whether this call added it."""
        draft = self.root / f".{name}.{uuid.uuid4().hex}"
        return _publish(self.root / name, draft, content, self.root / ".lock") is not None

    def names(self) -> list[str]:
        """Return the names of all files, in no order."""
        try:
            # half the time of iterdir, on every read of a ledger
            return [name for name in os.listdir(self.root) if not name.startswith(".")]
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises FileNotFoundError where there is none."""
        return (self.root / name).read_bytes()


class RecordFolder:
    """An `IndexedBackend`: records as files below ``root``, which is made by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = str(root / "incoming")
        self._records = str(root / "records")

    def add_if_absent(self, name: str, content: bytes) -> bool:
        """Add a file under a name that has none; return whether this call added it."""
        # in this order: a file moves from incoming to records, never back
        if self.is_unindexed(name) or self.is_indexed(name):
            return False
        draft = self.root / "staging" / uuid.uuid4().hex
        added = _publish(Path(self._incoming, name), draft, content, self.root / "publish.lock")
        if added is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            # another's may have come, and been indexed, after the look above
            return os.stat(self._indexed(name)).st_ino == added
        return True

    def names(self) -> list[str]:
        """Return the names of all files, in no order."""
        unindexed = self.unindexed()  # in this order, as above
        return [*{*unindexed, *self.indexed()}]

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises FileNotFoundError where there is none.

        Raises:
            StoreError: it is a folder, which others put there.
        """
        try:
            for path in (f"{self._incoming}/{name}", self._indexed(name)):
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    return file.read()
        except IsADirectoryError:
            raise StoreError(f"{name} is a folder") from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def unindexed(self) -> list[str]:
        """Return the names of files that came in and are not in the index yet, the oldest first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._incoming) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # it went into the index just now
                    found.append((file.stat(follow_symlinks=False).st_mtime_ns, file.name))
        return [name for _, name in sorted(found)]

    def is_unindexed(self, name: str) -> bool:
        """Whether a file of this name waits in incoming."""
        return os.path.exists(f"{self._incoming}/{name}")

    def mark_indexed(self, names: Iterable[str]) -> None:
        """Move files that are in the index from incoming to where they stay."""
        for name in names:
            indexed = self._indexed(name)
            with contextlib.suppress(FileNotFoundError):
                if os.path.exists(indexed):  # a twin that came in while the first was indexed
                    os.unlink(f"{self._incoming}/{name}")
                    continue
                os.makedirs(os.path.dirname(indexed), exist_ok=True)
                os.replace(f"{self._incoming}/{name}", indexed)

    def indexed(self) -> list[str]:
        """Return the names of all files that are in the index, in no order."""
        found: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            for shard in filter(_SHARD, os.listdir(self._records)):
                # others are no affair of ours
                names = filter(_RECORD, os.listdir(f"{self._records}/{shard}"))
                found += (name for name in names if name.startswith(shard))
        return found

    def is_indexed(self, name: str) -> bool:
        """Whether a file of this name is in the index."""
        return os.path.exists(self._indexed(name))

    def set_aside(self, name: str) -> str:
        """Move what is no record to where it is never read again; return where that is."""
        aside = self.root / "aside" / name
        aside.parent.mkdir(exist_ok=True)
        if aside.exists():
            aside = aside.with_name(f"{name}.{uuid.uuid4().hex[:8]}")
        for path in (f"{self._incoming}/{name}", self._indexed(name)):
            with contextlib.suppress(FileNotFoundError):  # a rebuild beside it was quicker
                os.replace(path, aside)
                break
        return str(aside)

    def aside(self) -> list[str]:
        """Return the names of files that came in and were no records."""
        aside = self.root / "aside"
        return sorted(path.name for path in aside.iterdir()) if aside.exists() else []

    def remove_drafts(self, grace: float) -> int:
        """Remove what killed writers left half written over ``grace`` seconds ago; count it."""
        removed = 0
        for draft in (self.root / "staging").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # its writer lives, and was quicker
                if time.time() - draft.stat().st_mtime >= grace:
                    draft.unlink()
                    removed += 1
        return removed

    def _indexed(self, name: str) -> str:
        return f"{self._records}/{name[:2]}/{name}"


class BlobFolder:
    """Profiles and references, named by their content, until nothing needs them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, data: bytes) -> str:
        """Keep a profile or a reference and return its SHA-256, in hex."""
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        try:
            os.utime(path)  # it is needed again: whoever removes what is old leaves it
        except FileNotFoundError:
            draft = self.root / "staging" / uuid.uuid4().hex
            _publish(path, draft, data, self.root / "publish.lock")
        return name

    def read(self, name: str) -> bytes:
        """Return a blob by its id; raises StoreError where it is absent or damaged."""
        try:
            data = self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise StoreError(
                f"the store has no blob {name!r}; was it made in another home?"
            ) from None
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreError(f"the blob {name} is damaged; delete it and make the profile again")
        return data

    def has(self, name: str) -> bool:
        """Whether a blob is there, whole or not."""
        return self._path(name).is_file()

    def remove(self, name: str, grace: float, *, rehearse: bool = False) -> int | None:
        """Remove a blob that nobody added within ``grace`` seconds; return its bytes, or None.

        One who adds the same blob at this moment finds it touched, or gone and writes it again.
        """
        path, away = self._path(name), self.root / "staging" / f"removed-{name}"
        try:
            known = path.stat()
            if time.time() - known.st_mtime < grace:
                return None
            if not rehearse:
                away.parent.mkdir(exist_ok=True)
                path.replace(away)
        except FileNotFoundError:
            return None
        if rehearse:
            return known.st_size
        if away.stat().st_mtime_ns != known.st_mtime_ns:  # touched between the two looks
            away.replace(path)
            return None
        away.unlink()
        return known.st_size

    def _path(self, name: str) -> Path:
        return self.root / "blobs" / name[:2] / Path(name).name


def _publish(path: Path, draft: Path, content: bytes, lock: Path) -> int | None:
    """Make a file appear whole under a name that has none; return its inode, or None if it had one.

    Durable when this returns. ``lock`` is used where the file system has no hard links.
    """
    is_first = not path.parent.exists()
    draft.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            inode = os.fstat(file.fileno()).st_ino
        added = _take_name(draft, path, lock)
    finally:
        draft.unlink(missing_ok=True)
    # also where another was first: it may not have come to this yet
    for folder in (path.parent, path.parent.parent) if is_first else (path.parent,):
        _flush_folder(folder)
    return inode if added else None


def _take_name(draft: Path, path: Path, lock: Path) -> bool:
    """Give a draft its name, unless that is taken; return whether it has it now."""
    try:
        os.link(draft, path)  # unlike a rename, this never replaces
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with FileLock(lock, poll_interval=0.005):
            if path.exists():
                return False
            draft.replace(path)
    return True


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
