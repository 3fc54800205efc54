"""Faults that outlast the patience, or nearly: a write is done once, or nothing changed."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta

import pytest

from mlops_assets.errors import (
    RepositoryBusyError,
    RepositoryUnreachableError,
    VersionsError,
)
from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import FAULTS, OPERATIONS, WRITES, State, hidden, put
from tests.versions.lakefs.servers import Server

TELLING = {
    ("put", "503"),
    ("put", "hang after"),
    ("merge", "drop after"),
    ("create_tag", "hang after"),
    ("delete_branch", "hang after"),
}


@pytest.mark.parametrize("patience", [0.6])
@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        pair if pair in TELLING else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(OPERATIONS, FAULTS)
    ],
)
def test_a_fault_that_lasts_leaves_it_done_once_or_not_at_all(
    server: Server,
    direct: Repository,
    behind: Repository,
    proxy: FaultyProxy,
    operation: str,
    fault: str,
    patience: float,
) -> None:
    write = OPERATIONS[operation]
    write.prepare(direct, "run")
    before = State.of(direct)

    proxy.faults = [Fault(method=WRITES, **FAULTS[fault])]
    failure: VersionsError | None = None
    try:
        write.act(behind, "run")
    except VersionsError as error:
        failure = error
    proxy.faults = []

    after = State.of(direct)
    if failure is None:
        write.check(direct, "run", before, after)
    else:
        assert after == before
        kind = RepositoryBusyError if fault.isdigit() else RepositoryUnreachableError
        assert type(failure) is kind
    direct.collect(grace=timedelta(0))
    assert hidden(server, direct) == []


@pytest.mark.parametrize(
    "operation",
    [
        operation if operation == "put" else pytest.param(operation, marks=pytest.mark.slow)
        for operation in OPERATIONS
    ],
)
def test_a_server_that_is_away_for_a_while_is_waited_for(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy, operation: str
) -> None:
    write = OPERATIONS[operation]
    write.prepare(direct, "run")
    before = State.of(direct)

    proxy.refuse(0.7)
    write.act(behind, "run")

    write.check(direct, "run", before, State.of(direct))
    assert hidden(server, direct) == []


@pytest.mark.parametrize("patience", [0.6])
def test_a_server_that_is_gone_for_good_is_told_in_time(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy, patience: float
) -> None:
    before = State.of(direct)
    began = time.monotonic()

    def put_and_lose() -> None:
        with behind.transaction("main", "x") as transaction:
            transaction.put("a", b"1")
            proxy.refuse(60)
            transaction.put("b", b"1")

    with pytest.raises(RepositoryUnreachableError, match=proxy.url) as caught:
        put_and_lose()

    assert time.monotonic() - began < 5
    assert "see whether it runs" in str(caught.value)
    assert State.of(direct) == before
    # the hidden branch can't be removed while the server is away: a later sweep does it
    (left,) = hidden(server, direct)
    assert direct.collect(grace=timedelta(hours=1)).branches == ()
    assert direct.collect(grace=timedelta(0), dry_run=True).branches == (left,)
    assert hidden(server, direct) == [left]
    assert direct.collect(grace=timedelta(0)).branches == (left,)
    assert hidden(server, direct) == []


@pytest.mark.parametrize("patience", [0.6])
@pytest.mark.parametrize("kind", ["hang before", "drop before", "cut"])
def test_what_cant_be_read_is_told_in_time(
    direct: Repository, behind: Repository, proxy: FaultyProxy, kind: str, patience: float
) -> None:
    put(direct, {"a": b"1" * 1000})
    began = time.monotonic()

    proxy.faults = [Fault(kind, method="GET")]
    for ask in (behind.read, behind.stat):
        with pytest.raises(RepositoryUnreachableError):
            ask("main", "a")

    assert time.monotonic() - began < 5
