"""The archive: a gzipped tar with a header first and the checksum of every file last.

`tar xzf` and `sha256sum -c checksums.sha256` read it too.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from mlops_assets.errors import BackupError

FORMAT = 1
HEADER = "backup.json"
CHECKSUMS = "checksums.sha256"

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Header:
    """What an archive says of itself."""

    taken_at: str  # UTC, ISO 8601
    home: str
    version: str  # of mlops_assets
    left_out: tuple[str, ...]  # sentences: what the home uses and does not hold

    def encode(self) -> bytes:
        """Return it as JSON."""
        plain = vars(self) | {"format": FORMAT, "left_out": list(self.left_out)}
        return json.dumps(plain, indent=1).encode()

    @classmethod
    def decode(cls, text: bytes, file: Path) -> Header:
        """Read it.

        Raises:
            BackupError: it is none, or one of a newer format.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            if found["format"] > FORMAT:
                raise BackupError(
                    f"{file} was made by mlops_assets {found['version']}, whose backups this "
                    "version can't read: install that version or a newer one"
                )
            return cls(
                str(found["taken_at"]),
                str(found["home"]),
                str(found["version"]),
                tuple(map(str, found["left_out"])),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{file} is no backup of a home: its header can't be read") from error


@dataclass
class Writer:
    """Adds files to an archive, and their checksums at its end."""

    archive: tarfile.TarFile
    checksums: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes, before they are compressed

    def add(self, name: str, source: Path) -> None:
        """Add a file as it is now.

        Raises:
            FileNotFoundError: it is gone.
            BackupError: it became shorter while it was read.
        """
        with source.open("rb") as opened:
            entry = self.archive.gettarinfo(arcname=name, fileobj=opened)
            reader = _Reader(opened, entry.size)
            try:
                self.archive.addfile(_anonymous(entry), reader)
            except OSError as error:
                if reader.left and error.errno is None:
                    raise BackupError(f"{source} became shorter while it was read") from error
                raise
        self.checksums[name] = reader.digest.hexdigest()
        self.size += entry.size

    def add_text(self, name: str, text: bytes) -> None:
        """Add a file of the archive's own, which has no checksum."""
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        entry.mode = 0o644
        self.archive.addfile(entry, io.BytesIO(text))

    def add_folder(self, name: str) -> None:
        """Add a folder, which may be empty."""
        entry = tarfile.TarInfo(name)
        entry.type = tarfile.DIRTYPE
        entry.mode = 0o755
        self.archive.addfile(entry)

    def close(self) -> None:
        """Add the checksums."""
        lines = [f"{checksum}  {name}\n" for name, checksum in self.checksums.items()]
        self.add_text(CHECKSUMS, "".join(lines).encode(errors="surrogateescape"))


@dataclass
class _Reader:
    """Reads no more of a file than it had at first, and takes its checksum."""

    opened: IO[bytes]
    left: int
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1, /) -> bytes:
        data = self.opened.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        self.digest.update(data)
        return data


def members(archive: tarfile.TarFile, file: Path) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """Yield each entry with its content, checked: files and folders below the home, nothing else.

    A hostile archive may name what is outside, links through which later entries would leave, or
    one file twice.

    Raises:
        BackupError: it holds such an entry.
    """
    seen = set()
    for entry in archive:
        name = entry.name
        parts = PurePosixPath(name).parts
        if (
            name.startswith("/")
            or "\\" in name
            or "\0" in name
            or not parts
            or any(part in {"..", "."} for part in name.rstrip("/").split("/"))
        ):
            raise BackupError(f"{file} is refused: it names a file outside the home, {name!r}")
        if entry.issparse() or not (entry.isreg() or entry.isdir()):
            raise BackupError(
                f"{file} is refused: {name!r} is neither a file nor a folder, and a backup holds "
                "no links or devices"
            )
        if parts in seen:
            raise BackupError(f"{file} is refused: it holds {name!r} twice")
        seen.add(parts)
        opened = archive.extractfile(entry)
        yield entry, io.BytesIO() if opened is None else opened  # type: ignore[misc]  # IO[bytes]


def copy(source: BinaryIO, target: BinaryIO) -> str:
    """Copy a stream and return its SHA-256 in hex."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who owns a file here: whoever restores it owns it there."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
