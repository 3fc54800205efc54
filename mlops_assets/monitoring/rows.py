"""Read the rows of stored windows: features by the present expressions, joined with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from mlops_assets.batches.objects import made_by, scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.features.expressions import code_version, compute
from mlops_assets.learning.training_set import TARGET, assemble
from mlops_assets.versions import Repository


def joined(
    versions: Repository,
    declaration: Declaration,
    commit: str,
    windows: Sequence[str],
    *,
    anew: bool = False,
) -> pl.LazyFrame:
    """Join features and labels of some windows, as a commit holds them.

    With `anew`, every window's features are computed from its batch, whatever was stored of them.

    Raises:
        MlopsError: an object is missing, or the declared expressions don't fit it.

    """
    target = load(declaration.labels.target).alias(TARGET)
    keys = declaration.batches.key
    expressions = load(declaration.features)
    parts = {
        window: (
            features_of(versions, declaration, commit, window, expressions, anew=anew),
            scan(versions, commit, declaration.path("labels", window)).select(*keys, target),
        )
        for window in windows
    }
    return assemble(parts, key=keys, target=TARGET, stored_in_key_order=True)


def features_of(
    versions: Repository,
    declaration: Declaration,
    commit: str,
    window: str,
    expressions: Mapping[str, pl.Expr],
    *,
    anew: bool = False,
) -> pl.LazyFrame:
    """Return a window's features as the expressions are now.

    Those that were stored by other expressions are computed again from their batch: old and new
    values of a feature must never stand in one column. With `anew`, all are.
    """
    path = declaration.path("features", window)
    if not anew and made_by(versions, commit, path) == code_version(expressions):
        return scan(versions, commit, path)
    batch = scan(versions, commit, declaration.path("batches", window))
    keys = declaration.batches.key
    # a version is made again by its own expressions, also if they would be refused today
    return compute(batch, expressions, key=keys, row_by_row=not anew).sort(keys)
