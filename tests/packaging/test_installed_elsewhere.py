"""Installed into another project: beside the newest Dagster that the index serves, and the one before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).parents[2]
DAGSTER = ("dagster", "dagster-dg-cli", "dagster-mlflow", "dagster-webserver")  # one release

_LOADS = """
import importlib.metadata
from tiny_project.definitions import defs
repository = defs().get_repository_def()
assert len(repository.asset_graph.get_all_asset_keys()) == 13
assert repository.get_sensor_def("mlops_data")
import mlflow, lightgbm, whylogs, mlops_assets.cli.app
assert "site-packages" in mlops_assets.cli.app.__file__
print(importlib.metadata.version("dagster"))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        # the index and its certificates are the machine's to name
        env={**os.environ, "MLOPS_HOME": str(cwd / ".mlops"), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def installed(folder: Path, wheel: Path, *further: str) -> Path:
    """Return the interpreter of a fresh environment with the wheel in it, and nothing of ours."""
    uv = tiny.BIN / "uv"
    folder.mkdir()
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(uv, "pip", "install", "--quiet", "--python", python, wheel, *further, cwd=folder)
    return python


@pytest.mark.slow  # two environments, and what an index serves today
def test_a_model_loads_beside_the_newest_dagster_and_the_one_before(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist")
    run(*build, cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    project = tiny.make_project(tmp_path / "project", windows=1)

    python = installed(tmp_path / "newest", wheel)
    newest = run(python, "-c", _LOADS, cwd=project)
    # our bounds shut nothing out: without us, the index gives the same
    (tmp_path / "dagster.in").write_text("\n".join(DAGSTER))
    compiling = ("pip", "compile", "--quiet", "--no-header", "--python", python, "dagster.in")
    alone = run(tiny.BIN / "uv", *compiling, cwd=tmp_path)
    assert f"dagster=={newest}" in alone.splitlines()

    before = run(
        installed(tmp_path / "before", wheel, f"dagster<{newest}"), "-c", _LOADS, cwd=project
    )
    assert before != newest
    # and with what `dg` prints of itself, which a newer typer than ours made nothing of
    listed = run(python.with_name("dg"), "--help", cwd=project)
    assert "scaffold" in listed
