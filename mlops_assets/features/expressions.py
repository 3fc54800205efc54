"""Turning a batch into features by the declared Polars expressions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl
from polars.exceptions import ColumnNotFoundError, PolarsError

from mlops_assets.errors import FeatureError, did_you_mean
from mlops_assets.features.row_by_row import opaque, refusals, tried


def compute(
    batch: pl.LazyFrame,
    features: Mapping[str, pl.Expr],
    *,
    key: Sequence[str],
    row_by_row: bool = True,
) -> pl.LazyFrame:
    """Return the key columns and one column for each feature, row by row as the batch has them.

    Args:
        batch: the rows, lazily.
        features: name of the feature -> row-wise expression; numbers, booleans, or strings
            (strings are categories).
        key: columns that name a row, carried along unchanged.
        row_by_row: refuse expressions that look at other rows; False only for what was recorded
            before they were refused.

    Raises:
        FeatureError: an expression names a column that the batch has not, looks at other rows,
            fails, is not of a type that can be learnt from, or takes the name of a key.

    """
    if clash := set(features) & set(key):
        raise FeatureError(f"a feature can't have the name of a key column: {sorted(clash)}")
    held = batch.collect_schema()
    there = held.names()
    for name, expression in features.items():
        for root in expression.meta.root_names():
            if root not in there:
                raise FeatureError(
                    f"feature `{name}`: no column `{root}`{did_you_mean(root, there)}"
                )
    if row_by_row and (refused := refusals(features, held)):
        raise FeatureError("; ".join(refused.values()))
    columns = [*map(pl.col, key), *(one.alias(name) for name, one in features.items())]
    try:
        # without rows: the schema alone does not find an expression of a wrong type
        schema = batch.clear().select(columns).collect().schema
    except (ColumnNotFoundError, PolarsError) as error:
        raise FeatureError(
            f"the features can't be computed: {str(error).splitlines()[0]}"
        ) from error
    for name in features:
        dtype = schema[name]
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)):
            raise FeatureError(
                f"feature `{name}` is {dtype}; make it a number, a boolean or a string"
            )
    return batch.select(columns)


def check_rows(batch: pl.LazyFrame, features: Mapping[str, pl.Expr], most: int = 64) -> None:
    """Try on some rows of a batch what an expression's nodes don't tell; mostly there is nothing.

    Raises:
        FeatureError: a feature gives a row another value beside other rows than alone.

    """
    untold = opaque(features, batch.collect_schema())
    if not untold:
        return
    try:
        different = tried(batch.head(most).collect(), untold)
    except PolarsError as error:
        raise FeatureError(
            f"the features can't be computed: {str(error).splitlines()[0]}"
        ) from error
    if different:
        raise FeatureError("; ".join(different.values()))


def code_version(features: Mapping[str, pl.Expr]) -> str:
    """Return a short hash of what the expressions say, for lineage and fingerprints."""
    # what Polars prints of an expression is cut short, and leaves out some of its options
    said = "\n".join(
        f"{name}={expression.meta.serialize(format='json')}"
        for name, expression in sorted(features.items())
    )
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def mismatches(there: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    """Compare the columns of features with those that a model was trained on.

    Args:
        there: feature -> its kind in this batch.
        reference: feature -> its kind when the model was trained.

    Returns: one sentence for each difference; none if the model can be applied.

    """
    problems = [
        f"no feature `{name}`{did_you_mean(name, there)}" for name in reference if name not in there
    ]
    problems += [
        f"`{name}` is {there[name]}, the model learnt it as {kind}"
        for name, kind in reference.items()
        if name in there and there[name] != kind
    ]
    return problems


def kinds(schema: Mapping[str, pl.DataType], names: Sequence[str]) -> dict[str, str]:
    """Return `categorical` for strings and categories, `numeric` for the rest, by feature."""
    categorical = (pl.String, pl.Categorical, pl.Enum)
    return {
        name: "categorical" if schema[name] in categorical else "numeric"
        for name in names
        if name in schema
    }
