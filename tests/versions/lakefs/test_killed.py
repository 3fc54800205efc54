from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import mlops_assets
from mlops_assets.versions import Repository
from tests.versions.lakefs.operations import State, hidden, put
from tests.versions.lakefs.servers import Server

SCRIPT = Path(__file__).with_name("holding.py")


@pytest.fixture
def left_over(server: Server, direct: Repository) -> Iterator[str]:
    """The hidden branch that a process left when it was killed within a transaction."""
    root = Path(mlops_assets.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, direct.url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    try:
        assert process.stdout.readline() == "staged\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    (branch,) = hidden(server, direct)
    return branch


def test_nobody_sees_what_a_killed_process_began(
    server: Server, direct: Repository, left_over: str
) -> None:
    assert direct.branches() == [("main", direct.resolve("main"))]
    assert direct.objects("main") == []
    assert len(list(direct.log("main"))) == 1


def test_what_it_left_is_removed_after_the_grace_time_and_not_before(
    server: Server, direct: Repository, left_over: str
) -> None:
    before = State.of(direct)
    time.sleep(1)

    assert direct.collect(grace=timedelta(minutes=5)).branches == ()
    assert direct.collect(grace=timedelta(0), dry_run=True).branches == (left_over,)
    assert hidden(server, direct) == [left_over]
    assert direct.collect(grace=timedelta(0)).branches == (left_over,)

    assert hidden(server, direct) == []
    assert direct.collect(grace=timedelta(0)).branches == ()
    assert State.of(direct) == before


def test_it_is_in_nobodys_way(server: Server, direct: Repository, left_over: str) -> None:
    put(direct, {"half": b"whole"})

    assert direct.read("main", "half") == b"whole"
    assert hidden(server, direct) == [left_over]


def test_a_collection_beside_writers_hinders_none(server: Server, direct: Repository) -> None:
    with direct.transaction("main", "x") as transaction:
        transaction.put("a", b"1")
        assert direct.collect(grace=timedelta(minutes=1)).branches == ()
        transaction.put("b", b"1")

    assert [info.path for info in direct.objects("main")] == ["a", "b"]
