"""Git's own objects packed: loose ones, a file each, become a pack of differences.

Each commit makes the tree of its folder again, with all entries: loose, a folder that grew one entry a
commit to 10,000 takes 1.3 GB, packed some 15 MB. The packs are git's own; stock git reads them, and
nothing is ever removed but what a pack holds now.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.errors import RepositoryBusyError, RepositoryCorruptError
from mlops_assets.versions.embedded.bare import BareRepository, kept_whole, opened
from mlops_assets.versions.embedded.objects import sync

_LOOSE = 2_000  # objects, and
_BYTES = 32 << 20  # bytes: with either, a commit packs
_AT_ONCE = 4_000  # objects packed by a commit; an old repository goes on with the next ones
_LEAST = 100  # fewer are left as they are: a pack of few takes more than they did
_PACKS = 50  # with more, `mlops gc` makes one of all
_LOOK = "0"  # commits that begin so, one of 16, look whether there is anything to pack

_FOLDER = re.compile("[0-9a-f]{2}").fullmatch
_REST = re.compile("[0-9a-f]{38}").fullmatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Packed:
    """How many objects were packed, and how many bytes they took before and take now."""

    objects: int = 0
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Packing:
    """The packs of one repository; any number of processes may read and write meanwhile."""

    bare: BareRepository

    def after_commit(self, commit_id: str) -> None:
        """Pack now and then, as commits come; a commit never fails for it."""
        if not commit_id.startswith(_LOOK):
            return
        try:
            loose = _Loose.of(self._objects)
            if len(loose.files) < _LOOSE and loose.size < _BYTES:
                return
            with kept_whole(self.bare.folder, patience=0):
                self._pack(_Loose.of(self._objects, _AT_ONCE))
        except RepositoryBusyError:
            return  # another process is at it
        except Exception:  # noqa: BLE001  # whatever it is
            # packing is thrift: what was committed is safe without it, and the next one tries again
            _log.warning("could not pack %s", self.bare.folder, exc_info=True)

    def everything(self) -> Packed:
        """Pack what is loose, unless it is little; where there are many packs, make one of them.

        Raises:
            RepositoryBusyError: another process packs, collects or backs up.
        """
        with kept_whole(self.bare.folder):
            packs = [*self._packs()]
            loose = _Loose.of(self._objects)
            if len(packs) > _PACKS:
                return self._repack(packs, loose)
            return self._pack(loose) if len(loose.files) >= _LEAST else Packed()

    @property
    def _objects(self) -> Path:
        return self.bare.folder / "objects"

    def _packs(self) -> Iterator[Path]:
        for index in self._objects.glob("pack/pack-*.idx"):
            # one that somebody keeps, stock git's way, stays as it is
            if not index.with_suffix(".keep").exists():
                yield index

    def _pack(self, loose: _Loose) -> Packed:
        if not loose.files:
            return Packed()
        made = self._write([file.parent.name + file.name for file in loose.files])
        loose.remove()
        return Packed(len(loose.files), loose.size, sum(map(_size, made)))

    def _repack(self, packs: list[Path], loose: _Loose) -> Packed:
        """Make one pack of all: each has a whole tree of its own, and they are looked up in turn."""
        # what stood here before the lock was held is in it, and a new handle sees it
        ids = {str(each) for each in opened(self.bare.folder).odb}
        before = loose.size + sum(map(_size, packs))
        made = self._write(sorted(ids))
        loose.remove()
        for index in packs:
            if made and index not in made and _ids_of(index) <= ids:
                for suffix in (".idx", ".pack", ".rev", ".bitmap"):  # git goes by the index
                    index.with_suffix(suffix).unlink(missing_ok=True)
        return Packed(len(ids), before, sum(map(_size, made)))

    def _write(self, ids: list[str]) -> list[Path]:
        """Write one durable pack of objects; return its index, or nothing if it was there already."""
        import pygit2

        folder = self._objects / "pack"
        folder.mkdir(exist_ok=True)
        builder = pygit2.PackBuilder(opened(self.bare.folder))
        builder.set_threads(1)
        for each in ids:
            builder.add(pygit2.Oid(hex=each))
        before = {*folder.glob("pack-*.idx")}
        builder.write(str(folder))
        if builder.written_objects_count != len(ids):
            raise RepositoryCorruptError(
                f"git packed {builder.written_objects_count} of {len(ids)} objects in {folder}"
            )
        made = sorted({*folder.glob("pack-*.idx")} - before)
        for index in made:
            sync(index.with_suffix(".pack"))
            sync(index)
        sync(folder)
        sync(self._objects)
        return made


@dataclass(frozen=True)
class _Loose:
    """Objects that are a file each, and their size in bytes."""

    files: list[Path]
    size: int

    @classmethod
    def of(cls, objects: Path, limit: int | None = None) -> _Loose:
        """Look for them, and take so many of the oldest: neighbours in time have most in common."""
        found = []
        with os.scandir(objects) as folders:
            names = sorted(entry.name for entry in folders if _FOLDER(entry.name))
        for name in names:
            with suppress(FileNotFoundError), os.scandir(objects / name) as files:
                for file in files:
                    if _REST(file.name):
                        stat = file.stat()
                        found.append((stat.st_mtime_ns, stat.st_size, Path(file.path)))
        found.sort()
        some = found[:limit]
        return cls([file for _, _, file in some], sum(size for _, size, _ in some))

    def remove(self) -> None:
        """Remove what a pack holds now: whoever looks for it, looks there next."""
        for file in self.files:
            file.unlink(missing_ok=True)


def _size(index: Path) -> int:
    return index.stat().st_size + index.with_suffix(".pack").stat().st_size


def _ids_of(index: Path) -> set[str]:
    """Return the ids that a pack's index lists; or what is no id where its form is not known."""
    # https://git-scm.com/docs/pack-format: a mark, 256 running counts, then the ids in order
    data = index.read_bytes()
    if data[:8] != b"\xfftOc\x00\x00\x00\x02":
        return {"of a form that is not known"}
    count = int.from_bytes(data[8 + 255 * 4 : 8 + 256 * 4], "big")
    start = 8 + 256 * 4
    return {data[at : at + 20].hex() for at in range(start, start + 20 * count, 20)}
