"""What a regression model's scores are worth while nobody knows yet what came true.

Direct loss estimation (as in NannyML's documentation): a small model learns, on rows whose truth is
known and that the scoring model did not learn from, how far the score is off for rows like them.
Its mean over new rows is what their loss will be, if rows alike are as hard as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from mlops_assets.errors import TrainingError
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.twins import fit_twin

_LOSS = "loss of the score"
_LOSSES = {
    "rmse": lambda score, truth: (score - truth) ** 2,
    "mae": lambda score, truth: (score - truth).abs(),
}


def fit_losses(
    rows: pl.DataFrame, features: Sequence[str], score: str, target: str, metric: str, seed: int
) -> FittedModel:
    """Fit a model of the loss that a metric (rmse or mae) is the mean of; as large as a twin.

    It sees the features and the score. Rows whose target is null are left out.

    Raises:
        TrainingError: another metric, no row with a target, or the same loss in all of them.
        FeatureError: as `train`.

    """
    if metric not in _LOSSES:
        raise TrainingError(f"`{metric}` can't be estimated from losses; rmse and mae can")
    loss = _LOSSES[metric](pl.col(score), pl.col(target).cast(pl.Float64))
    return fit_twin(
        rows.with_columns(loss.alias(_LOSS)), [*features, score], _LOSS, "regression", seed
    )


def estimated_loss(model: FittedModel, rows: pl.DataFrame, metric: str) -> float | None:
    """Return what the metric is expected to be on these rows, in its unit; None for no rows.

    Raises:
        FeatureError: a feature is missing or of another kind than in training.
        TrainingError: another metric.

    """
    if metric not in _LOSSES:
        raise TrainingError(f"`{metric}` can't be estimated from losses; rmse and mae can")
    # trees only average losses that they saw, none of which is below 0; boosted, they may overshoot
    mean = model.predict(rows).clip(lower_bound=0.0).mean()
    if mean is None:
        return None
    return math.sqrt(mean) if metric == "rmse" else float(mean)  # type: ignore[arg-type]  # Polars types a mean as anything
