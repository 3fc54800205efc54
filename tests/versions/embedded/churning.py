"""Processes for the collector's test.

`churning.py write REPOSITORY NAME COUNT` makes garbage of contents that others commit at the same
moment, and prints `n commit_id` for each commit of its own; `churning.py collect REPOSITORY` collects
without any grace until it is killed, and prints how much each time.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from mlops_assets.versions import open_repository


def write(url: str, name: str, count: int) -> None:
    repository = open_repository(url)
    for number in range(count):
        content = b"%d" % number  # the same for everybody
        branch = f"{name}-{number}"
        repository.create_branch(branch)
        with repository.transaction(branch, "given up") as transaction:
            transaction.put(f"lost/{name}", content)
        repository.delete_branch(branch)
        with repository.transaction("main", f"{name} {number}") as transaction:
            transaction.put(f"own/{name}/{number}", content)
            transaction.put(f"alone/{name}/{number}", f"{name} {number}".encode())
        print(number, transaction.commit_id, flush=True)


def collect(url: str) -> None:
    repository = open_repository(url)
    while True:
        print(repository.collect(grace=timedelta(0)).objects, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "collect":
        collect(sys.argv[2])
    write(sys.argv[2], sys.argv[3], int(sys.argv[4]))
