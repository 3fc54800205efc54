"""Estimate the metric of a window's scores until its labels are mature, then measure it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import polars as pl

from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import SCORE
from mlops_assets.learning.training_set import TARGET
from mlops_assets.monitoring.estimators import Estimates
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository
from mlops_assets.words import counted


@dataclass(frozen=True)
class Estimated:
    """What the metric of a window is expected to be; None: it can't be estimated, as said."""

    value: float | None
    sentence: str
    predictions_version: str  # checksum of the scores


@dataclass(frozen=True)
class Measured:
    """What the metric of a window is.

    Attributes:
        value: None where it is undefined; `undefined` says why.
        error: of its estimate, estimated less measured; None where there was none.
        labelled: rows with a label.
        unlabelled: rows without one.
        mean_target: of those with one.
        sentence: all of it for a person.
        undefined: empty where it is defined.
        predictions_version: checksum of the scores.

    """

    value: float | None
    error: float | None
    labelled: int
    unlabelled: int
    mean_target: float | None
    sentence: str
    undefined: str
    predictions_version: str

    @property
    def estimated(self) -> float | None:
        """What it had been estimated at."""
        return None if self.value is None or self.error is None else self.value + self.error


def estimate(
    estimates: Estimates, window: str, version: int, predictions_commit: str, other_task: str
) -> Estimated:
    """Estimate the metric of a window whose labels nobody can trust yet, and record it.

    Scores of a version that learnt another task are none of the metric's: `other_task` says which.
    """
    declaration, store = estimates.declaration, estimates.store
    metric = declaration.metric
    found = estimates.of(window, version, predictions_commit, other_task)
    path = declaration.path("predictions", window)
    checksum = estimates.repository.stat(predictions_commit, path).checksum
    store.add(
        kinds.Estimate(
            model=declaration.name,
            window=window,
            champion=version,
            method=estimates.method,
            metric=metric,
            value=found.value,
            reason=found.reason,
            rows=found.rows,
            estimator=found.estimator,
            made_of=list(found.made_of),
            predictions_version=checksum,
            meaning=estimates.meaning,
        )
    )
    trusted = f"its labels are trusted from {declaration.matures(window):%Y-%m-%d %H:%M} on"
    said = f"{metric} can't be estimated: {found.reason}; {trusted}"
    if found.value is not None:
        said = (
            f"{metric} is estimated at {found.value:.4f} on {counted(found.rows, 'row')}, by {SCORE}s of "
            f"{found.made_of[0]} to {found.made_of[-1]} ({estimates.method}); {trusted}"
        )
    sentence = f"{said}{accuracy(store, declaration, window)}"
    return Estimated(found.value, sentence, checksum)


def measure(
    estimates: Estimates,
    window: str,
    version: int,
    predictions_commit: str,
    labels_commit: str,
    other_task: str,
) -> Measured:
    """Measure the metric, and how far its estimate was off, and record both."""
    declaration, versions, store = estimates.declaration, estimates.repository, estimates.store
    rows = labelled_rows(versions, declaration, window, predictions_commit, labels_commit)
    scores, labels, batch = (
        versions.stat(commit, declaration.path(stage, window)).checksum
        for stage, commit in (
            ("predictions", predictions_commit),
            ("labels", labels_commit),
            ("batches", predictions_commit),
        )
    )
    metric = metric_named(declaration.metric)
    value = None if other_task else metric.of(rows[TARGET], rows[SCORE])
    known = rows.filter(pl.col(TARGET).is_not_null())
    mean: Any = known[TARGET].cast(pl.Float64).mean() if known.height else None
    mean = None if mean is None else float(mean)
    error = judge_estimate(store, declaration, window, version, scores, value)
    measured = kinds.Performance(
        model=declaration.name,
        window=window,
        champion=version,
        metric=metric.name,
        value=value,
        rows=known.height,
        base_rate=mean,
        predictions_version=scores,
        labels_version=labels,
        predictions_commit=predictions_commit,
        labels_commit=labels_commit,
        batch_version=batch,
        meaning=estimates.meaning,
    )
    if not other_task:
        estimates.learn_from_matured(measured)
    store.add(measured)
    undefined = f"undefined on {known.height:,} labelled rows: none, or of one class only"
    if other_task:
        undefined = f"undefined: {other_task}"
    said = f"{metric.name} is {undefined}"
    if value is not None:
        said = f"{metric.name} is {value:.4f} on {known.height:,} labelled rows"
        if error is not None:
            said += f"; it had been estimated at {value + error:.4f}, off by {error:+.4f}"
    return Measured(
        value=value,
        error=error,
        labelled=known.height,
        unlabelled=rows.height - known.height,
        mean_target=mean,
        sentence=said,
        undefined=undefined if value is None else "",
        predictions_version=scores,
    )


class Compared(NamedTuple):
    """Of a window's newest estimate."""

    window: str
    error: float | None
    metric: str
    meaning: str | None


def labelled_rows(
    versions: Repository, declaration: Declaration, window: str, scored: str, labelled: str
) -> pl.DataFrame:
    """Return a window's scores with their targets, null where a row has no label."""
    keys = declaration.batches.key
    target = load(declaration.labels.target).alias(TARGET)
    labels = scan(versions, labelled, declaration.path("labels", window)).select(*keys, target)
    scores = scan(versions, scored, declaration.path("predictions", window))
    return scores.join(labels, on=keys, how="left").collect(engine="streaming")


def judge_estimate(
    store: Store,
    declaration: Declaration,
    window: str,
    version: int,
    predictions_version: str,
    value: float | None,
) -> float | None:
    """Write beside a window's estimate what was measured, and return its error."""
    rows = store.latest(
        kinds.Estimate,
        model=declaration.name,
        window=window,
        champion=version,
        predictions_version=predictions_version,
    )
    if not rows or rows[-1].value is None or value is None:
        return None
    if not Series.of(declaration, store).holds("performance", rows[-1]):
        return None  # what was estimated is another figure
    error = rows[-1].value - value
    store.add(replace(rows[-1], measured=value, error=error))
    return error


def accuracy(store: Store, declaration: Declaration, window: str) -> str:
    """Say how far earlier estimates were off."""
    series = Series.of(declaration, store)
    errors = [
        abs(row.error)
        for row in store.newest(kinds.Estimate, Compared, model=declaration.name).values()
        if row.window < window
        and row.error is not None
        and row.metric == declaration.metric
        and series.holds("performance", row)
    ]
    if not errors:
        return ""
    many = f"the {len(errors)} estimates before were" if len(errors) > 1 else "the one before was"
    return f"; {many} off by {sum(errors) / len(errors):.4f}" + (
        " on the mean" if len(errors) > 1 else ""
    )
