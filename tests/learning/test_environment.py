from __future__ import annotations

import os
import subprocess
import sys

import lightgbm
import numpy as np
import polars as pl
import pytest

from mlops_assets.learning.environment import libraries, machine


def test_the_libraries_are_those_that_are_loaded() -> None:
    found = libraries()
    assert found["lightgbm"] == lightgbm.__version__
    assert found["polars"] == pl.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found) == {"python", "lightgbm", "polars", "numpy", "mlops_assets"}


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
