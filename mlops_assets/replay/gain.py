"""Compare the metric of the models that served with that of the first one, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import polars as pl

from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.home import Home
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import SCORE
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.registry.server import MlflowServer
from mlops_assets.registry.tracking import load_model
from mlops_assets.versions import Repository


@dataclass(frozen=True)
class LoopGain:
    """Means over windows, each counted alike: rows of one week are not independent draws."""

    windows: int
    rows: int
    retrainings: int
    loop: float | None
    frozen: float | None


def measure(home: Home, declaration: Declaration, repository: Repository) -> LoopGain:
    """Score every measured window with the first promoted version too, and compare."""
    model = declaration.name
    entries = Ledger(home.ledger).entries(model)
    store = Store(home.store)
    series = Series.of(declaration, store)
    # a model of another target is no measure for this one, nor are windows that it scored
    promoted = [
        entry for entry in entries if entry.event == "promoted" and series.learnt_now(entry)
    ]
    retrainings = max(len(promoted) - 1, 0)
    commit = repository.resolve(MAIN)
    versions = {entry.version for entry in promoted}
    measured = [
        row
        for row in store.latest(kinds.Performance, model=model)
        if row.champion in versions and series.holds("performance", row)
    ]
    if not promoted or not measured or promoted[0].mlflow_run_id is None:
        return LoopGain(0, 0, retrainings, None, None)
    first = load_model(MlflowServer.of_home(home).tracking(model), promoted[0].mlflow_run_id)
    metric = metric_named(declaration.metric)
    target = load(declaration.labels.target).alias("target")
    keys = declaration.batches.key
    loop, frozen, rows = [], [], 0
    for window in (row.window for row in measured if row.rows):
        features, scores, labels = (
            scan(repository, commit, declaration.path(stage, window))
            for stage in ("features", "predictions", "labels")
        )
        same = (
            features.join(scores.select(*keys, SCORE), on=keys)
            .join(labels.select(*keys, target), on=keys)
            .filter(pl.col("target").is_not_null())
            .collect(engine="streaming")
        )
        ours = metric.of(same["target"], same[SCORE])
        theirs = metric.of(same["target"], first.predict(same))
        if ours is None or theirs is None:
            continue  # one class only: the metric says nothing of such a window
        loop.append(ours)
        frozen.append(theirs)
        rows += same.height
    if not loop:
        return LoopGain(0, 0, retrainings, None, None)
    return LoopGain(len(loop), rows, retrainings, fmean(loop), fmean(frozen))
