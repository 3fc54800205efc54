"""A repository of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.versions import Repository, open_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_repository(str(tmp_path / "repository"))
