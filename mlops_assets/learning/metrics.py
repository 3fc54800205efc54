"""What a model is worth on rows whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from mlops_assets.declaration.sections import Task
from mlops_assets.errors import TrainingError, UnknownNameError
from mlops_assets.words import counted

_SMALLEST = 1e-15  # a certain and wrong score would cost infinitely much


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of truths and scores, its task and its direction.

    `of` gives None where it is undefined, never NaN. `has_a_unit`: it is in the target's own, so
    that only shares of it mean the same for every model.
    """

    name: str
    of: Callable[[pl.Series, pl.Series], float | None]
    task: Task
    higher_is_better: bool = False
    has_a_unit: bool = False

    def gain(self, challenger: float, opponent: float) -> float:
        """Return the difference, signed so that positive means the challenger is better."""
        return challenger - opponent if self.higher_is_better else opponent - challenger


def auc(truth: pl.Series, score: pl.Series) -> float | None:
    """Return the chance that a positive row scores above a negative one, ties counting half.

    By ranks, ties averaged (Mann and Whitney 1947): (R - n1(n1 + 1)/2) / (n1 n0), R being the
    sum of the ranks of the n1 positives.

    Args:
        truth: Boolean, or 0 and 1; rows where it is null are left out.
        score: numbers of the same length, higher for the positive class.

    Returns:
        A number in [0, 1]; None if the rows are of one class.

    Raises:
        TrainingError: lengths differ, or a row with a truth has no score.
    """
    rows = _classes(truth, score)
    positives = int(rows["truth"].sum())
    negatives = rows.height - positives
    if positives == 0 or negatives == 0:
        return None
    ranks = float((rows["score"].rank("average") * rows["truth"]).sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def log_loss(truth: pl.Series, score: pl.Series) -> float | None:
    """Return the mean of -ln(probability given to what happened), in nats.

    Args, Raises: as for `auc`; scores are probabilities, kept 1e-15 away from 0 and 1.

    Returns:
        A number >= 0; None if there are no rows.
    """
    rows = _classes(truth, score)
    given = pl.when(pl.col("truth") == 1).then(pl.col("score")).otherwise(1 - pl.col("score"))
    return _mean(rows, -given.clip(_SMALLEST, 1 - _SMALLEST).log())


def brier(truth: pl.Series, score: pl.Series) -> float | None:
    """Return the mean squared difference of probability and outcome (Brier 1950).

    Args, Raises: as for `auc`; scores are probabilities.

    Returns:
        A number in [0, 1]; None if there are no rows.
    """
    return _mean(_classes(truth, score), (pl.col("score") - pl.col("truth")).pow(2))


def rmse(truth: pl.Series, score: pl.Series) -> float | None:
    """Return the root of the mean squared difference of score and truth, in the target's unit.

    Args:
        truth: finite numbers; rows where it is null are left out.
        score: numbers of the same length.

    Returns:
        A number >= 0; None if there are no rows.

    Raises:
        TrainingError: lengths differ, a row with a truth has no score, or a truth is not finite.
    """
    mean = _mean(_numbers(truth, score), (pl.col("score") - pl.col("truth")).pow(2))
    return None if mean is None else math.sqrt(mean)


def mae(truth: pl.Series, score: pl.Series) -> float | None:
    """Return the mean absolute difference of score and truth, in the target's unit.

    Args, Returns, Raises: as for `rmse`.
    """
    return _mean(_numbers(truth, score), (pl.col("score") - pl.col("truth")).abs())


METRICS = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("auc", auc, "binary", higher_is_better=True),
            Metric("log_loss", log_loss, "binary"),
            Metric("brier", brier, "binary"),
            Metric("rmse", rmse, "regression", has_a_unit=True),
            Metric("mae", mae, "regression", has_a_unit=True),
        )
    }
)


def metric_named(name: str) -> Metric:
    """Return the metric that a declaration names.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in METRICS:
        raise UnknownNameError.among("metric", name, METRICS)
    return METRICS[name]


def _mean(rows: pl.DataFrame, figure: pl.Expr) -> float | None:
    return None if rows.is_empty() else float(rows.select(figure.mean()).item())


def _rows(truth: pl.Series, score: pl.Series) -> pl.DataFrame:
    if len(truth) != len(score):
        raise TrainingError(
            f"{len(truth)} truths and {len(score)} scores; score exactly the rows that are judged"
        )
    rows = pl.DataFrame(
        {"truth": truth.cast(pl.Float64), "score": score.cast(pl.Float64)}
    ).drop_nulls("truth")
    # leaving such rows out would let a model be judged on the rows that it chose
    if unscored := rows.filter(pl.col("score").is_null() | pl.col("score").is_nan()).height:
        raise TrainingError(
            f"no score for {unscored:,} of {counted(rows.height, 'row')} with a truth"
        )
    return rows


def _classes(truth: pl.Series, score: pl.Series) -> pl.DataFrame:
    rows = _rows(truth, score)
    if not rows["truth"].is_in([0.0, 1.0]).all():
        raise TrainingError("a truth is neither 0 nor 1")
    return rows


def _numbers(truth: pl.Series, score: pl.Series) -> pl.DataFrame:
    rows = _rows(truth, score)
    if not rows["truth"].is_finite().all():
        raise TrainingError("a truth is NaN or infinite; make it null where it is unknown")
    return rows
