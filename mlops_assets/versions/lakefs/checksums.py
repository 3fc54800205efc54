"""The SHA-256 of each object: what we put carries it, what others put is read once and remembered."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.versions.contract import ObjectInfo
from mlops_assets.versions.lakefs.transfer import CHECKSUM

if TYPE_CHECKING:
    from lakefs_sdk.models.object_stats import ObjectStats

_DIGITS = 64


class Checksums:
    """Remembers, in a folder if there is one, what has been read.

    An object's data never changes at its physical address, so what was read there stays true.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def info(self, stats: ObjectStats, read: Callable[[], str]) -> ObjectInfo:
        """Return what is known of an object; `read` reads it through, if nobody has yet."""
        size = stats.size_bytes or 0
        carried = (stats.metadata or {}).get(CHECKSUM, "")
        if _is_checksum(carried):
            return ObjectInfo(stats.path, carried, size)
        place = f"{stats.physical_address} {stats.checksum} {size} {stats.mtime}"
        key = hashlib.sha256(place.encode()).hexdigest()
        checksum = self._known.get(key) or self._remembered(key)
        if checksum is None:
            checksum = read()
            self._remember(key, checksum)
        with self._lock:
            self._known[key] = checksum
        return ObjectInfo(stats.path, checksum, size)

    def _remembered(self, key: str) -> str | None:
        if self._folder is None:
            return None
        with suppress(FileNotFoundError):
            text = (self._folder / key).read_text()
            if _is_checksum(text):
                return text
        return None

    def _remember(self, key: str, checksum: str) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{key}.{os.getpid()}.{threading.get_ident()}"
        draft.write_text(checksum)
        draft.replace(self._folder / key)


def _is_checksum(text: str) -> bool:
    return len(text) == _DIGITS and all(digit in "0123456789abcdef" for digit in text)
