"""A server, the stand-in or the real one, and a proxy in front of it that tests put faults into."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mlops_assets.versions import Repository, open_repository
from tests.versions.lakefs.faulty_proxy import FaultyProxy
from tests.versions.lakefs.servers import ENDPOINT, PARAMETERS, Server


@pytest.fixture(params=PARAMETERS)
def server(request: pytest.FixtureRequest, stand_in: Server) -> Server:
    return stand_in if "stand-in" in request.param else Server.real()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def patience() -> float:
    """Seconds that a server is waited for."""
    return 3


@pytest.fixture
def timeout() -> float:
    """Seconds that one reply may take; a busy machine takes half a second for a whole one."""
    return 0.5


@pytest.fixture
def direct(server: Server, open_on: Callable[[Server], Repository]) -> Repository:
    """A new repository, seen past the proxy."""
    return open_on(server)


@pytest.fixture
def behind(
    direct: Repository,
    proxy: FaultyProxy,
    timeout: float,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> Repository:
    """The same repository through the proxy, with little patience."""
    monkeypatch.setenv(ENDPOINT, proxy.url)
    monkeypatch.setenv("MLOPS_LAKEFS_TIMEOUT", str(timeout))
    monkeypatch.setenv("MLOPS_LAKEFS_PATIENCE", str(patience))
    return open_repository(direct.url)
