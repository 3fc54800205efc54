"""lakeFS' hooks, as far as refusing goes: an action file whose Lua script is `error("reason")`."""

from __future__ import annotations

import fnmatch
import re
import uuid
from collections.abc import Callable

import yaml

from tests.versions.lakefs.stand_in.three_way import Tree

FOLDER = "_lakefs_actions/"
ERROR = re.compile(r"""\s*error\((["'])(?P<reason>.*)\1\)\s*""")

REFUSING = b"""name: freeze
on:
  pre-merge:
    branches: ["main"]
hooks:
  - id: refuse
    type: lua
    properties:
      script: error("not on a Friday")
"""


def run(event: str, branch: str, tree: Tree, refuse: Callable[[int, str], None]) -> None:
    """Call `refuse` with a status and what lakeFS says, if an action in the tree refuses the event."""
    for path in sorted(path for path in tree if path.startswith(FOLDER)):
        action = yaml.safe_load(tree[path].data)
        # YAML 1.1 reads the key `on` as true
        wanted = action.get("on", action.get(True, {})).get(event, False)
        if wanted is False:
            continue
        patterns = (wanted or {}).get("branches") or ["*"]
        if not any(fnmatch.fnmatchcase(branch, pattern) for pattern in patterns):
            continue
        for number, hook in enumerate(action["hooks"]):
            found = ERROR.fullmatch(hook["properties"]["script"])
            if found:
                refuse(
                    412,
                    f"{event} hook aborted, run id '{uuid.uuid4().hex[:20]}': 1 error occurred:\n\t"
                    f"* hook run id '0000_{number:04}' failed on action '{action['name']}' hook "
                    f"'{hook['id']}': action failed: runtime error: [string \"lua\"]:1: "
                    f"{found['reason']}\nstack traceback:\n\t[Go]: in ?\n\t"
                    '[string "lua"]:1: in main chunk\n\n',
                )
