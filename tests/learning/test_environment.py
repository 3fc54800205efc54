from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest

import mlops_assets
from mlops_assets.learning.environment import learners, libraries, machine


def test_the_libraries_are_those_that_are_loaded() -> None:
    found = libraries()
    assert found["lightgbm"] == lightgbm.__version__
    assert found["polars"] == pl.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found) == {"python", "lightgbm", "polars", "numpy", "mlops_assets"}
    assert set(learners(found)) == {"lightgbm", "polars", "numpy"}


def test_a_folder_of_sources_that_was_never_installed_has_no_version(tmp_path: Path) -> None:
    # given this package on the path alone, as PYTHONPATH puts it there
    (tmp_path / "mlops_assets").symlink_to(Path(mlops_assets.__file__).parent)
    for entry in Path(np.__file__).parents[1].iterdir():
        if not entry.name.startswith(("mlops_assets", "__editable__", "_editable")):
            (tmp_path / entry.name).symlink_to(entry)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mlops_assets.learning.environment import libraries\nprint(libraries())"
    )
    done = subprocess.run(
        # -S: without the site-packages that know of it
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert "'mlops_assets': 'not installed'" in done.stdout
    assert f"'lightgbm': '{lightgbm.__version__}'" in done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
def test_the_machine_counts_the_cores_that_training_may_use() -> None:
    # given a process that may use one core only
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{core}}});"
        "from mlops_assets.learning.environment import machine; print(machine()['cpus'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # then it says one, and this process what it has itself
    assert done.stdout.strip() == "1"
    assert machine()["cpus"] == str(len(os.sched_getaffinity(0)))
    assert all(machine().values())
