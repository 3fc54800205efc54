from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.versions.merging import three_way

CONTENT = st.one_of(st.none(), st.sampled_from("012"))
PATHS = "abc"
Contents = dict[str, str | None]


def changes(base: Contents, side: Contents) -> dict[str, tuple[str | None, str | None]]:
    return {path: (base[path], side[path]) for path in PATHS if base[path] != side[path]}


@given(*[st.fixed_dictionaries(dict.fromkeys(PATHS, CONTENT))] * 3)
def test_every_path_goes_as_a_three_way_merge_must(
    base: Contents, source: Contents, dest: Contents
) -> None:
    edits, conflicts = three_way(changes(base, source), changes(base, dest))

    for path in PATHS:
        result = edits.get(path, dest[path])
        if path in conflicts:
            assert len({base[path], source[path], dest[path]}) == 3
        elif source[path] == base[path]:
            assert result == dest[path]
        else:
            assert result == source[path]


@given(*[st.fixed_dictionaries(dict.fromkeys(PATHS, CONTENT))] * 3)
def test_a_strategy_leaves_no_conflict_and_changes_nothing_else(
    base: Contents, source: Contents, dest: Contents
) -> None:
    left, right = changes(base, source), changes(base, dest)
    edits, conflicts = three_way(left, right)

    assert three_way(left, right, "dest-wins") == (edits, [])
    winning = edits | {path: source[path] for path in conflicts}
    assert three_way(left, right, "source-wins") == (winning, [])
