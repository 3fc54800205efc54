"""A merge whose result lakeFS would not come to by itself: the result is made aside, then merged.

Aside is a workspace at the branch's head. The other side is merged there, whatever comes of it, and
a commit puts right what has to be. The branch's own merge of that commit then has both histories
behind it, so that later merges find the right base, and simply takes its objects.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from mlops_assets.versions.lakefs.commits import KEY, STEP
from mlops_assets.versions.lakefs.parts import Parts
from mlops_assets.versions.lakefs.publishing import merge_once
from mlops_assets.versions.lakefs.workspace import Workspace


def joined(
    parts: Parts,
    aside: Workspace,
    theirs: str,
    wanted: Mapping[str, str | None],
    put: Callable[[Workspace, str], None],
) -> str:
    """Return a commit that has the workspace's and the other history behind it, with the result.

    Args:
        parts: of the repository that has both.
        aside: stands at the commit that is merged into.
        theirs: the commit that is merged.
        wanted: the SHA-256 of what shall stand at each path that the merge changes; None: nothing.
            All other paths stay as they are.
        put: stages what is wanted at a path.
    """
    ours = aside.at
    aside.at = merge_once(
        parts,
        theirs,
        aside.name,
        ours,
        "a step of a merge",
        {KEY: uuid.uuid4().hex, STEP: "1"},
        strategy="dest-wins",  # so that it goes through: what is wanted is put right below
        allow_empty=True,
    )
    paths = {*wanted, *(change.path for change in parts.data.diff(ours, aside.at, ""))}
    before, now = parts.data.known(ours, paths), parts.data.known(aside.at, paths)
    content = {path: wanted[path] if path in wanted else before.get(path) for path in paths}
    wrong = [path for path in sorted(paths) if now.get(path) != content[path]]
    for path in wrong:
        if content[path] is None:
            continue
        if path in wanted:
            put(aside, path)
        else:
            aside.copy(path, ours)
    aside.remove([path for path in wrong if content[path] is None])
    if wrong:
        aside.commit("a step of a merge", {STEP: "1"})
    return aside.at
