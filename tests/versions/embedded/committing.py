"""A process that commits: `committing.py REPOSITORY NAME COUNT`, a line `n commit_id` for each."""

from __future__ import annotations

import sys

from mlops_assets.errors import ConflictError
from mlops_assets.versions import open_repository


def main(url: str, name: str, count: int) -> None:
    repository = open_repository(url)
    for number in range(count):
        try:
            with repository.transaction("main", f"{name} {number}") as transaction:
                transaction.put(f"own/{name}/{number}", f"{name} {number}".encode())
                if number % 5 == 0:
                    transaction.put("shared", f"{name} {number}".encode())
            print(number, transaction.commit_id, flush=True)
        except ConflictError as conflict:
            print(number, f"conflict:{','.join(conflict.paths)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
