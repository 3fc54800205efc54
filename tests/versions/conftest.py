"""The contract's fixtures: an implementation joins the suite by joining `IMPLEMENTATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlops_assets.versions import Repository, open_repository

IMPLEMENTATIONS: dict[str, Callable[[Path], Repository]] = {
    "embedded": lambda folder: open_repository(str(folder / "repository")),
}

Commit = Callable[..., str]


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return IMPLEMENTATIONS[request.param](tmp_path)


@pytest.fixture
def embedded(tmp_path: Path) -> Repository:
    return IMPLEMENTATIONS["embedded"](tmp_path)


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
