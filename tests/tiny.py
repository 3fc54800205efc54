"""A small declared model in a project of its own, with a made history that drifts on purpose."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import polars as pl

from tests import forked

MODEL = "tiny"
FIRST = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
BIN = Path(sys.executable).parent

FILES = {
    "pyproject.toml": """
        [tool.dg]
        directory_type = "project"

        [tool.dg.project]
        root_module = "tiny_project"
    """,
    "tiny_project/__init__.py": "",
    "tiny_project/definitions.py": """
        from pathlib import Path

        import dagster as dg


        @dg.definitions
        def defs():
            return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    """,
    "tiny_project/defs/__init__.py": "",
    "tiny_project/defs/tiny/__init__.py": "",
    "tiny_project/defs/tiny/schema.py": """
        import dataframely as dy


        class Batch(dy.Schema):
            id = dy.String(primary_key=True)
            at = dy.Datetime(time_zone="UTC", time_unit="us")
            amount = dy.Float64(nullable=True, max=1000)
            other = dy.Float64()
            colour = dy.String()


        class Outcome(dy.Schema):
            id = dy.String(primary_key=True)
            at = dy.Datetime(time_zone="UTC", time_unit="us")
            paid = dy.Int64(nullable=True)
    """,
    "tiny_project/defs/tiny/features.py": """
        import polars as pl

        FEATURES = {
            "amount": pl.col("amount"),
            "other": pl.col("other"),
            "colour": pl.col("colour"),
        }
        TARGET = pl.col("paid") == 1
    """,
    "tiny_project/defs/tiny/defs.yaml": """
        type: mlops_assets.components.ModelComponent

        attributes:
          name: tiny
          windows: {every: week, start: "2024-01-01", end: "2025-01-06", timezone: UTC}
          batches:
            contract: .schema:Batch
            time: at
            key: [id]
            min_rows: 50
            history: history/batches
          labels:
            contract: .schema:Outcome
            target: .features:TARGET
            mature_after_days: 7
            history: history/labels
          features: .features:FEATURES
          training:
            first_after: 6
            rounds: 20
            parameters: {num_leaves: 4, learning_rate: 0.2, min_data_in_leaf: 20, bagging_fraction: 0.8, bagging_freq: 1}
          gates: {holdout_windows: 1}
          retraining: {triggers: [drift], cooldown_windows: 2}
    """,
}

# the same project asked for a number instead of a class
REGRESSION = (
    ("paid = dy.Int64(nullable=True)", "spent = dy.Float64(nullable=True)"),
    ('TARGET = pl.col("paid") == 1', 'TARGET = pl.col("spent")'),
    ("name: tiny\n", "name: tiny\n          task: regression\n"),
)


def window(number: int) -> str:
    """Return the key of the window of that number, from 0."""
    return (FIRST + timedelta(weeks=number)).strftime("%Y-%m-%d")


@functools.cache
def batch(
    number: int, rows: int = 300, *, drifted: bool = False, regression: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the batch and the outcomes of a window; the same number gives the same rows."""
    random = np.random.default_rng(number)
    at = FIRST + timedelta(weeks=number)
    amount = random.normal(3.0 if drifted else 0.0, 1.0, rows)
    other = random.normal(0.0, 1.0, rows)
    colour = random.choice(["blue", "green", "red"], rows)
    # after the drift the old model's habit is wrong: a newer one is worth something
    lean = (3.0 - amount) * 2.0 if drifted else amount * 2.0
    paid = random.random(rows) < 1 / (1 + np.exp(-(lean + (colour == "red"))))
    keys = pl.DataFrame(
        {
            "id": [f"{window(number)}-{row:04d}" for row in range(rows)],
            "at": [at + timedelta(minutes=row) for row in range(rows)],
        },
        schema={"id": pl.String, "at": pl.Datetime("us", "UTC")},
    )
    return (
        keys.with_columns(
            pl.Series("amount", amount), pl.Series("other", other), pl.Series("colour", colour)
        ),
        keys.with_columns(
            pl.Series("spent", 1000 * lean + random.normal(0.0, 500.0, rows))
            if regression
            else pl.Series("paid", paid.astype(np.int64))
        ),
    )


def make_project(
    root: Path, windows: int = 14, drift_at: int = 9, *, regression: bool = False
) -> Path:
    """Write the project and its history; return its folder."""
    for name, written in FILES.items():
        text = written
        for binary, number in REGRESSION if regression else ():
            text = text.replace(binary, number)
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
    write_history(root, windows, drift_at, regression=regression)
    return root


def write_history(root: Path, windows: int, drift_at: int, *, regression: bool = False) -> None:
    """Write the files of a project's history, also in place of another one."""
    for kind in ("batches", "labels"):
        (root / "history" / kind).mkdir(parents=True, exist_ok=True)
    for number in range(windows):
        rows, outcomes = batch(number, drifted=number >= drift_at, regression=regression)
        rows.write_parquet(root / "history/batches" / f"{window(number)}.parquet")
        outcomes.write_parquet(root / "history/labels" / f"{window(number)}.parquet")


def environment(project: Path) -> dict[str, str]:
    """Return the environment of a shell that has nothing but what the README names."""
    named = ("PATH", "HOME", "LANG", "MLOPS_REPOSITORY")
    kept = {
        name: text
        for name, text in os.environ.items()
        if name in named or name.startswith(("LAKECTL_", "MLOPS_LAKEFS_"))
    }
    return {**kept, "MLOPS_HOME": str(project / ".mlops"), "PYTHONWARNINGS": "ignore"}


def mlops(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, in the project's folder."""
    done = forked.run(BIN / "mlops", arguments, project, environment(project))
    if check and done.returncode != 0:
        raise AssertionError(
            f"mlops {arguments} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done


def outcome(project: Path) -> dict[str, Any]:
    """Return what was decided, without ids and times."""
    status = json.loads(mlops(project, "status", "--json").stdout)["models"][0]
    log = json.loads(mlops(project, "log", MODEL, "--json").stdout)
    ids = {"at", "promoted_at", "data_commit", "mlflow_run_id"}
    champion = {k: v for k, v in (status["champion"] or {}).items() if k not in ids}
    return {
        "champion": champion,
        "windows": status["windows"],
        "retrainings": status["retrainings"],
        "held_back": status["held_back"],
        "log": [{k: v for k, v in entry.items() if k not in ids} for entry in log],
    }
