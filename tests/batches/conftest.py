"""The tiny model's declaration, read from its project as the component reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlops_assets.declaration import Declaration
from mlops_assets.versions import Repository, open_repository
from tests import tiny


@pytest.fixture(scope="session")
def declaration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declaration]:
    project = tiny.make_project(tmp_path_factory.mktemp("tiny"), windows=0)
    declared = yaml.safe_load((project / "tiny_project/defs/tiny/defs.yaml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project)
        yield Declaration.model_validate(declared["attributes"]).within("tiny_project.defs.tiny")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_repository(str(tmp_path / "repository"))
