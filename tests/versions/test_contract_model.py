"""Random operations, held against a model of the contract in which a commit is a dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops_assets.errors import (
    ConflictError,
    InvalidNameError,
    NothingToCommitError,
    RefExistsError,
    RefNotFoundError,
    VersionsError,
)
from mlops_assets.versions import Repository

Tree = dict[str, bytes]
PATHS = ["a", "b", "d", "d/a", "d/e", "d/e/a"]
BRANCHES = ["main", "one", "two"]
TAGS = ["t", "one"]  # a tag can't be called like a branch that is there
PLACES = [*BRANCHES, *TAGS, "commit"]  # one of the commits so far


def clash(one: str, other: str) -> bool:
    """Say whether one path would be an object where the other has a folder."""
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


@dataclass(frozen=True)
class Made:
    """A commit of the model."""

    tree: Tree
    parents: tuple[str, ...]


@dataclass
class Model:
    """What the repository should hold."""

    commits: dict[str, Made] = field(default_factory=dict)  # in the order in which they were made
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def ancestors(self, commit: str) -> set[str]:
        found, pending = set(), [commit]
        while pending:
            one = pending.pop()
            if one not in found:
                found.add(one)
                pending += self.commits[one].parents
        return found

    def bases(self, one: str, other: str) -> set[str]:
        """Return the best common ancestors: those that are no ancestor of another one."""
        common = self.ancestors(one) & self.ancestors(other)
        return {c for c in common if not any(c in self.ancestors(o) - {o} for o in common)}


def merged(base: Tree, source: Tree, dest: Tree, strategy: str | None) -> tuple[Tree, set[str]]:
    """Merge path by path; return what comes out and which paths are in conflict."""
    paths = base.keys() | source.keys() | dest.keys()
    changed = {p for p in paths if source.get(p) not in (base.get(p), dest.get(p))}
    disputed = {p for p in changed if dest.get(p) != base.get(p)}
    taken = changed if strategy == "source-wins" else changed - disputed
    result = {p: c for p, c in dest.items() if p not in taken}
    brought = {p: source[p] for p in taken if p in source}
    in_the_way = {(p, o) for p in brought for o in result if clash(p, o)}
    if strategy is None and (disputed or in_the_way):
        return dest, disputed | {p for p, _ in in_the_way}
    if strategy == "source-wins":
        result = {p: c for p, c in result.items() if p not in {o for _, o in in_the_way}}
    else:
        brought = {p: c for p, c in brought.items() if p not in {p for p, _ in in_the_way}}
    return result | brought, set()


@dataclass
class Pair:
    """A repository and its model, which must never differ."""

    repository: Repository
    prefix: str
    model: Model = field(default_factory=Model)

    def begin(self) -> None:
        """Make branches that have something to merge, so that a short script comes to the point."""
        first = next(c for c in self.repository.log("main") if not c.parents)
        self.model.commits[first.id] = Made({}, ())
        self.model.branches["main"] = self.repository.create_branch(self.named("main"), first.id)
        self.commit("main", {"a": b"0", "b": b"0", "d/a": b"0"}, quiet=False)
        self.create("branch", "one", "main", 0)

    def named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def place(self, name: str, number: int) -> str:
        """Return how the repository calls a place: a branch, a tag, or the number-th commit."""
        if name == "commit":
            commits = list(self.model.commits)
            return commits[number % len(commits)]
        return self.named(name)

    def at(self, name: str, number: int) -> str | None:
        """Return the commit of a place by the model."""
        if name == "commit":
            return self.place(name, number)
        return self.model.branches.get(name) or self.model.tags.get(name)

    def same(self, expected: type[Exception] | None, ask: Callable[[], str | None]) -> str | None:
        """Ask the repository for something that by the model is done, or refused."""
        if expected is None:
            return ask()
        with pytest.raises(expected) as caught:
            ask()
        assert caught.type is expected, caught.value
        return None

    def record(self, branch: str, commit: str | None, tree: Tree, parents: tuple[str, ...]) -> None:
        assert commit is not None
        assert self.repository.commit(commit).parents == parents
        self.model.commits[commit] = Made(tree, parents)
        self.model.branches[branch] = commit
        self.check(self.named(branch), commit)

    def commit(self, branch: str, edits: Mapping[str, bytes | None], *, quiet: bool) -> None:
        def ask() -> str:
            with self.repository.transaction(
                self.named(branch), "commit", {"branch": branch}, allow_unchanged=quiet
            ) as transaction:
                for path, content in edits.items():
                    if content is None:
                        transaction.remove(path)
                    else:
                        transaction.put(path, content)
            return transaction.commit_id

        head = self.model.branches.get(branch)
        if head is None:
            self.same(RefNotFoundError, ask)
            return
        before = self.model.commits[head].tree
        tree = {p: c for p, c in ({**before, **edits}).items() if c is not None}
        if any(clash(one, other) for one in tree for other in tree):
            self.same(InvalidNameError, ask)
        elif tree != before:
            self.record(branch, ask(), tree, (head,))
        elif self.same(None if quiet else NothingToCommitError, ask) is not None:
            assert self.repository.resolve(self.named(branch)) == head

    def create(self, kind: str, name: str, source: str, number: int) -> None:
        ours, others = self.model.branches, self.model.tags
        create = self.repository.create_branch
        if kind == "tag":
            ours, others, create = others, ours, self.repository.create_tag
        commit = self.at(source, number)
        expected: type[Exception] | None = None
        if commit is None:
            expected = RefNotFoundError
        elif name in others or ours.get(name, commit) != commit:
            expected = RefExistsError
        place = self.place(source, number)
        if self.same(expected, lambda: create(self.named(name), place)) is not None:
            assert commit is not None
            ours[name] = commit

    def delete(self, kind: str, name: str) -> None:
        known = self.model.branches if kind == "branch" else self.model.tags
        delete = self.repository.delete_branch
        if kind == "tag":
            delete = self.repository.delete_tag
        self.same(None if name in known else RefNotFoundError, lambda: delete(self.named(name)))
        known.pop(name, None)

    def merge(self, source: str, number: int, into: str, strategy: str | None) -> None:
        place = self.place(source, number)
        theirs, head = self.at(source, number), self.model.branches.get(into)

        def ask() -> str:
            return self.repository.merge(place, self.named(into), "merge", strategy=strategy)

        if theirs is None or head is None:
            self.same(RefNotFoundError, ask)
            return
        bases = self.model.bases(theirs, head)
        if len(bases) != 1:
            return  # the contract leaves open which of them it is
        base, source_tree, dest = (
            self.model.commits[one].tree for one in (bases.pop(), theirs, head)
        )
        self.apply(into, ask, base, source_tree, dest, strategy, (head, theirs))

    def revert(self, branch: str, number: int) -> None:
        taken_back = self.place("commit", number)
        made, head = self.model.commits[taken_back], self.model.branches.get(branch)

        def ask() -> str:
            return self.repository.revert(self.named(branch), taken_back)

        if not made.parents:
            self.same(VersionsError, ask)
        elif head is None:
            self.same(RefNotFoundError, ask)
        else:
            before = self.model.commits[made.parents[0]].tree
            dest = self.model.commits[head].tree
            self.apply(branch, ask, made.tree, before, dest, None, (head,))

    def apply(
        self,
        branch: str,
        ask: Callable[[], str],
        base: Tree,
        source: Tree,
        dest: Tree,
        strategy: str | None,
        parents: tuple[str, ...],
    ) -> None:
        tree, conflicts = merged(base, source, dest, strategy)
        if conflicts:
            with pytest.raises(ConflictError) as caught:
                ask()
            assert set(caught.value.paths) == conflicts
        elif tree == dest:
            self.same(NothingToCommitError, ask)
        else:
            self.record(branch, ask(), tree, parents)

    def check(self, ref: str, commit: str) -> None:
        """Compare what stands at a ref with the model's commit."""
        tree = self.model.commits[commit].tree
        assert self.repository.resolve(ref) == commit
        found = {info.path: info for info in self.repository.objects(ref)}
        assert list(found) == sorted(tree)
        for path, content in tree.items():
            assert found[path].checksum == hashlib.sha256(content).hexdigest()
            assert found[path].size == len(content)

    def check_all(self) -> None:
        """Compare refs, contents, differences and logs."""
        for known, listed in (
            (self.model.branches, self.repository.branches(self.prefix)),
            (self.model.tags, self.repository.tags(self.prefix)),
        ):
            assert dict(listed) == {self.named(name): commit for name, commit in known.items()}
        for commit, made in self.model.commits.items():
            self.check(commit, commit)
            for path, content in made.tree.items():
                assert self.repository.read(commit, path) == content
        for head in {*self.model.branches.values()}:
            self.check_log(head)
            self.check_diff(next(iter(self.model.commits)), head)
        self.check_diff(*list(self.model.commits)[-2:])

    def check_diff(self, left: str, right: str | None = None) -> None:
        right = right or left
        before, after = self.model.commits[left].tree, self.model.commits[right].tree
        changed = {
            path: "added" if path not in before else "removed" if path not in after else "changed"
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path)
        }
        found = self.repository.diff(left, right)
        assert [(one.path, one.kind) for one in found] == sorted(changed.items())

    def check_log(self, head: str) -> None:
        logged = [one.id for one in self.repository.log(head)]
        assert sorted(logged) == sorted(self.model.ancestors(head))
        place = {commit: number for number, commit in enumerate(logged)}
        for commit in logged:
            assert all(place[commit] < place[p] for p in self.model.commits[commit].parents)
        for path in ("a", "d/e/a"):
            found = [one.id for one in self.repository.log(head, path=path)]
            assert found == [one for one in logged if self.changes(one, path)]

    def changes(self, commit: str, path: str) -> bool:
        made = self.model.commits[commit]
        before = self.model.commits[made.parents[0]].tree if made.parents else {}
        return made.tree.get(path) != before.get(path)


branches = st.sampled_from(BRANCHES)
places = st.sampled_from(PLACES)
numbers = st.integers(0, 20)
contents = st.sampled_from([b"", b"1", b"2", None])
edits = st.dictionaries(st.sampled_from(PATHS), contents, min_size=1, max_size=4)
strategies = st.sampled_from([None, None, "source-wins", "dest-wins"])

mostly = st.sampled_from(["main", "one", "main", "one", "two"])
operations = st.one_of(
    *[st.tuples(st.just("commit"), mostly, edits, st.just(value=False))] * 3,
    *[st.tuples(st.just("merge"), mostly, numbers, mostly, strategies)] * 2,
    st.tuples(st.just("commit"), branches, edits, st.booleans()),
    st.tuples(st.just("branch"), st.sampled_from(BRANCHES[1:]), places, numbers),
    st.tuples(st.just("tag"), st.sampled_from(TAGS), places, numbers),
    st.tuples(st.just("delete branch"), st.sampled_from(BRANCHES[1:])),
    st.tuples(st.just("delete tag"), st.sampled_from(TAGS)),
    st.tuples(st.just("merge"), places, numbers, branches, strategies),
    st.tuples(st.just("revert"), branches, numbers),
)


def play(pair: Pair, script: list[tuple]) -> None:
    pair.begin()
    for name, *arguments in script:
        if name == "commit":
            branch, changed, quiet = arguments
            pair.commit(branch, changed, quiet=quiet)
        elif name in ("branch", "tag"):
            pair.create(name, *arguments)
        elif name.startswith("delete"):
            pair.delete(name.removeprefix("delete "), *arguments)
        else:
            getattr(pair, name)(*arguments)
    pair.check_all()


@pytest.fixture
def prefixes() -> Iterator[str]:
    """Names of its own for each series of operations, so that one repository serves them all."""
    return (f"s{number}-" for number in count())


LENIENT = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


# taken back over both: a changed path and one that became a folder
BOTH_IN_THE_WAY = [
    ("revert", "main", 1),
    ("commit", "main", {"a": b""}, False),
    ("commit", "main", {"d": b""}, False),
    ("revert", "main", 2),
]


@settings(max_examples=40, **LENIENT)
@example(BOTH_IN_THE_WAY)
@given(script=st.lists(operations, min_size=6, max_size=14))
def test_it_does_what_the_model_does(
    repository: Repository, prefixes: Iterator[str], script: list[tuple]
) -> None:
    play(Pair(repository, next(prefixes)), script)


@pytest.mark.slow
@settings(max_examples=200, **LENIENT)
@given(script=st.lists(operations, min_size=10, max_size=30))
def test_it_does_so_for_long(
    repository: Repository, prefixes: Iterator[str], script: list[tuple]
) -> None:
    play(Pair(repository, next(prefixes)), script)
