"""Objects stream: how much memory they take does not depend on how large they are."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_assets
from mlops_assets.versions import Repository

SCRIPT = Path(__file__).with_name("moving.py")
MB = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc for the peak")


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        pytest.param(300, 100, id="300 MB"),
        pytest.param(2048, 200, id="2 GB", marks=pytest.mark.slow),
    ],
)
def test_a_large_object_goes_in_and_out_in_little_memory(
    request: pytest.FixtureRequest,
    repository: Repository,
    tmp_path: Path,
    size: int,
    limit: int,
) -> None:
    if size > 1000 and "stand_in" in request.fixturenames:
        pytest.skip("the stand-in keeps it all in the memory of this process")
    # given a large file that can't be compressed
    file = tmp_path / "large.bin"
    with file.open("wb") as target:
        for number in range(size):
            target.write(random.Random(number).randbytes(MB))
    # when a process moves it in, three ways, and out again
    done = subprocess.run(
        [sys.executable, SCRIPT, repository.url, file],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(mlops_assets.__file__).parents[1])},
        check=False,
    )
    # then it never held more than a part of it
    assert done.returncode == 0, done.stderr
    reached = json.loads(done.stdout)
    print(repository.url, {step: round(most) for step, most in reached.items()})
    assert list(reached)[-1] == "verify"
    assert max(reached.values()) < limit, reached
