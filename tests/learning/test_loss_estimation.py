from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.loss_estimation import estimated_loss, fit_losses
from mlops_assets.learning.metrics import METRICS
from mlops_assets.learning.training import FittedModel


def rows(seed: int, height: int = 8000, *, hard: float = 0.3) -> pl.DataFrame:
    """Return scored rows: where `kind` is hard, and where `x` is large, scores are farther off."""
    random = np.random.default_rng(seed)
    x, kind = random.normal(0, 1, height), random.random(height) < hard
    score = 2 * x + 10
    spread = 1 + 2 * kind + np.abs(x)
    return pl.DataFrame(
        {
            "x": x,
            "kind": np.where(kind, "hard", "easy"),
            "score": score,
            "target": score + random.normal(0, spread),
        }
    )


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_the_estimate_follows_the_mix_of_rows(metric: str) -> None:
    model = fit_losses(rows(1), ["x", "kind"], "score", "target", metric, seed=1)
    for hard in (0.0, 0.3, 1.0):
        now = rows(2, hard=hard)
        real = METRICS[metric].of(now["target"], now["score"])
        # a metric of 8,000 rows is itself off by about 1%
        found = estimated_loss(model, now.drop("target"), metric)
        assert found == pytest.approx(real, rel=0.05)


def test_the_same_rows_and_seed_give_the_same_estimate() -> None:
    first, second = (
        fit_losses(rows(1), ["x", "kind"], "score", "target", "mae", seed=3) for _ in range(2)
    )
    assert first.checksum == second.checksum
    kept = FittedModel.from_bytes(first.to_bytes())
    now = rows(2).drop("target")
    assert estimated_loss(kept, now, "mae") == estimated_loss(first, now, "mae")


def test_rows_without_truth_teach_nothing() -> None:
    known = rows(1)
    unknown = known.with_columns(pl.lit(None, dtype=pl.Float64).alias("target"))
    both = pl.concat([known, unknown])
    alone = fit_losses(known, ["x"], "score", "target", "mae", seed=1)
    assert fit_losses(both, ["x"], "score", "target", "mae", seed=1).checksum == alone.checksum
    with pytest.raises(TrainingError, match="no row has"):
        fit_losses(unknown, ["x"], "score", "target", "mae", seed=1)


def test_what_cannot_be_estimated_is_said() -> None:
    with pytest.raises(TrainingError, match="`auc` can't be estimated"):
        fit_losses(rows(1), ["x"], "score", "target", "auc", seed=1)
    model = fit_losses(rows(1), ["x"], "score", "target", "mae", seed=1)
    with pytest.raises(TrainingError, match="`auc` can't be estimated"):
        estimated_loss(model, rows(2), "auc")
    assert estimated_loss(model, rows(2).head(0), "mae") is None
