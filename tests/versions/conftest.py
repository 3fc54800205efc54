"""The contract's fixtures: an implementation joins the suite by joining `IMPLEMENTATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlops_assets.versions import Repository, open_repository
from tests.versions.lakefs.servers import PARAMETERS, Server
from tests.versions.lakefs.stand_in import StandIn

IMPLEMENTATIONS = ["embedded", *PARAMETERS]

Commit = Callable[..., str]


@pytest.fixture(params=IMPLEMENTATIONS)
def repository(request: pytest.FixtureRequest) -> Repository:
    if request.param == "embedded":
        return request.getfixturevalue("embedded")
    server = request.getfixturevalue("stand_in") if "stand-in" in request.param else Server.real()
    return request.getfixturevalue("open_on")(server)


@pytest.fixture
def embedded(tmp_path: Path) -> Repository:
    return open_repository(str(tmp_path / "repository"))


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Server]:
    """One server for all tests; each has a repository of its own."""
    with StandIn() as server:
        yield Server.of(server)


@pytest.fixture
def open_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Server], Repository]]:
    """Open a new repository on a server, as the environment names it for the rest of the test."""
    with ExitStack() as stack:

        def open_on(server: Server) -> Repository:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            name = stack.enter_context(server.named_repository())
            monkeypatch.setenv("MLOPS_LAKEFS_CREATE", name)
            return open_repository(f"lakefs://{name}")

        yield open_on


@pytest.fixture
def commit() -> Commit:
    """Commit contents by path (None removes) and return the commit id."""

    def commit(
        to: Repository, contents: Mapping[str, bytes | None], branch: str = "main", note: str = "x"
    ) -> str:
        with to.transaction(branch, note) as transaction:
            for path, content in contents.items():
                if content is None:
                    transaction.remove(path)
                else:
                    transaction.put(path, content)
        return transaction.commit_id

    return commit
