"""Measure a window's scores by its labels, and its estimate by what was measured."""

from __future__ import annotations

import polars as pl

from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.learning.training_set import TARGET
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository


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
        "estimates",
        model=declaration.name,
        window=window,
        champion=version,
        predictions_version=predictions_version,
    )
    if not rows or rows[-1]["value"] is None or value is None:
        return None
    if not Series.of(declaration, store).holds("performance", rows[-1]):
        return None  # what was estimated is another figure
    own = ("event_id", "record_id", "recorded_at")
    row = {name: figure for name, figure in rows[-1].items() if name not in own}
    error = float(row["value"]) - value
    store.add("estimates", {**row, "measured": value, "error": error})
    return error


def accuracy(store: Store, declaration: Declaration, window: str) -> str:
    """Say how far earlier estimates were off."""
    series = Series.of(declaration, store)
    errors = [
        abs(row["error"])
        for row in store.newest(
            "estimates", "error", "metric", "meaning", model=declaration.name
        ).values()
        if row["window"] < window
        and row["error"] is not None
        and row["metric"] == declaration.metric
        and series.holds("performance", row)
    ]
    if not errors:
        return ""
    many = f"the {len(errors)} estimates before were" if len(errors) > 1 else "the one before was"
    return f"; {many} off by {sum(errors) / len(errors):.4f}" + (
        " on the mean" if len(errors) > 1 else ""
    )
