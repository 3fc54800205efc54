"""A process that moves a large object in and out: `moving.py REPOSITORY FILE`.

Prints, as JSON, the most memory (MB) that it held above the bare interpreter up to the end of each
step.
"""

from __future__ import annotations

import re
from pathlib import Path


def held(what: str) -> int:
    """Return this process's memory in kB, now (`VmRSS`) or at its highest (`VmHWM`).

    Not getrusage: a child's begins with what its parent held.
    """
    found = re.search(rf"^{what}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def main(url: str, source: Path) -> dict[str, float]:
    bare = held("VmRSS")
    import hashlib

    from mlops_assets.versions import open_repository

    repository = open_repository(url)
    with source.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    reached = {}

    def reach(step: str) -> None:
        reached[step] = (held("VmHWM") - bare) / 1024

    reach("open")
    with repository.transaction("main", "a file") as transaction:
        transaction.put("file.bin", source)
    reach("put a file")
    with repository.transaction("main", "a stream") as transaction, source.open("rb") as stream:
        transaction.put("stream.bin", stream)
    reach("put a stream")
    with (
        repository.transaction("main", "written") as transaction,
        transaction.file("written.bin") as target,
        source.open("rb") as stream,
        target.open("wb") as written,
    ):
        written.write(b"!")  # another object than the others
        while chunk := stream.read(1 << 20):
            written.write(chunk)
    reach("write a file")
    with repository.open("main", "file.bin") as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    assert digest.hexdigest() == checksum
    reach("read")
    assert [one.size - source.stat().st_size for one in repository.objects("main")] == [0, 0, 1]
    assert repository.verify() == []
    reach("verify")
    return reached


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
