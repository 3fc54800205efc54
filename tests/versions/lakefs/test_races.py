"""What others commit in the very moment between a look at a branch and the merge into it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.errors import ConflictError, MlopsError
from mlops_assets.versions import Repository
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.operations import FAULTS, State, hidden, put
from tests.versions.lakefs.servers import Server

MERGE = "/merge/main"


@pytest.fixture
def timeout() -> float:
    """What others do meanwhile takes as long as it takes: who gave up on it would come first."""
    return 60


@pytest.fixture
def patience() -> float:
    """Nothing is waited for here."""
    return 60


@pytest.fixture
def meanwhile(
    direct: Repository, proxy: FaultyProxy
) -> Callable[[Mapping[str, bytes | None]], None]:
    """Commit past the proxy, just before the next merge into main comes through."""

    def meanwhile(contents: Mapping[str, bytes | None]) -> None:
        proxy.faults = [
            Fault("meanwhile", "POST", MERGE, nth=1, what=lambda: put(direct, contents))
        ]

    return meanwhile


def contents(repository: Repository) -> dict[str, bytes]:
    return {info.path: repository.read("main", info.path) for info in repository.objects("main")}


def test_other_paths_are_built_upon(
    server: Server, direct: Repository, behind: Repository, meanwhile: Callable[..., None]
) -> None:
    meanwhile({"theirs": b"1"})

    made = put(behind, {"ours": b"1"})

    assert contents(direct) == {"ours": b"1", "theirs": b"1"}
    assert direct.resolve("main") == made
    assert len(list(direct.log("main"))) == 3
    assert hidden(server, direct) == []


@pytest.mark.parametrize("theirs", [{"a": b"theirs"}, {"a": None}])
def test_the_same_path_is_a_conflict(
    server: Server,
    direct: Repository,
    behind: Repository,
    meanwhile: Callable[..., None],
    theirs: dict[str, bytes | None],
) -> None:
    put(direct, {"a": b"0"})
    meanwhile(theirs)

    with pytest.raises(ConflictError) as caught:
        put(behind, {"a": b"ours", "b": b"ours"})

    assert caught.value.paths == ("a",)
    assert contents(direct) == {path: data for path, data in theirs.items() if data}
    assert hidden(server, direct) == []


def test_a_folder_over_an_object_is_a_conflict(
    server: Server, direct: Repository, behind: Repository, meanwhile: Callable[..., None]
) -> None:
    meanwhile({"a": b"theirs"})

    with pytest.raises(ConflictError):
        put(behind, {"a/b": b"ours"})

    assert contents(direct) == {"a": b"theirs"}
    assert hidden(server, direct) == []


def test_a_head_that_is_no_longer_the_expected_one_is_a_conflict(
    server: Server, direct: Repository, behind: Repository, meanwhile: Callable[..., None]
) -> None:
    expected = put(direct, {"a": b"0"})
    meanwhile({"theirs": b"1"})

    def compare_and_set() -> None:
        with behind.transaction("main", "x", expected=expected) as transaction:
            transaction.put("a", b"1")

    with pytest.raises(ConflictError):
        compare_and_set()

    assert contents(direct) == {"a": b"0", "theirs": b"1"}
    assert hidden(server, direct) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"z": None}, {"y": b"same"}),
        ({"y": b"same"}, {"z": None}),
        ({"a": None, "z": None}, {"b": b"same", "y": b"same"}),
    ],
)
def test_an_object_like_one_that_was_removed_is_not_lost(
    direct: Repository,
    behind: Repository,
    meanwhile: Callable[..., None],
    ours: dict[str, bytes | None],
    theirs: dict[str, bytes | None],
) -> None:
    # lakeFS 1.84 by itself loses `y`, and says nothing: see the stand-in's `_lost`
    base = {"a": b"first", "z": b"same"}
    put(direct, base)
    meanwhile(theirs)

    put(behind, ours)

    expected = {**base, **theirs, **ours}
    assert contents(direct) == {path: data for path, data in expected.items() if data is not None}


def test_a_merged_object_like_one_that_was_removed_is_not_lost(direct: Repository) -> None:
    put(direct, {"a": b"first", "z": b"same"})
    direct.create_branch("side")
    put(direct, {"z": None}, "side")
    put(direct, {"y": b"same"})

    direct.merge("side", "main", "x")

    assert contents(direct) == {"a": b"first", "y": b"same"}


@pytest.mark.parametrize(("timeout", "patience"), [(0.5, 20)])
def test_many_writers_behind_a_bad_line_lose_nothing(
    server: Server, direct: Repository, behind: Repository, proxy: FaultyProxy
) -> None:
    proxy.faults = [Fault(probability=0.02, **fault) for fault in FAULTS.values()]
    chance = random.Random(7)
    shared = [chance.random() < 0.3 for _ in range(40)]
    before = State.of(direct)

    def write(number: int) -> str | None:
        data = b"%d" % number
        with behind.transaction("main", f"write {number}") as transaction:
            transaction.put(f"own/{number}", data)
            if shared[number]:
                transaction.put("shared", data)
        return transaction.commit_id

    def attempt(number: int) -> str | None:
        try:
            return write(number)
        except MlopsError:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = dict(enumerate(pool.map(attempt, range(40))))
    proxy.faults = []

    # each acknowledged one is there, and once; what was given up is not there at all
    logged = {commit.id: commit.message for commit in direct.log("main")}
    acknowledged = {commit: f"write {number}" for number, commit in made.items() if commit}
    assert {one: logged[one] for one in logged.keys() - before.log} == acknowledged
    objects = {info.path: info.checksum for info in direct.objects("main", "own/")}
    assert objects == {
        f"own/{number}": hashlib.sha256(b"%d" % number).hexdigest()
        for number, commit in made.items()
        if commit
    }
    assert len(acknowledged) > 20
    assert direct.verify() == []
