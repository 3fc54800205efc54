"""The hourly model of the soak: the tests' tiny project by the hour, and its rows, good or bad."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import numpy as np
import polars as pl

from tests import tiny

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DRIFTS_AT = 30  # the hour from which the old habit is wrong
ROWS = 120

DECLARATION = """
    type: mlops_assets.components.ModelComponent

    attributes:
      name: tiny
      windows: {every: hour, start: "2026-01-01", timezone: UTC}
      batches: {contract: ".schema:Batch", time: at, key: [id], min_rows: 50}
      labels: {contract: ".schema:Outcome", target: ".features:TARGET", mature_after_days: 0.0625}
      features: .features:FEATURES
      training:
        first_after: 6
        rounds: 15
        parameters: {num_leaves: 4, learning_rate: 0.2, min_data_in_leaf: 20}
      gates: {holdout_windows: 1}
      retraining: {triggers: [staleness, drift], cooldown_windows: 3}
"""


@dataclass(frozen=True)
class Hour:
    """One window, by its number from 0."""

    number: int

    @classmethod
    def of(cls, key: str) -> Hour:
        """Return the hour of a window's key."""
        begins = datetime.strptime(key, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        return cls((begins - FIRST) // timedelta(hours=1))

    @property
    def begins(self) -> datetime:
        return FIRST + timedelta(hours=self.number)

    @property
    def ends(self) -> datetime:
        return self.begins + timedelta(hours=1)

    @property
    def key(self) -> str:
        return self.begins.strftime("%Y-%m-%dT%H")


def make_project(root: Path) -> Path:
    """Write the project, without a history; return its folder."""
    tiny.make_project(root, windows=0)
    (root / "tiny_project/defs/tiny/defs.yaml").write_text(dedent(DECLARATION).lstrip())
    return root


def rows(hour: Hour, revision: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the batch and the labels of an hour; a revision corrects some values of both."""
    random = np.random.default_rng(hour.number)
    drifted = hour.number >= DRIFTS_AT
    amount = random.normal(3.0 if drifted else 0.0, 1.0, ROWS)
    other = random.normal(0.0, 1.0, ROWS)
    lean = (3.0 - amount) * 2.0 if drifted else amount * 2.0
    paid = (random.random(ROWS) < 1 / (1 + np.exp(-lean))).astype(np.int64)
    if revision:
        corrected = np.random.default_rng([hour.number, revision]).choice(ROWS, 5, replace=False)
        other[corrected] += 0.5
        paid[corrected] = 1 - paid[corrected]
    keys = pl.DataFrame(
        {
            "id": [f"{hour.key}-{row:04d}" for row in range(ROWS)],
            "at": [hour.begins + timedelta(seconds=20 * row) for row in range(ROWS)],
        },
        schema={"id": pl.String, "at": pl.Datetime("us", "UTC")},
    )
    return (
        keys.with_columns(
            pl.Series("amount", amount), pl.Series("other", other), colour=pl.lit("red")
        ),
        keys.with_columns(pl.Series("paid", paid)),
    )


def broken(hour: Hour, how: int) -> pl.DataFrame:
    """Return a batch that has to be refused: one of four ways in which files are bad."""
    good, _ = rows(hour)
    if how == 0:
        return good.with_columns(amount=pl.lit(5000.0))  # beyond the contract's bound
    if how == 1:
        return good.with_columns(id=pl.lit("the same"))  # keys twice
    if how == 2:
        return good.drop("other")
    return good.head(10)  # too few rows
