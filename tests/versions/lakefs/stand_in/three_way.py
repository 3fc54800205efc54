"""How lakeFS compares and merges trees: path by path, what counts is an entry's identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Strategy = str  # "", "source-wins" or "dest-wins"


@dataclass(frozen=True)
class Entry:
    """One object: the data and what lakeFS knows of it; when and where it was put is no part of it."""

    data: bytes = field(repr=False)
    checksum: str
    content_type: str
    metadata: Mapping[str, str] = field(hash=False)
    mtime: int = field(compare=False)  # seconds
    address: str = field(compare=False)


Tree = Mapping[str, Entry]


class Conflicted(Exception):  # noqa: N818  # what happened, not what is wrong
    """Both sides changed a path."""


def two_dot(left: Tree, right: Tree) -> Iterator[tuple[str, str, Entry]]:
    """Yield (path, type, entry) of what differs, by path."""
    for path in sorted(left.keys() | right.keys()):
        before, after = left.get(path), right.get(path)
        if before == after:
            continue
        if after is None:
            assert before is not None
            yield path, "removed", before
        else:
            yield path, "added" if before is None else "changed", after


def three_dot(into: Tree, source: Tree, base: Tree) -> Iterator[tuple[str, str, Entry]]:
    """Yield (path, type, entry) of what a merge would do to `into`; a type may be "conflict"."""
    for path, kind, entry in two_dot(into, source):
        if source.get(path) == base.get(path):
            continue  # only the destination changed it
        if into.get(path) == base.get(path):
            yield path, kind, entry
        else:
            yield path, "conflict", entry


def merged(into: Tree, source: Tree, base: Tree, strategy: Strategy) -> dict[str, Entry]:
    """Return the merged tree.

    Raises:
        Conflicted: both changed a path to something else, and no strategy decides.
    """
    takes_source: Callable[[str], bool] = {
        "source-wins": lambda _: True,
        "dest-wins": lambda _: False,
        "": _conflicted,
    }[strategy]
    tree = dict(into)
    for path, kind, _ in three_dot(into, source, base):
        if kind == "conflict" and not takes_source(path):
            continue
        if path in source:
            tree[path] = source[path]
        else:
            tree.pop(path, None)
    for path in _lost(into, source, base):
        tree.pop(path, None)
    return tree


def _lost(into: Tree, source: Tree, base: Tree) -> Iterator[str]:
    """Yield the paths that lakeFS 1.84 loses in a merge.

    Past the last path of the side that ends first, it compares an object with the next one of the
    base, and not their paths: where these are alike, it takes the object for one that was removed.
    """
    if into == base:
        return  # then it takes the source as it is
    end = min(max(into, default=""), max(source, default=""))
    for path, entry in {**into, **source}.items():
        following = min((known for known in base if known >= path), default=path)
        if path > end and following != path and base[following] == entry:
            yield path


def _conflicted(path: str) -> bool:
    raise Conflicted(path)
