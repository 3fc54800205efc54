from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import urllib3
from lakefs_sdk import TagCreation
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError

from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.servers import ENDPOINT, Server


@pytest.fixture
def proxy(stand_in: Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(stand_in.url) as proxy:
        yield proxy


def get(proxy: FaultyProxy, path: str = "/_health") -> urllib3.BaseHTTPResponse:
    return urllib3.PoolManager().request("GET", proxy.url + path, retries=False, timeout=0.5)


def test_without_faults_it_only_watches(proxy: FaultyProxy) -> None:
    assert get(proxy).data == b"alive!"
    assert get(proxy, "/api/v1/repositories?amount=1").status == 401

    assert [seen.path for seen in proxy.seen] == ["/_health", "/api/v1/repositories?amount=1"]
    assert len(proxy.asked("GET", "health")) == 1


def test_a_status_is_made_up(proxy: FaultyProxy) -> None:
    proxy.faults = [Fault("status", "GET", "health", status=429, headers={"Retry-After": "7"})]

    answer = get(proxy)

    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json() == {"message": "Throughput exceeded. Slow down and retry"}


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("hang before", ReadTimeoutError),
        ("hang after", ReadTimeoutError),
        ("drop before", ProtocolError),
        ("drop after", ProtocolError),
        ("cut", ProtocolError),
    ],
)
def test_the_nth_request_goes_wrong_and_only_it(
    proxy: FaultyProxy, kind: str, error: type[HTTPError]
) -> None:
    proxy.faults = [Fault(kind, path="health", nth=2)]

    assert get(proxy).status == 200
    with pytest.raises(error):
        get(proxy)
    assert get(proxy).status == 200
    assert proxy.faults[0].happened == 1


def test_something_else_may_happen_meanwhile(proxy: FaultyProxy) -> None:
    happened = []
    proxy.faults = [Fault("meanwhile", nth=1, what=lambda: happened.append("it"))]

    assert get(proxy).data == b"alive!"
    assert happened == ["it"]


def test_a_late_request_still_comes_through(
    proxy: FaultyProxy, open_on: Callable[[Server], Repository], stand_in: Server
) -> None:
    name = open_on(stand_in).url.rpartition("/")[2]
    server = Server({**stand_in.environment, ENDPOINT: proxy.url})
    proxy.faults = [Fault("late", "POST", seconds=0.2)]

    with pytest.raises(HTTPError):
        server.sdk.tags_api.create_tag(name, TagCreation(id="t", ref="main"))

    assert stand_in.sdk.tags_api.list_tags(name).results == []
    proxy.settle()
    assert [tag.id for tag in stand_in.sdk.tags_api.list_tags(name).results] == ["t"]


def test_a_server_that_went_away_comes_back(proxy: FaultyProxy) -> None:
    proxy.refuse(0.3)

    with pytest.raises(NewConnectionError):
        get(proxy)
    time.sleep(0.5)
    assert get(proxy).status == 200
