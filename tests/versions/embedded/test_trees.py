from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.versions.embedded.trees import ClashError, blobs, changes, edited

PATHS = st.lists(st.sampled_from("xyz"), min_size=1, max_size=3).map("/".join)
EDITS = st.lists(
    st.dictionaries(PATHS, st.sampled_from([b"1", b"2", None]), max_size=4), max_size=4
)


@pytest.fixture
def git(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(tmp_path / "git", bare=True)


def clashing(paths: Iterable[str]) -> bool:
    return any(one != other and other.startswith(f"{one}/") for one in paths for other in paths)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS)
def test_a_tree_is_edited_and_compared_as_a_mapping_would_be(
    git: pygit2.Repository, series: list[dict[str, bytes | None]]
) -> None:
    tree, model = None, {}
    for edits in series:
        ids = {path: data and str(git.create_blob(data)) for path, data in edits.items()}
        wanted = {path: blob for path, blob in (model | ids).items() if blob is not None}
        if clashing(wanted):
            with pytest.raises(ClashError):
                edited(git, tree, ids)
            continue
        after = git[edited(git, tree, ids)]
        assert dict(blobs(after)) == wanted
        assert dict(changes(tree, after)) == {
            path: (model.get(path), wanted.get(path))
            for path in model.keys() | wanted.keys()
            if model.get(path) != wanted.get(path)
        }
        tree, model = after, wanted
