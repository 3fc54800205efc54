"""What a server says no with, each taken as what it is; nothing is changed, nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lakefs_sdk import BranchProtectionRule, CommitCreation
from lakefs_sdk.exceptions import ForbiddenException

from mlops_assets.errors import (
    AccessRefusedError,
    ConflictError,
    HookRefusedError,
    NothingToCommitError,
    RepositoryBusyError,
    RepositoryCorruptError,
)
from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import State, hidden, put
from tests.versions.lakefs.servers import Server
from tests.versions.lakefs.stand_in.hooks import REFUSING

MERGE = "/merge/main"
CONFLICT = {"status": 409, "message": None, "body": b'{"reference":""}'}


def name_of(repository: Repository) -> str:
    return repository.url.rpartition("/")[2]


def test_a_conflict_that_another_commit_dissolved_is_tried_again(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    proxy.faults = [Fault("status", "POST", MERGE, nth=1, **CONFLICT)]

    made = put(behind, {"a": b"1"})

    assert direct.resolve("main") == made
    assert len(list(direct.log("main"))) == 2
    assert direct.read("main", "a") == b"1"
    assert hidden(server, direct) == []


def test_a_conflict_that_stays_is_an_error(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    before = State.of(direct)

    proxy.faults = [Fault("status", "POST", MERGE, **CONFLICT)]
    with pytest.raises((ConflictError, RepositoryBusyError)):
        put(behind, {"a": b"1"})

    assert State.of(direct) == before
    assert hidden(server, direct) == []


def test_a_merge_that_conflicts_says_where(server: Server, direct: Repository) -> None:
    put(direct, {"a": b"0"})
    direct.create_branch("side")
    put(direct, {"a": b"side"}, "side")
    put(direct, {"a": b"main"})
    before = State.of(direct)

    with pytest.raises(ConflictError) as caught:
        direct.merge("side", "main", "x")

    assert caught.value.paths == ("a",)
    assert State.of(direct) == before
    assert hidden(server, direct) == []


def test_data_that_the_store_lost_is_named(
    direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    put(direct, {"d/lost": b"1"})

    proxy.faults = [Fault("status", "GET", r"/objects\?", status=410, message="No data")]

    with pytest.raises(RepositoryCorruptError, match="d/lost"):
        behind.read("main", "d/lost")
    (problem,) = behind.verify()
    assert "d/lost" in problem


def test_data_that_is_not_what_was_put_is_noticed(
    direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    put(direct, {"a": b"whole", "b": b"fine"})

    proxy.faults = [
        Fault("status", "GET", r"/objects\?path=a", status=200, message=None, body=b"other")
    ]

    with pytest.raises(RepositoryCorruptError, match="`a`"):
        behind.read("main", "a")
    (problem,) = behind.verify()
    assert "`a`" in problem


def test_a_hook_that_refuses_is_quoted(server: Server, direct: Repository) -> None:
    sdk, name = server.sdk, name_of(direct)
    sdk.objects_api.upload_object(name, "main", "_lakefs_actions/freeze.yaml", content=REFUSING)
    sdk.commits_api.commit(name, "main", CommitCreation(message="freeze"))
    direct.create_branch("side")
    put(direct, {"a": b"side"}, "side")
    before = State.of(direct)

    with pytest.raises(HookRefusedError, match="not on a Friday"):
        put(direct, {"a": b"1"})
    with pytest.raises(HookRefusedError, match="not on a Friday"):
        direct.merge("side", "main", "x")

    assert State.of(direct) == before
    assert hidden(server, direct) == []


@pytest.mark.parametrize("patience", [0.6])
def test_a_locked_server_is_busy(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy, patience: float
) -> None:
    before = State.of(direct)

    proxy.faults = [Fault("status", "POST", MERGE, status=423, message="the branch is locked")]
    with pytest.raises(RepositoryBusyError, match="the branch is locked"):
        put(behind, {"a": b"1"})

    assert len(proxy.asked("POST", MERGE)) > 2
    assert State.of(direct) == before
    assert hidden(server, direct) == []


@pytest.mark.parametrize("patience", [0.6])
def test_what_somebody_staged_and_forgot_is_neither_taken_nor_lost(
    server: Server, direct: Repository, behind: Repository, patience: float
) -> None:
    sdk, name = server.sdk, name_of(direct)
    before = State.of(direct)
    sdk.objects_api.upload_object(name, "main", "theirs", content=b"theirs")

    with pytest.raises(RepositoryBusyError, match="lakectl"):
        put(behind, {"a": b"1"})

    assert State.of(direct) == before
    assert hidden(server, direct) == []
    sdk.commits_api.commit(name, "main", CommitCreation(message="theirs"))
    put(behind, {"a": b"1"})
    assert [info.path for info in direct.objects("main")] == ["a", "theirs"]


def test_what_somebody_stages_and_commits_is_waited_for(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    sdk, name = server.sdk, name_of(direct)
    sdk.objects_api.upload_object(name, "main", "theirs", content=b"theirs")

    def commit() -> None:
        sdk.commits_api.commit(name, "main", CommitCreation(message="theirs"))

    proxy.faults = [Fault("meanwhile", "POST", MERGE, nth=2, what=commit)]
    put(behind, {"a": b"1"})

    assert [info.path for info in direct.objects("main")] == ["a", "theirs"]
    assert hidden(server, direct) == []


def test_a_protected_branch_is_written_to_by_merging_alone(
    server: Server, direct: Repository
) -> None:
    sdk, name = server.sdk, name_of(direct)
    bad = put(direct, {"a": b"0", "old": b"0"})
    direct.create_branch("side")
    put(direct, {"side": b"1"}, "side")
    rules = [BranchProtectionRule(pattern="main")]
    sdk.repositories_api.set_branch_protection_rules(name, rules)
    wait_until_refused(lambda: sdk.objects_api.delete_object(name, "main", "absent"))

    put(direct, {"a": b"1", "old": None})
    direct.merge("side", "main", "x")
    direct.revert("main", put(direct, {"b": b"2"}))

    assert {info.path: direct.read("main", info.path) for info in direct.objects("main")} == {
        "a": b"1",
        "side": b"1",
    }
    assert bad in [commit.id for commit in direct.log("main")]
    assert hidden(server, direct) == []


def wait_until_refused(ask: Callable[[], object]) -> None:
    ends = time.monotonic() + 30  # a real server takes some seconds to heed a new rule
    while time.monotonic() < ends:
        try:
            ask()
        except ForbiddenException:
            return
        time.sleep(0.1)
    pytest.fail("the rule never took effect")


def test_what_is_not_allowed_is_said(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    before = State.of(direct)

    proxy.faults = [Fault("status", "POST", MERGE, status=403, message="insufficient permissions")]
    with pytest.raises(AccessRefusedError, match="insufficient permissions"):
        put(behind, {"a": b"1"})

    assert State.of(direct) == before
    assert hidden(server, direct) == []


def test_nothing_to_do_asks_nobody_to_commit(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    put(direct, {"a": b"1"})

    with pytest.raises(NothingToCommitError):
        put(behind, {"a": b"1", "absent": None})

    assert proxy.asked("POST") == []
    assert hidden(server, direct) == []
