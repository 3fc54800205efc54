"""Made windows whose rows share their window's weather."""

from __future__ import annotations

import numpy as np
import polars as pl

from mlops_assets.drift.judgement import DriftPolicy, Earlier
from mlops_assets.sketches.profile import Profile, profile

POLICY = DriftPolicy(windows_per_year=52)
IMPORTANCE = {"wind": 3.0, "carrier": 1.0, "month": 0.0}
EXCEEDS, STAYS = Earlier(exceeds=True), Earlier(exceeds=False)


def rows(seed: int, shift: float = 0.0, height: int = 2000, **columns: object) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    weather = random.normal(0, 0.2)  # what the rows of one week share
    data = pl.DataFrame(
        {
            "wind": random.normal(weather + shift, 1, height),
            "carrier": random.choice(["AA", "UA", "DL"], height, p=[0.5, 0.3, 0.2]),
            "month": np.full(height, seed // 4),
            "score": random.random(height),
        }
    )
    return data.with_columns(**columns)


def window(seed: int, shift: float = 0.0, height: int = 2000, **columns: object) -> Profile:
    return profile(rows(seed, shift, height, **columns))
