"""Records and blobs as files: complete or absent, added by anybody, never changed.

incoming/<sha>.json    added, not yet in the index
records/aa/<sha>.json  in the index (or of a kind that this version doesn't know)
blobs/aa/<sha>         profiles and references
aside/                 what came in and was no record; never read again
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mlops_assets.errors import StoreError
from mlops_assets.records import kinds
from mlops_assets.records.kinds import Opened

_log = logging.getLogger(__name__)

_FOLDER = re.compile("[0-9a-f]{2}").fullmatch
_RECORD = re.compile(r"[0-9a-f]{64}\.json").fullmatch


class Spool:
    """The files below ``root``, which is made by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = str(root / "incoming")
        self._records = str(root / "records")

    def add(self, name: str, content: bytes) -> None:
        """Add a record's file, unless it is there."""
        if not self.has(name):
            self._publish(Path(self._incoming, f"{name}.json"), content)

    def has(self, name: str) -> bool:
        """Whether a record's file is there."""
        # in this order: a file moves from incoming to records, never back
        return self.is_incoming(name) or self.is_settled(f"{name}.json")

    def record(self, name: str) -> bytes:
        """Return a record's file, wherever it is."""
        with contextlib.suppress(FileNotFoundError):
            return Path(self._incoming, f"{name}.json").read_bytes()
        return Path(self._settled(f"{name}.json")).read_bytes()

    def incoming(self) -> list[str]:
        """Return the names of files that came in and are not in the index yet, the oldest first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._incoming) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # it went into the index just now
                    found.append((file.stat(follow_symlinks=False).st_mtime_ns, file.name))
        return [name for _, name in sorted(found)]

    def settled(self) -> Iterator[str]:
        """Yield the names of all files that are in the index, in no order."""
        with contextlib.suppress(FileNotFoundError):
            for folder in filter(_FOLDER, os.listdir(self._records)):
                for name in os.listdir(f"{self._records}/{folder}"):
                    if _RECORD(name) and name.startswith(folder):  # others are no affair of ours
                        yield name

    def is_incoming(self, name: str) -> bool:
        """Whether the file of a record's id waits in incoming."""
        return os.path.exists(f"{self._incoming}/{name}.json")

    def is_settled(self, name: str) -> bool:
        """Whether a file of this name is in the index."""
        return os.path.exists(self._settled(name))

    def settle(self, names: Iterable[str]) -> None:
        """Move files that are in the index from incoming to where they stay."""
        for name in names:
            settled = self._settled(name)
            with contextlib.suppress(FileNotFoundError):
                if os.path.exists(settled):  # a twin that came in while the first was indexed
                    os.unlink(f"{self._incoming}/{name}")
                    continue
                os.makedirs(os.path.dirname(settled), exist_ok=True)
                os.replace(f"{self._incoming}/{name}", settled)

    def moments(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return when settled files were recorded, and their names, in the order of time."""
        return sorted(
            (kinds.moment(Path(self._settled(name)).read_bytes()), name) for name in names
        )

    def opened(self, names: Iterable[str], *, settled: bool = False) -> list[Opened]:
        """Read files of incoming, or settled ones, in the order of time; move aside what is none."""
        found = []
        for name in names:
            path = self._settled(name) if settled else f"{self._incoming}/{name}"
            try:
                with open(path, "rb") as file:
                    found.append(kinds.opened(name, file.read()))
            except FileNotFoundError:
                continue  # somebody else indexed it
            except (StoreError, IsADirectoryError) as error:
                aside = self.root / "aside" / name
                aside.parent.mkdir(exist_ok=True)
                if aside.exists():
                    aside = aside.with_name(f"{name}.{uuid.uuid4().hex[:8]}")
                with contextlib.suppress(FileNotFoundError):  # a rebuild beside it was quicker
                    os.replace(path, aside)
                _log.warning("set aside %s: %s", aside, error)
        return sorted(found, key=lambda one: (one.recorded_at, one.id))

    def opened_in(self, names: Sequence[str], seconds: float) -> tuple[list[str], list[Opened]]:
        """Read files of incoming for so long, the first in any case; return which, and what is new.

        The processor's time counts: where it is slow to come, fewer and larger inserts are quicker.
        A twin of what is in the index may have come in since.
        """
        deadline, found = time.thread_time() + seconds, []
        for number, name in enumerate(names):
            if number and time.thread_time() > deadline:
                names = names[:number]
                break
            if not self.is_settled(name):
                found += self.opened([name])
        return list(names), sorted(found, key=lambda one: (one.recorded_at, one.id))

    def set_aside(self) -> list[str]:
        """Return the names of files that came in and were no records."""
        aside = self.root / "aside"
        return sorted(path.name for path in aside.iterdir()) if aside.exists() else []

    def add_blob(self, data: bytes) -> str:
        """Keep a profile or a reference and return its SHA-256, in hex."""
        name = hashlib.sha256(data).hexdigest()
        path = self._blob(name)
        try:
            os.utime(path)  # it is needed again: whoever removes what is old leaves it
        except FileNotFoundError:
            self._publish(path, data)
        return name

    def blob(self, name: str) -> bytes:
        """Return a blob by its id; raises StoreError where it is absent or damaged."""
        try:
            data = self._blob(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise StoreError(
                f"the store has no blob {name!r}; was it made in another home?"
            ) from None
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreError(f"the blob {name} is damaged; delete it and make the profile again")
        return data

    def has_blob(self, name: str) -> bool:
        """Whether a blob is there, whole or not."""
        return self._blob(name).is_file()

    def remove_blob(self, name: str, grace: float, *, rehearse: bool = False) -> int | None:
        """Remove a blob that nobody added within ``grace`` seconds; return its bytes, or None.

        One who adds the same blob at this moment finds it touched, or gone and writes it again.
        """
        path, away = self._blob(name), self.root / "staging" / f"removed-{name}"
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

    def remove_drafts(self, grace: float) -> int:
        """Remove what killed writers left half written over ``grace`` seconds ago; count it."""
        removed = 0
        for draft in (self.root / "staging").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # its writer lives, and was quicker
                if time.time() - draft.stat().st_mtime >= grace:
                    draft.unlink()
                    removed += 1
        return removed

    def _blob(self, name: str) -> Path:
        return self.root / "blobs" / name[:2] / Path(name).name

    def _settled(self, name: str) -> str:
        return f"{self._records}/{name[:2]}/{name}"

    def _publish(self, path: Path, data: bytes) -> None:
        """Make a file appear whole or not at all, and never replace one."""
        staging = self.root / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = staging / uuid.uuid4().hex
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)  # unlike a rename, leaves a twin that came first
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            draft.replace(path)
        draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
