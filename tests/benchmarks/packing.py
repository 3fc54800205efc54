"""What one more commit costs a folder of 100, 1,000 and 10,000 windows: bytes on the disk, and time.

Git's own objects alone, without the data: of each commit the folder's tree is made again.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from mlops_assets.versions.embedded import trees
from mlops_assets.versions.embedded.bare import BareRepository
from mlops_assets.versions.embedded.history import History
from mlops_assets.versions.embedded.objects import Pointer
from mlops_assets.versions.embedded.packing import Packing
from mlops_assets.versions.embedded.refs import Refs
from tests.benchmarks.measuring import say

SIZES = (100, 1_000, 10_000)
COMMITS = 100


def run() -> None:
    """Measure and say."""
    say(f"\n## The embedded repository's own objects, mean of {COMMITS} commits of one window each")
    say("| windows | ms a commit | kB a commit, loose | kB, packed | ms to pack |")
    say("|---|---|---|---|---|")
    for windows in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            say(measured(Path(folder, "repository"), windows))


def measured(folder: Path, windows: int) -> str:
    """Return a row of the table."""
    bare = BareRepository(folder)
    history = History(bare, Refs(bare))
    add(bare, history, range(windows - COMMITS))
    Packing(bare).everything()
    before = size(folder)
    begun = time.perf_counter()
    for number in range(windows - COMMITS, windows):
        add(bare, history, range(number, number + 1))
    committed, loose = time.perf_counter(), size(folder)
    Packing(bare).everything()
    ended = time.perf_counter()
    each = [
        f"{value / COMMITS:,.1f}"
        for value in (
            (committed - begun) * 1e3,
            (loose - before) / 1e3,
            (size(folder) - before) / 1e3,
            (ended - committed) * 1e3,
        )
    ]
    return f"| {windows:,} | {' | '.join(each)} |"


def add(bare: BareRepository, history: History, numbers: range) -> None:
    """Commit some windows at once."""
    head = Refs(bare).head("main")
    edits: dict[str, str | None] = {}
    for number in numbers:
        checksum = hashlib.sha256(b"%d" % number).hexdigest()
        blob = bare.git.create_blob(Pointer(checksum, 100_000 + number).encode())
        edits[f"late/batches/2013-{number:08d}.parquet"] = str(blob)
    if edits:
        tree = trees.edited(bare.git, history.tree(head), edits)
        with bare.locked():
            history.record("main", f"window {numbers[-1]}", {}, tree, [head])


def size(folder: Path) -> int:
    """Return the bytes of git's objects."""
    return sum(file.stat().st_size for file in folder.glob("objects/*/*"))
