"""The objects' data: Git-LFS' folder layout and pointers, written so that a crash loses nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import BinaryIO

from mlops_assets.errors import RepositoryCorruptError, VersionsError
from mlops_assets.versions.embedded import sharing

_CHUNK = 1 << 20  # bytes
_ABANDONED = 7 * 24 * 3600  # seconds without a write, after which a transaction's files are swept
_FLUSHES = 8  # at the same time
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}
_EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Pointer:
    """What git keeps in the place of an object: its SHA-256 in hex and its size in bytes."""

    checksum: str
    size: int

    def encode(self) -> bytes:
        """Return the canonical text, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""
        if self.size == 0:
            return b""  # the canonical pointer of an empty file is an empty file
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.checksum}\nsize {self.size}\n"
        ).encode()

    @classmethod
    def decode(cls, text: bytes, path: str) -> Pointer:
        """Read a pointer.

        Raises:
            RepositoryCorruptError: it is something else, naming the path it stands at.
        """
        if not text:
            return cls(_EMPTY, 0)
        try:
            lines = dict(line.split(" ", 1) for line in text.decode().splitlines())
            kind, checksum = lines["oid"].split(":")
            pointer = cls(checksum, int(lines["size"]))
        except (ValueError, KeyError):
            kind, pointer = "", cls("", 0)
        if kind != "sha256" or len(pointer.checksum) != 64 or not pointer.checksum.isalnum():
            raise RepositoryCorruptError(
                f"`{path}` was committed as it is, not through Git LFS: run `git lfs migrate "
                "import` in the clone it came from, or commit it again from here"
            )
        return pointer


@dataclass(frozen=True)
class ObjectStore:
    """The folder `lfs` of a repository."""

    folder: Path

    @property
    def staging(self) -> Path:
        """Where transactions keep their files; not `tmp`, which git-lfs empties every hour."""
        return self.folder / "staging"

    def file_of(self, pointer: Pointer) -> Path:
        """Return where the object's data stands, or would."""
        checksum = pointer.checksum
        return self.folder / "objects" / checksum[:2] / checksum[2:4] / checksum

    def present(self, pointer: Pointer, path: str) -> Path:
        """Return where the object's data stands; its size is checked, its content is not.

        Raises:
            RepositoryCorruptError: it is missing or has another size, naming the path.
        """
        file = self.file_of(pointer)
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            if (when := self._collected_at(pointer.checksum)) is not None:
                raise RepositoryCorruptError(
                    f"the data of `{path}` was collected by `mlops gc` on {when}, when no branch, "
                    f"tag or kept history held it; to have it again, bring {file} back from a copy"
                ) from None
            raise RepositoryCorruptError(
                f"the data of `{path}` is missing: there is no {file}; bring it back from a copy, "
                "or put the object again"
            ) from None
        if size != pointer.size:
            raise RepositoryCorruptError(
                f"the data of `{path}` is damaged: {file} has {size} bytes, not {pointer.size}"
            )
        return file

    def read(self, pointer: Pointer, path: str) -> bytes:
        """Return the object's data.

        Raises:
            RepositoryCorruptError: it is missing or does not match its checksum, naming the path.
        """
        data = self.present(pointer, path).read_bytes()
        if hashlib.sha256(data).hexdigest() != pointer.checksum:
            raise self._damaged(pointer, path)
        return data

    def check(self, pointer: Pointer, path: str) -> None:
        """Read the object's data, in constant memory.

        Raises:
            RepositoryCorruptError: it is missing or does not match its checksum, naming the path.
        """
        with self.present(pointer, path).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != pointer.checksum:
                raise self._damaged(pointer, path)

    def sweep(self) -> None:
        """Remove what transactions that were killed left behind a week ago and more."""
        before = time.time() - _ABANDONED
        for staged in self.staging.iterdir():
            # Its transaction may be ending right now, and somebody may have put a file there.
            with suppress(FileNotFoundError, NotADirectoryError):
                if max(file.stat().st_mtime for file in (staged, *staged.iterdir())) < before:
                    shutil.rmtree(staged)

    def note_collected(self, checksums: Collection[str]) -> None:
        """Write down, durably, that these are removed on purpose, so that nobody looks for a fault."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"at": at, "checksums": sorted(checksums)}) + "\n"
        new = not self._collections.exists()
        # after what a crash may have cut off, on a line of its own
        torn = not new and not self._collections.read_bytes().endswith(b"\n")
        with self._collections.open("ab") as file:
            file.write((b"\n" if torn else b"") + line.encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync(self.folder)

    @property
    def _collections(self) -> Path:
        return self.folder / "collected.jsonl"

    def _collected_at(self, checksum: str) -> str | None:
        """Return when an object was last collected (UTC, ISO 8601), if it ever was."""
        found = None
        with suppress(FileNotFoundError), self._collections.open() as lines:
            for line in lines:
                # a line that a crash cut off was noted of data that is still there
                if checksum in line and line.endswith("}\n"):
                    found = str(json.loads(line)["at"])
        return found

    def _damaged(self, pointer: Pointer, path: str) -> RepositoryCorruptError:
        return RepositoryCorruptError(
            f"the data of `{path}` is damaged: {self.file_of(pointer)} does not match its name; "
            "remove that file and put the object again, or bring the file back from a copy"
        )


@dataclass
class Staging:
    """One transaction's files: no objects until `publish`, so that one given up leaves nothing."""

    store: ObjectStore
    _folder: Path | None = None
    _numbers: count[int] = field(default_factory=count)
    _files: dict[Path, Pointer] = field(default_factory=dict)

    def file(self, suffix: str = "") -> Path:
        """Return a path that nothing stands at, on the objects' own file system."""
        if self._folder is None:
            self.store.sweep()
            folder = self.store.staging / uuid.uuid4().hex
            folder.mkdir()
            self._folder = folder
        return self._folder / f"{next(self._numbers)}{suffix}"

    def put(self, source: Path | bytes | BinaryIO, *, immutable: bool = False) -> Pointer:
        """Stage a copy of the source, or one that shares its data; see `sharing`."""
        if isinstance(source, Path):
            try:
                with source.open("rb") as file:
                    staged = self.file()
                    if immutable and sharing.link(source, staged):
                        return self.adopt(staged)
                    with staged.open("xb") as target:
                        if not sharing.clone(file, target):
                            return self._copy(file, staged, target)
                    return self.adopt(staged)
            except OSError as error:
                if error.filename != str(source):
                    raise  # it is the repository's disk that failed
                raise VersionsError(f"{source} can't be read: {error.strerror}") from error
        stream = BytesIO(source) if isinstance(source, bytes) else source
        staged = self.file()
        with staged.open("xb") as target:
            return self._copy(stream, staged, target)

    def _copy(self, source: BinaryIO, staged: Path, target: BinaryIO) -> Pointer:
        digest, size = hashlib.sha256(), 0
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += target.write(chunk)
        return self._files.setdefault(staged, Pointer(digest.hexdigest(), size))

    def adopt(self, staged: Path) -> Pointer:
        """Stage a file that was written to a path of `file`."""
        with staged.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
            return self._files.setdefault(staged, Pointer(checksum, file.tell()))

    def publish(self) -> None:
        """Make objects of the staged files, durably; commit only after this, and `restore`."""
        targets = {staged: self.store.file_of(pointer) for staged, pointer in self._files.items()}
        # Also above those that are there already: who wrote them may have died before doing so.
        folders = {folder for target in targets.values() for folder in target.parents[:3]}
        new = [staged for staged, target in targets.items() if not self._there(staged, target)]
        self._publish(new, folders)

    def restore(self) -> None:
        """Publish again what was collected since; only to be called under the lock, to commit then.

        The staged files are there until `discard`, as other names of the objects' own data.
        """
        lost = [
            staged
            for staged, pointer in self._files.items()
            if not self.store.file_of(pointer).exists()
        ]
        if lost:
            targets = [self.store.file_of(self._files[staged]) for staged in lost]
            self._publish(lost, {folder for target in targets for folder in target.parents[:3]})

    def _publish(self, new: Collection[Path], folders: Collection[Path]) -> None:
        # A disk takes many flushes at once in about the time of one.
        with ThreadPoolExecutor(_FLUSHES) if len(folders) > 16 else nullcontext() as pool:
            each = map if pool is None else pool.map
            list(each(sync, new))
            for staged in new:
                # readers get this very file, and none of them may change it
                staged.chmod(sharing.SEALED)
                os.utime(staged)  # it may have been staged long ago, and only now begins to count
                target = self.store.file_of(self._files[staged])
                target.parent.mkdir(parents=True, exist_ok=True)
                # a link and not the file itself: see `restore`
                link = staged.with_name(f"{staged.name}.link")
                try:
                    link.hardlink_to(staged)
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    shutil.copy2(staged, link)  # a file system without links has to hold it twice
                    sync(link)
                link.replace(target)
            list(each(sync, folders))

    def discard(self) -> None:
        """Remove whatever did not become an object."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _there(self, staged: Path, target: Path) -> bool:
        with suppress(FileNotFoundError):
            if target.stat().st_size == self._files[staged].size:
                with suppress(PermissionError):  # another user's, which is as good
                    os.utime(target)  # young again, so that no collector with a grace time takes it
                return True
        return False


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
