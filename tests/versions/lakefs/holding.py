"""A process that begins a transaction, says so, and waits to be killed: `holding.py REPOSITORY`."""

from __future__ import annotations

import sys
import time

from mlops_assets.versions import open_repository


def main(url: str) -> None:
    with open_repository(url).transaction("main", "never") as transaction:
        transaction.put("half", b"half")
        print("staged", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
