from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mlops_assets
from mlops_assets.versions import Repository, open_repository

SCRIPT = Path(__file__).with_name("committing.py")


def start(url: str, name: str, count: int) -> subprocess.Popen[str]:
    root = Path(mlops_assets.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, SCRIPT, url, name, str(count)],
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


def test_four_processes_lose_nothing(embedded: Repository) -> None:
    processes = {name: start(embedded.url, name, 15) for name in "abcd"}
    results = {name: acknowledged(process.communicate()[0]) for name, process in processes.items()}

    assert all(process.returncode == 0 for process in processes.values())
    logged = {found.id: found.message for found in embedded.log("main")}
    present = {found.path for found in embedded.objects("main")}
    for name, result in results.items():
        assert sorted(result) == list(range(15))
        for number, outcome in result.items():
            if outcome == "conflict:shared":
                assert f"own/{name}/{number}" not in present
                assert number % 5 == 0
            else:
                assert logged.pop(outcome) == f"{name} {number}"
                assert embedded.read("main", f"own/{name}/{number}") == f"{name} {number}".encode()
    assert list(logged.values()) == ["repository created"]
    assert fsck(embedded.url).returncode == 0


def test_a_kill_at_any_moment_loses_nothing_and_hinders_nobody(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    chance = random.Random(7)
    committed = {}
    for turn in range(10):
        process = start(embedded.url, f"t{turn}", 100_000)
        first = process.stdout.readline()  # it is at work now, and not still importing
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        for number, commit_id in acknowledged(first + rest).items():
            committed[f"own/t{turn}/{number}"] = commit_id
        committed[f"next/{turn}"] = commit(embedded, {f"next/{turn}": b"%d" % turn})

    fresh = open_repository(embedded.url)
    logged = {found.id for found in fresh.log("main")}
    present = {found.path for found in fresh.objects("main")}
    assert logged >= {*committed.values()}
    assert present >= {*committed}
    assert fresh.verify() == []
    checked = fsck(embedded.url)
    assert (checked.returncode, checked.stdout) == (0, "")


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
