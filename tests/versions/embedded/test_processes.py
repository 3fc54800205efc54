from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import mlops_assets
from mlops_assets.versions import Repository, open_repository

SCRIPT = Path(__file__).with_name("committing.py")
CHURN = Path(__file__).with_name("churning.py")


def start(*arguments: object, script: Path = SCRIPT) -> subprocess.Popen[str]:
    root = Path(mlops_assets.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def acknowledged(output: str) -> dict[int, str]:
    """Commit ids or conflicts by number; a line that the kill cut off was not acknowledged."""
    whole = output[: output.rfind("\n") + 1].splitlines()
    return {int(number): result for number, result in (line.split() for line in whole)}


def fsck(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", url, "fsck", "--full", "--strict", "--no-dangling"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("names", "count"), [("abcd", 15), pytest.param("abcdefgh", 50, marks=pytest.mark.slow)]
)
def test_processes_lose_nothing(embedded: Repository, names: str, count: int) -> None:
    processes = {name: start(embedded.url, name, count) for name in names}
    results = {name: acknowledged(process.communicate()[0]) for name, process in processes.items()}

    assert all(process.returncode == 0 for process in processes.values())
    logged = {found.id: found.message for found in embedded.log("main")}
    shared = [found.message for found in embedded.log("main", path="shared")]
    present = {found.path for found in embedded.objects("main")}
    told = 0
    for name, result in results.items():
        assert sorted(result) == list(range(count))
        for number, outcome in result.items():
            if outcome == "conflict:shared":
                told += 1
                assert f"own/{name}/{number}" not in present
                assert number % 5 == 0
            else:
                assert logged.pop(outcome) == f"{name} {number}"
                assert embedded.read("main", f"own/{name}/{number}") == f"{name} {number}".encode()
    assert list(logged.values()) == ["repository created"]
    # each that wanted the shared path has it in the log, or was told that another had it
    assert len(shared) + told == len(names) * len(range(0, count, 5))
    assert embedded.read("main", "shared") == shared[0].encode()
    assert fsck(embedded.url).returncode == 0


@pytest.mark.parametrize("kills", [10, pytest.param(80, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_loses_nothing_and_hinders_nobody(
    embedded: Repository, commit: Callable[..., str], kills: int
) -> None:
    chance = random.Random(7)
    committed = {}
    for turn in range(kills):
        process = start(embedded.url, f"t{turn}", 100_000)
        first = process.stdout.readline()  # it is at work now, and not still importing
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        for number, commit_id in acknowledged(first + rest).items():
            committed[f"own/t{turn}/{number}"] = commit_id
        begun = time.monotonic()
        committed[f"next/{turn}"] = commit(embedded, {f"next/{turn}": b"%d" % turn})
        assert time.monotonic() - begun < 5  # at once: no lock of the dead is waited for

    fresh = open_repository(embedded.url)
    logged = {found.id for found in fresh.log("main")}
    present = {found.path for found in fresh.objects("main")}
    assert logged >= {*committed.values()}
    assert present >= {*committed}
    assert fresh.verify() == []
    checked = fsck(embedded.url)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("count", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_a_collection_beside_writers_loses_nothing(embedded: Repository, count: int) -> None:
    collector = start("collect", embedded.url, script=CHURN)
    collector.stdout.readline()  # it is at work now
    writers = {n: start("write", embedded.url, n, count, script=CHURN) for n in "abcd"}
    done = {name: acknowledged(writer.communicate()[0]) for name, writer in writers.items()}
    collector.kill()
    collected = [int(line) for line in collector.communicate()[0].split()]

    assert all(writer.returncode == 0 for writer in writers.values())
    assert all(sorted(commits) == list(range(count)) for commits in done.values())
    for name, commits in done.items():
        for number, commit_id in commits.items():
            for ref in ("main", commit_id):
                assert embedded.read(ref, f"own/{name}/{number}") == b"%d" % number
                assert embedded.read(ref, f"alone/{name}/{number}") == f"{name} {number}".encode()
    assert sum(collected) > 0
    assert embedded.verify() == []
    assert fsck(embedded.url).returncode == 0


def test_a_collection_that_is_killed_loses_nothing_and_hinders_nobody(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    chance = random.Random(7)
    kept = {f"kept/{number}": b"kept %d" % number for number in range(20)}
    commit(embedded, kept)
    for turn in range(5):
        branch = f"lost-{turn}"
        embedded.create_branch(branch)
        commit(embedded, {f"{n}": b"%d %d" % (turn, n) for n in range(300)}, branch)
        embedded.delete_branch(branch)
        collector = start("collect", embedded.url, script=CHURN)
        while not list(Path(embedded.url, "lfs").glob("collected.jsonl")) and not turn:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.5))
        collector.kill()
        collector.communicate()
        kept[f"next/{turn}"] = b"0 1"  # what may have been collected just now, put again
        commit(embedded, {f"next/{turn}": b"0 1"})

    embedded.collect(grace=timedelta(0))

    assert embedded.verify() == []
    assert {
        info.path: embedded.read("main", info.path) for info in embedded.objects("main")
    } == kept
    assert len(list(Path(embedded.url, "lfs", "objects").glob("*/*/*"))) == len({*kept.values()})


def test_the_lock_a_killed_process_left_on_a_ref_is_no_hindrance(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    for name in ("refs/heads/main.lock", "refs/heads/b.lock", "packed-refs.lock"):
        (Path(embedded.url) / name).touch()

    commit(embedded, {"a": b"1"})
    embedded.create_branch("b")
    embedded.delete_branch("b")

    assert embedded.read("main", "a") == b"1"


def test_processes_that_create_it_at_once_make_one(tmp_path: Path) -> None:
    url = str(tmp_path / "new" / "repository")
    processes = [start(url, name, 2) for name in "abc"]
    outputs = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    made = [found.message for found in open_repository(url).log("main")]
    acked = [done for output in outputs for done in acknowledged(output).values()]
    assert made.count("repository created") == 1
    assert len(made) == 1 + len([done for done in acked if not done.startswith("conflict")])
    assert [found.name for found in (tmp_path / "new").iterdir()] == ["repository"]


@pytest.mark.parametrize("statement", ["import mlops_assets.versions", "OPEN"])
def test_opening_loads_nothing_heavy(embedded: Repository, statement: str) -> None:
    if statement == "OPEN":
        statement = f"from mlops_assets.versions import open_repository as o; o({embedded.url!r})"
    root = Path(mlops_assets.__file__).parents[1]
    program = f"import sys; {statement}; assert not {{'pygit2', 'polars'}} & {{*sys.modules}}"

    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
