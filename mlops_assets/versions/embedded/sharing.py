"""Bringing a file in without copying its data, where the file system can: a link, or a clone."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_FICLONE = 0x40049409  # linux/fs.h; btrfs, XFS, bcachefs, and NFS and overlayfs above them
SEALED = 0o444  # the mode of an object's file: readable, and nobody's to change


def link(source: Path, target: Path) -> bool:
    """Make `target` another name of a file that never changes; say whether it could be done.

    Only of our own file that has the mode of an object already: it is one file, so that setting the
    mode of one name sets the other's, and a file that may be written to can change.
    """
    found = source.stat()
    if (found.st_mode, found.st_uid) != (stat.S_IFREG | SEALED, os.geteuid()):
        return False
    with suppress(OSError):  # another file system, or one without links
        os.link(source.resolve(), target)
        return True
    return False


def clone(source: BinaryIO, target: BinaryIO) -> bool:
    """Let `target`, which is empty, share the source's blocks until one changes; say if it could.

    The source has to be a file on the disk, at its beginning.
    """
    if sys.platform != "linux":
        return False
    from fcntl import ioctl

    with suppress(OSError):  # no such thing on this file system, or it is another one
        ioctl(target.fileno(), _FICLONE, source.fileno())
        return True
    return False
