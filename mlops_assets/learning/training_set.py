"""The training set: features and labels of the asked windows, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from mlops_assets.errors import TrainingError, did_you_mean

WINDOW, TARGET = "window", "target"  # columns of every training set


def assemble(
    windows: Mapping[str, tuple[pl.LazyFrame, pl.LazyFrame]],
    *,
    key: Sequence[str],
    target: str,
    stored_in_key_order: bool = False,
) -> pl.LazyFrame:
    """Join each window's features to its labels and put the windows in order.

    The rows come by window, then by key, whatever order they were stored in: the same data
    gives the same training set, and so the same model. Sorting holds the rows of all windows
    in memory at once (6 million x 17: 1.3 GB); features that were stored in the order of their
    key need no sorting, and stream (.4 GB, in half the time).

    Args:
        windows: per window its features (key columns and features, one row per key) and its
            labels (key columns and target, one row per key).
        key: columns that name a row; the same dtypes in features and labels.
        target: the column taken from the labels.
        stored_in_key_order: keep each window's features in the order in which they are stored.

    Returns:
        Lazily: "window" (String), the features' columns, and the target, null where a row has
        no label yet. Labels without a row of features are left out.

    Raises:
        TrainingError: no windows; a key or target column is missing; the features already hold
            the target, or a column called "window".
    """
    if not windows:
        raise TrainingError("no windows to train on: wait until the labels of one are mature")
    if not key:
        raise TrainingError("no key: features and labels are joined by at least one column")
    return pl.concat(
        [
            _joined(window, *windows[window], key, target, sort=not stored_in_key_order)
            for window in sorted(windows)
        ],
        how="vertical",
    )


def _joined(
    window: str,
    features: pl.LazyFrame,
    labels: pl.LazyFrame,
    key: Sequence[str],
    target: str,
    *,
    sort: bool,
) -> pl.LazyFrame:
    held = features.collect_schema().names()
    _require(f"features of {window}", key, held)
    _require(f"labels of {window}", [*key, target], labels.collect_schema().names())
    for name in (target, WINDOW):
        if name in held:
            raise TrainingError(
                f"the features of {window} hold a column `{name}`, which the training set adds;"
                " leave it out of the declared features"
            )
    rows = features.join(
        labels.select(*key, target), on=list(key), how="left", maintain_order="left"
    )
    if sort:
        rows = rows.sort(*key)
    return rows.select(pl.lit(window).alias(WINDOW), *held, target)


def _require(where: str, names: Sequence[str], columns: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise TrainingError(f"{where}: no column `{name}`{did_you_mean(name, columns)}")


def rows_in(training_set: pl.LazyFrame, windows: Sequence[str]) -> pl.DataFrame:
    """Collect some windows' rows of a training set."""
    return training_set.filter(pl.col("window").is_in(list(windows))).collect(engine="streaming")
