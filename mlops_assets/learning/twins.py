"""Twins: small models, alike in all but what they learnt from, compared on the same rows.

One learnt from what the champion learnt from, the other from everything whose label was known
before a window; neither saw it. The difference of their metric is what a retraining would have
earned there. A model compared with its own past, on other rows, would show how hard the windows
are, not how old the model is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.declaration.sections import Task
from mlops_assets.errors import DeclarationError
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.parameters import Scalar
from mlops_assets.learning.training import FittedModel, train
from mlops_assets.learning.training_set import WINDOW

MOST_ROWS = 20_000
ROUNDS = 60
PARAMETERS: dict[str, Scalar] = {"num_leaves": 15, "learning_rate": 0.1}
# the smallest window about which a figure says anything
LEAST_ROWS = 30
LEAST_OF_A_CLASS = 10
# a window with fewer of its labels than this, as a share of what is usual, waits for the rest
LEAST_LABELLED = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two twins on one window; `gain` None: it can't be judged, and `reason` says why.

    Attributes:
        fresh: the figure of the twin that learnt from everything known before the window.
        champion: that of the champion's twin, on the same rows.
        gain: their difference, positive where the fresh one is better.
        rows: that have a label.
        reason: empty where it was judged.

    """

    fresh: float | None
    champion: float | None
    gain: float | None
    rows: int
    reason: str


def fit_twin(
    rows: pl.DataFrame, features: Sequence[str], target: str, task: Task, seed: int
) -> FittedModel:
    """Fit a small model, the same for every window: 60 rounds, 15 leaves, at most 20,000 rows.

    A leaf holds half a percent of the rows or more, at least 20: a model too large for its data
    shows a gain from every retraining. Of more labelled rows a sample is taken (see `sampled`).
    The same rows and seed give the same model; pass one seed for all windows, so that twins
    differ in nothing but what they learnt from.

    Raises:
        FeatureError, TrainingError: as `train`.

    """
    if target in rows.columns:
        rows = rows.filter(pl.col(target).is_not_null())
    rows = sampled(rows, MOST_ROWS, seed)
    return train(
        rows,
        features=features,
        target=target,
        parameters={**PARAMETERS, "min_data_in_leaf": max(20, rows.height // 200)},
        rounds=ROUNDS,
        seed=seed,
        task=task,
    )


def sampled(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Return at most so many rows, in the order in which they stand.

    Each row has a draw of its own, and the smallest are taken: twins of neighbouring windows learn
    from nearly the same rows, which halves the noise of their difference. If there is a column
    `window`, as in a training set (one window after the other), the draws are of a row's place in
    its window; else of its place in the frame, so that what is appended changes no earlier draw.
    """
    if rows.height <= most:
        return rows
    if WINDOW in rows.columns:
        parts = rows.group_by(WINDOW, maintain_order=True).len().iter_rows()
        drawn = pl.concat([draws(str(window), count, seed) for window, count in parts])
    else:
        drawn = draws("", rows.height, seed)
    chosen = drawn.arg_sort()[:most].sort()
    return rows[chosen]


def draws(window: str, rows: int, seed: int) -> pl.Series:
    """Return a number in [0, 1) for each place in a window, the same for every twin: Float64."""
    import numpy as np

    digest = hashlib.sha256(window.encode()).digest()[:8]
    random = np.random.default_rng([seed, int.from_bytes(digest, "big")])
    return pl.Series("draw", random.random(rows), dtype=pl.Float64)


def compare_twins(
    rows: pl.DataFrame,
    fresh: FittedModel,
    champion: FittedModel,
    *,
    target: str,
    metric: str,
    usual_labelled: Sequence[float] = (),
    kpi: pl.Expr | None = None,
    months: float = 1.0,
) -> Comparison:
    """Compare the fresh twin with the champion's on one window, on the rows that have a label.

    Args:
        rows: the window's features and its target, null where a label is missing.
        fresh: learnt from everything known before the window.
        champion: learnt from what the champion learnt from.
        target: the target's column.
        metric: a name in `METRICS`; the figures are its values.
        usual_labelled: shares of labelled rows in the windows learnt from; a window with less
            than half of their median waits for the rest of its labels.
        kpi: money per row, an expression over the features, `score` and `target`; if given, the
            figures are its sums for a month instead.
        months: the window's length, for the KPI.

    Raises:
        DeclarationError: the KPI fails, or gives something else than finite numbers.
        FeatureError, TrainingError: as `FittedModel.predict` and the metric.

    """
    labelled = rows.filter(pl.col(target).is_not_null())
    if reason := _too_little(rows, labelled, target, metric if kpi is None else "", usual_labelled):
        return Comparison(None, None, None, labelled.height, reason)
    figures = []
    measure = metric_named(metric)
    for twin in (fresh, champion):
        score = twin.predict(labelled)
        if kpi is None:
            figures.append(measure.of(labelled[target], score))
        else:
            scored = labelled.with_columns(score.alias("score"), labelled[target].alias("target"))
            figures.append(money_of(scored, kpi) / months)
    ours, theirs = figures
    if ours is None or theirs is None:
        reason = f"{metric} is undefined on its {labelled.height:,} labelled rows"
        return Comparison(ours, theirs, None, labelled.height, reason)
    gain = ours - theirs if kpi is not None else measure.gain(ours, theirs)
    return Comparison(ours, theirs, gain, labelled.height, "")


def _too_little(
    rows: pl.DataFrame, labelled: pl.DataFrame, target: str, metric: str, usual: Sequence[float]
) -> str:
    """Say why a window can't be judged on the labels that it has; nothing if it can."""
    if not labelled.height:
        return f"none of its {rows.height:,} rows has a label"
    share = labelled.height / rows.height
    expected = median(usual) if usual else 0.0
    if share < LEAST_LABELLED * expected:
        return (
            f"{share:.0%} of its {rows.height:,} rows have a label, where {expected:.0%} is usual; "
            "judged when more of them are there"
        )
    if labelled.height < LEAST_ROWS:
        return f"{labelled.height} labelled rows, at least {LEAST_ROWS} are needed"
    if metric == "auc":
        positives = int(labelled[target].cast(pl.Float64).sum())
        rarest = min(positives, labelled.height - positives)
        if rarest < LEAST_OF_A_CLASS:
            return (
                f"{rarest} of its {labelled.height:,} labelled rows are of the rarer class, at "
                f"least {LEAST_OF_A_CLASS} are needed for auc"
            )
    return ""


def money_of(scored: pl.DataFrame, kpi: pl.Expr) -> float:
    """Return the sum of a KPI over rows that hold what it names: features, `score`, `target`.

    Raises:
        DeclarationError: the KPI fails, or gives something else than finite numbers.

    """
    try:
        amounts = scored.select(kpi.alias("money")).get_column("money")
    except PolarsError as error:
        raise DeclarationError(f"retraining.kpi fails: {str(error).splitlines()[0]}") from error
    if not amounts.dtype.is_numeric():
        raise DeclarationError(f"retraining.kpi gives {amounts.dtype}; it must be money per row")
    total = float(amounts.cast(pl.Float64).sum())
    if not math.isfinite(total):
        raise DeclarationError("retraining.kpi gives NaN or infinity for some rows")
    return total
