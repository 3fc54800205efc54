"""Git trees as a mapping of paths to blobs: looked up, listed, compared and edited.

What git keeps for itself in a tree (`.gitattributes` and its like) is no object and never seen here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygit2 import Object, Repository, Tree
    from typing_extensions import TypeIs

_BLOB, _TREE, _LINK = 0o100644, 0o040000, 0o120000  # git's file modes
_NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the id of every empty tree


class ClashError(Exception):
    """One object would stand where another has its folder; `path` is the one in the way."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def blob_at(tree: Tree, path: str) -> str | None:
    """Return the id of the object at a path, or None."""
    found = entry_at(tree, path)
    return str(found.id) if found is not None and _is_object(found) else None


def entry_at(tree: Tree, path: str) -> Object | None:
    """Return the object or folder at a path, or None."""
    from pygit2 import Tree

    node: Object = tree
    # Not `tree[path]`: its KeyError says of a damaged folder what it says of one that isn't there.
    for name in path.split("/"):
        if not isinstance(node, Tree) or name not in node:
            return None
        node = node[name]
    return node


def blobs(tree: Tree, prefix: str = "", base: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, blob id) of every object whose path begins with the prefix."""
    for name, entry in _entries(tree).items():
        path = base + name
        if _is_tree(entry):
            if _leads_to(prefix, path):
                yield from blobs(entry, prefix, f"{path}/")
        elif path.startswith(prefix):
            yield path, str(entry.id)


def changes(
    left: Tree | None, right: Tree | None, prefix: str = "", base: str = ""
) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    """Yield (path, (left blob id, right blob id)) of every object that differs, None where absent.

    Equal folders are not read, so the cost is that of the difference.
    """
    if left is not None and right is not None and left.id == right.id:
        return
    lefts, rights = _entries(left), _entries(right)
    for name in lefts.keys() | rights.keys():
        a, b = lefts.get(name), rights.get(name)
        path = base + name
        if (_is_tree(a) or _is_tree(b)) and _leads_to(prefix, path):
            inner = [x if _is_tree(x) else None for x in (a, b)]
            yield from changes(inner[0], inner[1], prefix, f"{path}/")
        ids = [str(x.id) if x is not None and not _is_tree(x) else None for x in (a, b)]
        if ids[0] != ids[1] and path.startswith(prefix):
            yield path, (ids[0], ids[1])


def beside(tree: Tree, path: str) -> Iterator[str]:
    """Yield the objects in the same folder as a path, but none of the folders below."""
    folder, slash, _ = path.rpartition("/")
    inside = entry_at(tree, folder) if folder else tree
    if _is_tree(inside):
        for name, entry in _entries(inside).items():
            if _is_object(entry):
                yield f"{folder}{slash}{name}"


def related(tree: Tree, path: str) -> Iterator[str]:
    """Yield the objects that an object at this path would clash with: above it, or below it."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if blob_at(tree, above) is not None:
            yield above
    entry = entry_at(tree, path)
    if _is_tree(entry):
        yield from (below for below, _ in blobs(entry, base=f"{path}/"))


def edited(
    git: Repository,
    tree: Tree | None,
    edits: Mapping[str, str | None],
    base: str = "",
) -> str:
    """Write a tree with objects set (blob id) and removed (None); return its id.

    Raises:
        ClashError: an object would stand where another has its folder.
    """
    builder = git.TreeBuilder(tree) if tree is not None else git.TreeBuilder()
    by_name: dict[str, dict[str, str | None]] = {}
    for path, blob in edits.items():
        name, _, below = path.partition("/")
        by_name.setdefault(name, {})[below] = blob
    for name, inner in by_name.items():
        standing = tree[name] if tree is not None and name in tree else None
        after = _after(git, standing, inner, base + name)
        if after is not None:
            builder.insert(name, *after)
        elif standing is not None:
            builder.remove(name)
    return str(builder.write())


def _after(
    git: Repository, standing: Object | None, edits: dict[str, str | None], path: str
) -> tuple[str, int] | None:
    """Return what stands at one name after the edits to it (under "") and below it: id and mode."""
    folder = standing if _is_tree(standing) else None
    blob = str(standing.id) if standing is not None and folder is None else None
    if "" in edits:
        blob = edits.pop("")
    inside = str(folder.id) if folder is not None else _NOTHING
    if edits:
        inside = edited(git, folder, edits, f"{path}/")
    if blob is not None and inside != _NOTHING:
        raise ClashError(path)
    if blob is not None:
        return blob, _BLOB
    return (inside, _TREE) if inside != _NOTHING else None


def _entries(tree: Tree | None) -> dict[str, Object]:
    if tree is None:
        return {}
    return {
        str(entry.name): entry
        for entry in tree
        if (_is_tree(entry) or _is_object(entry)) and not str(entry.name).startswith(".git")
    }


def _is_tree(entry: Object | None) -> TypeIs[Tree]:
    return entry is not None and entry.type_str == "tree"


def _is_object(entry: Object) -> bool:
    # A push from a clone may bring links and submodules, which no path of ours means.
    return entry.type_str == "blob" and entry.filemode != _LINK


def _leads_to(prefix: str, folder: str) -> bool:
    inside = f"{folder}/"
    return inside.startswith(prefix) or prefix.startswith(inside)
