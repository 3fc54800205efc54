"""Replies that are none: cut in their headers, empty, or a proxy's page. What was done is found out."""

from __future__ import annotations

import pytest

from mlops_assets.errors import AccessRefusedError, VersionsError
from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import State, hidden, put
from tests.versions.lakefs.servers import Server

MERGE = "/merge/main"
PAGE = b"<html>Please sign in</html>"

GARBLED = {
    "cut in headers": {"kind": "cut in headers"},
    "empty": {"kind": "another body", "body": b""},
    "page": {"kind": "another body", "body": PAGE, "headers": {"Content-Type": "text/html"}},
    "null": {"kind": "another body", "body": b"null"},
    "list": {"kind": "another body", "body": b"[]"},
}


@pytest.mark.parametrize("fault", GARBLED)
def test_a_merge_that_was_done_is_told_as_done(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy, fault: str
) -> None:
    proxy.faults = [Fault(method="POST", path=MERGE, nth=1, **GARBLED[fault])]

    made = put(behind, {"a": b"1"})

    assert proxy.faults[0].happened == 1
    assert direct.resolve("main") == made
    assert len(list(direct.log("main"))) == 2
    assert direct.read("main", "a") == b"1"
    assert hidden(server, direct) == []


@pytest.mark.parametrize("fault", GARBLED)
def test_every_request_garbled_once_changes_nothing_of_what_is_done(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy, fault: str
) -> None:
    # each path of the API once, but for data: another's is told by its checksum
    paths = ("/objects/ls", "/branches", "/commits", "/merge/", "/tags", "/diff")
    proxy.faults = [
        Fault(method=method, path=path, nth=1, **GARBLED[fault])
        for method in ("GET", "POST", "DELETE")
        for path in (*paths, *([r"/objects\?"] if method == "POST" else []))
    ]

    made = put(behind, {"a": b"1", "d/b": b"2"})
    assert behind.create_tag("t", made) == made
    behind.create_branch("side")
    put(behind, {"a": b"3"}, "side")
    merged = behind.merge("side", "main", "x")

    assert sum(one.happened for one in proxy.faults) >= 6
    assert behind.read("main", "a") == direct.read("main", "a") == b"3"
    assert [commit.id for commit in direct.log("main", limit=1)] == [merged]
    assert direct.tags() == [("t", made)]
    assert behind.verify() == []
    assert hidden(server, direct) == []


def test_a_read_that_is_cut_in_its_headers_goes_on(
    direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    content = bytes(range(256)) * 10_000
    put(direct, {"a": content})

    proxy.faults = [Fault("cut in headers", "GET", r"/objects\?", nth=n) for n in (1, 3)]
    assert behind.read("main", "a") == content
    with behind.open("main", "a") as opened:
        assert opened.read() == content
    assert behind.verify() == []
    assert sum(one.happened for one in proxy.faults) == 2


def test_a_page_that_stays_is_told_soon(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    before = State.of(direct)
    proxy.faults = [
        Fault("status", "POST", "/branches", status=200, message=None, body=PAGE),
    ]

    with pytest.raises(VersionsError, match="no answer of a lakeFS server"):
        put(behind, {"a": b"1"})

    assert State.of(direct) == before
    assert hidden(server, direct) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("insufficient permissions", "may not do this .insufficient permissions.: ask whoever"),
        ("error authenticating request", "does not know these credentials"),
    ],
)
def test_who_may_not_is_told_from_who_is_not_known(
    behind: Repository, proxy: FaultyProxy, said: str, told: str
) -> None:
    proxy.faults = [Fault("status", "POST", MERGE, status=401, message=said)]

    with pytest.raises(AccessRefusedError, match=f"^committing to `main`: .*{told}"):
        put(behind, {"a": b"1"})
