"""Each write of the contract, what it has to have done, and each fault that may strike it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_assets.versions import Repository
from tests.versions.lakefs.servers import Server

HIDDEN = "mlops-tx-"


WRITES = "POST|PUT|DELETE"  # the methods that change something

FAULTS: Mapping[str, Mapping[str, Any]] = {
    "429": {"kind": "status", "status": 429, "message": "Too many attempts, try again later"},
    "503": {"kind": "status", "status": 503},
    "423": {"kind": "status", "status": 423, "message": "locked"},
    "hang before": {"kind": "hang before"},
    "hang after": {"kind": "hang after"},
    "drop before": {"kind": "drop before"},
    "drop after": {"kind": "drop after"},
    "cut": {"kind": "cut"},
}


@dataclass(frozen=True)
class State:
    """All that a write may change: refs, the commits on main, and its objects."""

    branches: Mapping[str, str]
    tags: Mapping[str, str]
    log: tuple[str, ...]
    objects: Mapping[str, str]

    @classmethod
    def of(cls, repository: Repository) -> State:
        return cls(
            dict(repository.branches()),
            dict(repository.tags()),
            tuple(commit.id for commit in repository.log("main")),
            {info.path: info.checksum for info in repository.objects("main")},
        )


@dataclass(frozen=True)
class Operation:
    """A write: `prepare` and `act` are given a name that only this run uses."""

    prepare: Callable[[Repository, str], object]
    act: Callable[[Repository, str], object]
    check: Callable[[Repository, str, State, State], None]


def hidden(server: Server, repository: Repository) -> list[str]:
    """Return the hidden branches of transactions that are there."""
    name = repository.url.rpartition("/")[2]
    found = server.sdk.branches_api.list_branches(name, prefix=HIDDEN, show_hidden=True)
    return [branch.id for branch in found.results]


def put(repository: Repository, contents: Mapping[str, bytes | None], branch: str = "main") -> str:
    with repository.transaction(branch, f"put {sorted(contents)}") as transaction:
        for path, content in contents.items():
            if content is None:
                transaction.remove(path)
            else:
                transaction.put(path, content)
    return transaction.commit_id


def _one_commit(
    repository: Repository, before: State, after: State, **changes: bytes | None
) -> None:
    new = set(after.log) - set(before.log)
    made = [commit for commit in repository.log("main") if commit.id in new]
    assert repository.resolve("main") == made[0].id
    assert made[0].parents[0] == before.log[0]
    expected = dict.fromkeys(before.objects) | dict.fromkeys(changes)
    for path in expected:
        wanted = changes[path] if path in changes else repository.read(before.log[0], path)
        assert (path in after.objects) == (wanted is not None)
        assert wanted is None or repository.read("main", path) == wanted
    assert set(after.objects) <= set(expected)
    assert len([commit for commit in made if commit.parents[0] == before.log[0]]) == 1
    assert (after.branches | {"main": ""}, after.tags) == (
        before.branches | {"main": ""},
        before.tags,
    )


def _put(repository: Repository, name: str, before: State, after: State) -> None:
    _one_commit(repository, before, after, **{f"{name}/a": b"1"})
    assert len(after.log) == len(before.log) + 1


def _remove(repository: Repository, name: str, before: State, after: State) -> None:
    _one_commit(repository, before, after, **{name: None})
    assert len(after.log) == len(before.log) + 1


def _merge(repository: Repository, name: str, before: State, after: State) -> None:
    _one_commit(repository, before, after, **{f"{name}/s": b"side"})
    assert len(after.log) == len(before.log) + 2  # the merge, and what it brought
    assert repository.commit("main").parents == (before.log[0], after.branches[name])


def _revert(repository: Repository, name: str, before: State, after: State) -> None:
    _one_commit(repository, before, after, **{name: b"good"})
    assert len(after.log) == len(before.log) + 1


def _branched(repository: Repository, name: str, before: State, after: State) -> None:
    assert after == State(
        {**before.branches, name: before.log[0]}, before.tags, before.log, before.objects
    )


def _tagged(repository: Repository, name: str, before: State, after: State) -> None:
    assert after == State(
        before.branches, {**before.tags, name: before.log[0]}, before.log, before.objects
    )


def _unbranched(repository: Repository, name: str, before: State, after: State) -> None:
    left = {branch: head for branch, head in before.branches.items() if branch != name}
    assert after == State(left, before.tags, before.log, before.objects)


def _untagged(repository: Repository, name: str, before: State, after: State) -> None:
    left = {tag: head for tag, head in before.tags.items() if tag != name}
    assert after == State(before.branches, left, before.log, before.objects)


def _divide(repository: Repository, name: str) -> None:
    repository.create_branch(name)
    put(repository, {f"{name}/s": b"side"}, name)
    put(repository, {f"{name}/m": b"main"})


def _spoil(repository: Repository, name: str) -> None:
    put(repository, {name: b"good"})
    put(repository, {name: b"bad"})


def _nothing(repository: Repository, name: str) -> None:
    pass


OPERATIONS = {
    "put": Operation(_nothing, lambda there, name: put(there, {f"{name}/a": b"1"}), _put),
    "remove": Operation(
        lambda there, name: put(there, {name: b"1"}),
        lambda there, name: put(there, {name: None}),
        _remove,
    ),
    "merge": Operation(
        _divide, lambda there, name: there.merge(name, "main", f"merge {name}"), _merge
    ),
    "revert": Operation(
        _spoil,
        lambda there, name: there.revert("main", there.resolve("main"), f"take back {name}"),
        _revert,
    ),
    "create_branch": Operation(_nothing, lambda there, name: there.create_branch(name), _branched),
    "create_tag": Operation(_nothing, lambda there, name: there.create_tag(name, "main"), _tagged),
    "delete_branch": Operation(
        lambda there, name: there.create_branch(name),
        lambda there, name: there.delete_branch(name),
        _unbranched,
    ),
    "delete_tag": Operation(
        lambda there, name: there.create_tag(name, "main"),
        lambda there, name: there.delete_tag(name),
        _untagged,
    ),
}
